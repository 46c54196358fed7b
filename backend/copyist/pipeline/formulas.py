"""Formulas that a page's own engine found and wrote no LaTeX for: cut out, and read by an engine for formulas.

Nothing that goes wrong here takes from what was read: such a block stays as it was, and the page's trail says why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from copyist.document import Block, BlockKind, Box, Mode, Page
from copyist.engines.base import Decoding, Engine, Outcome, PageImage, ReadOptions, Try
from copyist.pipeline.assemble import assemble
from copyist.pipeline.placement import Affine, Placement
from copyist.pipeline.prepare import Prepared, straighten, turn
from copyist.pipeline.render import PageSource
from copyist.pipeline.upright import MIN_SKEW

_MARGIN = 0.05
"""Of a block's height: boxes of models lie a pixel or two beside the ink."""
_LEAST_SIDE = 4
"""Pixels; a box with less holds no formula."""
_ENOUGH = 0.5
"""Text that an engine wrote in a formula's place gives way to LaTeX that is at least so sure."""


def is_bare(block: Block) -> bool:
    """Whether a block is a formula without LaTeX."""
    return block.kind is BlockKind.FORMULA and not block.markup


def without_empty(page: Page) -> Page:
    """``page`` without formulas of which nobody could say anything."""
    return page.model_copy(update={"blocks": tuple(block for block in page.blocks if block.lines or block.markup)})


@dataclass(frozen=True)
class BareFormulas:
    """The formulas without LaTeX of page ``number`` of an open file, as ``page`` has them."""

    source: PageSource
    number: int
    page: Page

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks to be read, in the page's order; none where there is nothing to do."""
        return tuple(block for block in self.page.blocks if is_bare(block))

    def read(self, engine: Engine, options: ReadOptions) -> Page:
        """A page of nothing but these blocks, each with its LaTeX or as it was; boxes are those of ``page``."""
        whole = self.source.image(self.number, engine.dpi)
        parts = [_cut_out(whole, self.page, block.box) for block in self.blocks]
        images = [part.image for part in parts if part is not None]
        # A model that somebody named is one of the page's engine.
        asked = replace(options, mode=Mode.FORMULA, decoding=Decoding())
        readings = iter(engine.read(images, asked) if images else ())
        blocks = [
            block if part is None else _filled(block, _on_page(next(readings), part, self.page))
            for block, part in zip(self.blocks, parts, strict=True)
        ]
        return self.page.model_copy(
            update={
                "engine": engine.name,
                "engine_version": engine.version,
                "complete": True,
                "blocks": tuple(blocks),
            }
        )

    def put_back(self, read: Page) -> Page:
        """``page`` with the blocks that ``read`` made of them."""
        found = iter(read.blocks)
        return self.page.model_copy(
            update={"blocks": tuple(next(found) if is_bare(block) else block for block in self.page.blocks)}
        )

    def told(self, trail: Sequence[Try], read: Page | None) -> tuple[Try, ...]:
        """The steps of ``trail``, the last of which says what came of the blocks."""
        *before, last = trail
        count = len(self.blocks)
        named = f"{count} formula{'s' if count > 1 else ''} that {self.page.engine} left without LaTeX"
        filled = sum(not is_bare(block) for block in read.blocks) if read else 0
        if last.outcome is Outcome.READ:
            return (*before, replace(last, reason=f"It was shown {named}, and wrote LaTeX for {filled or 'none'}."))
        return (*before, replace(last, notes=(*last.notes, f"It was asked for {named}: they stay as they were.")))


def _cut_out(whole: PageImage, page: Page, box: Box) -> Prepared | None:
    """The part of the page's picture that ``box`` shows, upright and straight; ``None`` where that is next to nothing.

    ``whole`` is the page as uploaded, at any resolution.
    """
    across, down = whole.width / page.width, whole.height / page.height
    margin = _MARGIN * min(box.width, box.height)
    cut = Box(
        math.floor((box.left - margin) * across),
        math.floor((box.top - margin) * down),
        math.ceil((box.right + margin) * across),
        math.ceil((box.bottom + margin) * down),
    ).within(whole.width, whole.height)
    if min(cut.width, cut.height) < _LEAST_SIDE:
        return None
    pixels = np.ascontiguousarray(whole.pixels[cut.top : cut.bottom, cut.left : cut.right])
    to_page = Affine(a=1 / across, c=cut.left / across, e=1 / down, f=cut.top / down)
    part = turn(Prepared(PageImage(pixels, whole.dpi), Placement(to_page, page.width, page.height)), page.turned)
    return straighten(part, page.skew) if abs(page.skew) >= MIN_SKEW else part


def _on_page(reading: Page, part: Prepared, page: Page) -> Page:
    return assemble(reading, part.placement, number=page.number, dpi=page.dpi)


def _filled(block: Block, reading: Page) -> Block:
    """``block`` with the LaTeX of ``reading``, where that is one; several formulas stand below each other in it."""
    found = [one for one in reading.blocks if one.kind is BlockKind.FORMULA and one.markup]
    if not found or (block.text and (reading.confidence or 0.0) < _ENOUGH):
        return block
    rows = [one.markup or "" for one in found]
    markup = rows[0] if len(rows) == 1 else "\\begin{gathered} " + r" \\ ".join(rows) + " \\end{gathered}"
    return block.model_copy(update={"markup": markup, "lines": tuple(line for one in found for line in one.lines)})
