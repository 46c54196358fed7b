"""Engines that read pictures of formulas, or fail to: ``OCR_PLUGINS=tests.api.formula_engines:Formulas``."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Sequence

from PIL import Image

from copyist.document import Block, BlockKind, Box, Page
from copyist.engines.base import Mode, PageImage, ReadOptions
from tests.faulty_engines import Faulty

LATEX = r"\int_{0}^{\infty} x^2 e^{-x} dx = 2"


def picture(width: int = 300, height: int = 100) -> bytes:
    """A PNG to be read."""
    content = io.BytesIO()
    Image.new("L", (width, height), 255).save(content, "PNG")
    return content.getvalue()


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


class Formulas(Faulty):
    """Reads one formula; of a picture that is higher than wide nothing, and one of 400 pixels breaks it."""

    name = "formulas"
    modes = frozenset({Mode.FORMULA})

    def page(self, image: PageImage) -> Page:
        if image.width == 400:
            raise RuntimeError("too hard")
        page = super().page(image)
        box = Box(0, 0, image.width, image.height)
        line = page.blocks[0].lines[0].model_copy(update={"text": "a formula"})
        block = Block(kind=BlockKind.FORMULA, box=box, lines=(line,), markup=LATEX)
        return page.model_copy(update={"blocks": (block,) if image.width >= image.height else ()})


class Dots(Formulas):
    """Goes by the name of an engine for documents that writes their formulas as LaTeX."""

    name = "dots"
    modes = frozenset({Mode.DOCUMENT})


class Thoughtful(Formulas):
    """Takes two seconds, and stops when it is told to: who does not is killed with the process, here the tests' own."""

    name = "thoughtful"
    stops = True

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            options.stop.check()
            time.sleep(0.05)
        return super().read(images, options)


class SlowReader(Thoughtful):
    """The same for documents."""

    name = "slow-reader"
    modes = frozenset({Mode.DOCUMENT})
