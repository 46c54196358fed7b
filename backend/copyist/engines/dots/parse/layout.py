"""From the model's cells to the blocks of a page: kinds, boxes in pixels of the page, lines and words.

The order is the model's. A cell's box is divided evenly among its lines, for the model tells no more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType

from copyist.document import Block, BlockKind, Box, Line, whole
from copyist.engines.dots.parse import latex, markdown, tables
from copyist.engines.dots.parse.cells import Category, Cell
from copyist.engines.dots.parse.layout_json import unfenced
from copyist.engines.harmless import harmless_latex
from copyist.engines.reading_order import words_along

KINDS: Mapping[Category, BlockKind] = MappingProxyType(
    {
        Category.CAPTION: BlockKind.CAPTION,
        Category.FOOTNOTE: BlockKind.FOOTNOTE,
        Category.FORMULA: BlockKind.FORMULA,
        Category.LIST_ITEM: BlockKind.LIST,
        Category.PAGE_FOOTER: BlockKind.FOOTER,
        Category.PAGE_HEADER: BlockKind.HEADER,
        Category.PICTURE: BlockKind.PICTURE,
        Category.SECTION_HEADER: BlockKind.TITLE,
        Category.TABLE: BlockKind.TABLE,
        Category.TEXT: BlockKind.TEXT,
        Category.TITLE: BlockKind.TITLE,
    }
)

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BREAK = re.compile(r"<br\s?/?>", re.IGNORECASE)
_HEADING = re.compile(r"#{1,6}[ \t]+[^\n]*\Z")
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")


def blocks_of(
    cells: Iterable[Cell], *, scale_x: float, scale_y: float, width: int, height: int, confidence: float | None
) -> tuple[Block, ...]:
    """The blocks of a page of ``width`` x ``height`` pixels, whose image was shown to the model at another size.

    A number of a cell's box times ``scale_x`` or ``scale_y`` is a pixel of the page. Every block lies within the page
    and is a pixel wide and high at least. ``confidence`` is the whole answer's, and so every line's.
    """
    blocks: list[Block] = []
    for cell in cells:
        box = _box(cell, scale_x=scale_x, scale_y=scale_y, width=width, height=height)
        blocks += _blocks(cell.category, cell.text or "", box, confidence)
    return tuple(blocks)


def text_blocks(text: str, *, width: int, height: int, confidence: float | None) -> tuple[Block, ...]:
    """The blocks of a plain answer without boxes: each paragraph has its lines' share of the page's height."""
    paragraphs = [part for part in _PARAGRAPHS.split(_lines_only(unfenced(text))) if part.strip()]
    counts = [len(part.strip().splitlines()) for part in paragraphs]
    blocks: list[Block] = []
    total = sum(counts)
    for paragraph, count, end in zip(paragraphs, counts, accumulate(counts), strict=True):
        box = _share(Box(0, 0, width, height), end - count, count, total)
        blocks += _blocks(_category(paragraph.strip()), paragraph, box, confidence)
    return tuple(blocks)


def _blocks(category: Category, text: str, box: Box, confidence: float | None) -> list[Block]:
    text = _lines_only(latex.restored(text, maths=category is Category.FORMULA))
    if category is Category.FORMULA:
        return _formulas(text, box, confidence)
    if category is Category.TABLE:
        if markup := tables.sanitised(text):
            rows = ["\t".join(row).rstrip() for row in tables.rows_of(text)]
            return [_block(category, rows, box, confidence, markup=markup)]
        text = tables.without_tags(text)
    read = markdown.read(_BREAK.sub("\n", text), KINDS[category])
    return [_block(category, [line.strip() for line in read.plain.splitlines()], box, confidence, markup=read.markup)]


def _formulas(text: str, box: Box, confidence: float | None) -> list[Block]:
    """A block for every formula of a cell and for the text between them, which stand below each other."""
    parts = latex.parts_of(text)
    if not parts:
        return [_block(Category.FORMULA, [], box, confidence)]
    counts = [len(part.text.splitlines()) for part in parts]
    blocks: list[Block] = []
    total = sum(counts)
    for part, count, end in zip(parts, counts, accumulate(counts), strict=True):
        share, lines = _share(box, end - count, count, total), part.text.splitlines()
        if part.is_formula:
            markup = harmless_latex(part.text)
            blocks.append(_block(Category.FORMULA, lines, share, confidence, markup=markup))
        else:
            blocks += _blocks(Category.TEXT, part.text, share, confidence)
    return blocks


def _block(
    category: Category, lines: Sequence[str], box: Box, confidence: float | None, *, markup: str | None = None
) -> Block:
    lines = [line for line in lines if line.strip()]
    read = []
    for index, line in enumerate(lines):
        share = _share(box, index, 1, len(lines))
        words = words_along(line, share, confidence)
        read.append(Line(text=line, box=share, confidence=confidence, words=words))
    return Block(kind=KINDS[category], box=box, lines=tuple(read), markup=markup)


def _box(cell: Cell, *, scale_x: float, scale_y: float, width: int, height: int) -> Box:
    left, right = _side(cell.box[0] * scale_x, cell.box[2] * scale_x, width)
    top, bottom = _side(cell.box[1] * scale_y, cell.box[3] * scale_y, height)
    return Box(left, top, right, bottom)


def _side(one: float, other: float, size: int) -> tuple[int, int]:
    """Where something begins and ends on a side of ``size`` pixels: in order, inside, and a pixel long at least."""
    near, far = sorted(min(max(0.0, at), float(size)) for at in (one, other))
    start = min(math.floor(near), size - 1)
    return start, max(math.ceil(far), start + 1)


def _share(box: Box, first: int, count: int, total: int) -> Box:
    """The part of ``box`` that ``count`` of its ``total`` lines take, from line ``first``: a pixel high at least."""
    top = min(box.top + box.height * first // total, box.bottom - 1)
    return Box(box.left, top, box.right, max(box.top + box.height * (first + count) // total, top + 1))


def _lines_only(text: str) -> str:
    """``text`` with no control characters but tabs and line breaks."""
    return _CONTROL.sub("", whole(text))


def _category(paragraph: str) -> Category:
    """What a paragraph of Markdown is, by how it begins."""
    if paragraph[:7].lower().startswith("<table"):
        return Category.TABLE
    if paragraph.startswith(("$$", "\\[")) and paragraph.endswith(("$$", "\\]")):
        return Category.FORMULA
    return Category.SECTION_HEADER if _HEADING.match(paragraph) else Category.TEXT
