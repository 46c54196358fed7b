"""Engines that read pictures of formulas, or fail to: ``OCR_PLUGINS=tests.api.formula_engines:Formulas``."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Sequence

from PIL import Image

from copyist.document import Block, BlockKind, Box, Page
from copyist.engines.base import Availability, EngineSettings, Mode, PageImage, ReadOptions
from copyist.engines.notes import note
from tests.faulty_engines import Faulty

LATEX = r"\int_{0}^{\infty} x^2 e^{-x} dx = 2"
NO_INK = "The picture holds no writing."
NO_FORMULA = "This does not look like a formula."


def picture(width: int = 300, height: int = 100) -> bytes:
    """A PNG to be read."""
    content = io.BytesIO()
    Image.new("L", (width, height), 255).save(content, "PNG")
    return content.getvalue()


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


class Formulas(Faulty):
    """Reads one formula; in a picture that is higher than wide it finds nothing, and one of 400 pixels breaks it.

    Of a square it is not sure.
    """

    name = "formulas"
    modes = frozenset({Mode.FORMULA})

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        return Availability(ready=True, version="1", model="formula-test", details={"encoder": "two layers"})

    def page(self, image: PageImage) -> Page:
        if image.width == 400:
            raise RuntimeError("too hard")
        page = super().page(image)
        if image.width < image.height:
            note(NO_INK)
            return page.model_copy(update={"blocks": ()})
        box = Box(0, 0, image.width, image.height)
        line = page.blocks[0].lines[0].model_copy(update={"text": "a formula"})
        if image.width == image.height:
            note(NO_FORMULA)
            line = line.model_copy(update={"confidence": 0.2})
        block = Block(kind=BlockKind.FORMULA, box=box, lines=(line,), markup=LATEX)
        return page.model_copy(update={"blocks": (block,)})


class Dots(Formulas):
    """Goes by the name of an engine for documents that writes their formulas as LaTeX."""

    name = "dots"
    modes = frozenset({Mode.DOCUMENT})


class Layouts(Faulty):
    """Reads a line of text on every page, and finds a formula below it without knowing what it says."""

    name = "layouts"
    modes = frozenset({Mode.DOCUMENT})

    def page(self, image: PageImage) -> Page:
        page = super().page(image)
        formula = Block(kind=BlockKind.FORMULA, box=Box(0, image.height // 2, image.width, image.height))
        return page.model_copy(update={"blocks": (*page.blocks, formula)})


class Thoughtful(Formulas):
    """Takes two seconds, and stops when it is told to: who does not is killed with the process, here the tests' own."""

    name = "thoughtful"
    stops = True
    seconds = 2.0

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            options.stop.check()
            time.sleep(0.05)
        return super().read(images, options)


class SlowReader(Thoughtful):
    """The same for documents."""

    name = "slow-reader"
    modes = frozenset({Mode.DOCUMENT})
