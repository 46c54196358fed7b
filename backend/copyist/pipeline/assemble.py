"""From an engine's reading of a prepared image to the page as uploaded."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from copyist.document import Block, BlockKind, Box, Line, Page
from copyist.engines.base import PageImage
from copyist.pipeline.placement import Placement

_INK_DEPTH = 40
"""How much darker (or lighter) than its surroundings a pixel is to count as ink, of 255."""
_INK_SHARE = 0.0002
"""A page with less ink than this is blank: 0.02 % is about one short word on A4, and more than dust."""


def assemble(reading: Page, placement: Placement, *, number: int, dpi: int | None) -> Page:
    """``reading`` with its boxes on the page as uploaded, without lines that say nothing.

    A formula without any is kept: somebody else may read it yet (``pipeline.formulas``).
    """
    blocks = (_placed(block, placement.box) for block in reading.blocks)
    return reading.model_copy(
        update={
            "number": number,
            "width": placement.width,
            "height": placement.height,
            "dpi": dpi,
            "turned": placement.turned,
            "skew": round(placement.skew, 2),
            "blocks": tuple(
                block for block in blocks if block.lines or block.markup or block.kind is BlockKind.FORMULA
            ),
        }
    )


def _placed(block: Block, place: Callable[[Box], Box]) -> Block:
    lines = tuple(_placed_line(line, place) for line in block.lines if line.text.strip())
    return block.model_copy(update={"box": place(block.box), "lines": lines})


def _placed_line(line: Line, place: Callable[[Box], Box]) -> Line:
    words = tuple(word.model_copy(update={"box": place(word.box)}) for word in line.words if word.text.strip())
    return line.model_copy(update={"text": line.text.strip(), "box": place(line.box), "words": words})


def is_blank(image: PageImage) -> bool:
    """Whether a page image shows nothing that could be text: paper, its shadows and dust only."""
    if not image.pixels.size:
        return True
    grey = image.pixels if image.pixels.ndim == 2 else cv2.cvtColor(image.pixels, cv2.COLOR_RGB2GRAY)
    shrink = max(1.0, max(grey.shape) / 1200)
    height, width = (max(1, round(side / shrink)) for side in grey.shape)
    small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    paper = cv2.medianBlur(small, 31) if min(small.shape) > 31 else np.full_like(small, int(np.median(small)))
    ink = np.count_nonzero(cv2.absdiff(small, paper) > _INK_DEPTH)
    return bool(ink < _INK_SHARE * small.size)
