"""A Word document: headings, paragraphs, lists and tables, as the Markdown export finds them.

The lines of a paragraph flow into one, and hyphens at their ends stay as they were read. Formulas stand as LaTeX in a
style of their own. Every page that was read begins on a new page. The document is held in memory while it is made:
20 MB for 1,000 pages, 200 MB where each of them has a table.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, time
from itertools import groupby
from typing import IO, Any, Final

import docx
from docx.document import Document as WordDocument
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml.parser import OxmlElement
from docx.shared import Pt
from docx.text.paragraph import Paragraph

from copyist.document import Block, BlockKind
from copyist.exports.lists import list_items, text_and_lists
from copyist.exports.marks import Mark
from copyist.exports.material import Material
from copyist.exports.tables import Cell, cells_of

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x84\x86-\x9f]")
"""Control characters, and what XML 1.0 (2.2) has no room for."""
_LONGEST_TITLE: Final = 255
_SMALL_STYLE, _FORMULA_STYLE = "Small Print", "Formula"
_SMALL: Final = frozenset({BlockKind.HEADER, BlockKind.FOOTER, BlockKind.FOOTNOTE})
_BOXES: Final = {None: "", True: "☑ ", False: "☐ "}
_AFTER_BIDI: Final = tuple(
    f"w:{name}"
    for name in (
        *("adjustRightInd", "snapToGrid", "spacing", "ind", "contextualSpacing", "mirrorIndents", "suppressOverlap"),
        *("jc", "textDirection", "textAlignment", "textboxTightWrap", "outlineLvl", "divId", "cnfStyle", "rPr"),
        *("sectPr", "pPrChange"),
    )
)
"""A paragraph's properties stand in this order (ECMA-376 part 1, 17.3.1.26)."""


def write(material: Material, into: IO[bytes]) -> None:
    """The document as .docx; its title is the file's name, and it names no author."""
    writer = _Writer(material)
    for page in material.pages():
        writer.begin_page()
        pieces = [piece for block in page.blocks for piece in text_and_lists(block)]
        for is_list, blocks in groupby(pieces, key=lambda piece: piece.kind is BlockKind.LIST):
            if is_list:
                writer.add_list([block for block in blocks if block.lines])
            else:
                for block in blocks:
                    writer.add(block)
        writer.end_page()
    writer.document.save(into)


class _Writer:
    """One Word document in the making."""

    def __init__(self, material: Material) -> None:
        self.document: WordDocument = docx.Document()
        self._titles = self._pages = 0
        self._breaks = False
        self._styles: dict[str, Any] = {style.name: style for style in self.document.styles if style.name}
        self._add_style(_SMALL_STYLE, "Normal", size=8)
        self._add_style(_FORMULA_STYLE, "Normal", size=11, font="Cambria Math")
        facts = self.document.core_properties
        facts.title = _clean(material.filename)[:_LONGEST_TITLE]
        facts.author = facts.last_modified_by = facts.comments = ""
        facts.created = facts.modified = datetime.combine(material.uploaded, time())

    def begin_page(self) -> None:
        """What comes now stands on a new page."""
        self._breaks = self._pages > 0
        self._pages += 1

    def end_page(self) -> None:
        """A page without text is an empty one."""
        if self._breaks:
            self._paragraph("", "Normal")

    def add(self, block: Block) -> None:
        """A block that is no list."""
        text = " ".join(line.text for line in block.lines) or block.markup or ""
        if block.kind is BlockKind.TABLE:
            self._table(block)
        elif block.kind is BlockKind.FORMULA:
            self._paragraph(block.markup or text, _FORMULA_STYLE)
        elif block.kind is BlockKind.TITLE and text.strip():
            self._titles += 1
            self._paragraph(text, "Heading 1" if self._titles == 1 else "Heading 2")
        elif text.strip():
            styles = dict.fromkeys(_SMALL, _SMALL_STYLE) | {BlockKind.CAPTION: "Caption"}
            self._paragraph(text, styles.get(block.kind, "Normal"))

    def add_list(self, blocks: list[Block]) -> None:
        """Blocks that are one list, or several where some items are numbered and others are not."""
        items = list_items(line for block in blocks for line in block.lines)
        for _, run in groupby(items, key=lambda item: item[0].number is not None):
            self._list_run(list(run))

    def _list_run(self, items: list[tuple[Mark, list[str]]]) -> None:
        numbers = [mark.number for mark, _ in items]
        first = numbers[0]
        # Word numbers a list by itself: only numbers that count up by one come out as they were read.
        counted = first is not None and numbers == list(range(first, first + len(numbers)))
        numbering = self._numbering(first) if first is not None and counted else None
        for mark, more in items:
            number = "" if mark.number is None or counted else f"{mark.number}. "
            text = _BOXES[mark.checked] + number + " ".join([mark.text, *more])
            paragraph = self._paragraph(text, "List Number" if counted else "List Bullet")
            if numbering is not None:
                paragraph._p.get_or_add_pPr().get_or_add_numPr().get_or_add_numId().val = numbering

    def _numbering(self, first: int) -> int:
        """A count of its own, from ``first``, in the form of the style for numbered lists."""
        numbering: Any = self.document.part.numbering_part.element
        style = self._styles["List Number"].element.pPr.numPr.numId.val
        form = next(num for num in numbering.num_lst if num.numId == style).abstractNumId.val
        num = numbering.add_num(form)
        num.add_lvlOverride(ilvl=0).add_startOverride(first)
        number: int = num.numId
        return number

    def _table(self, block: Block) -> None:
        cells = cells_of(block)
        if not cells:
            for line in block.lines:
                self._paragraph(line.text, "Normal")
            if not block.lines and block.markup:
                self._paragraph(block.markup, _FORMULA_STYLE)
            return
        if self._breaks:
            self._paragraph("", "Normal")
        height = max(cell.row + cell.rows for cell in cells)
        width = max(cell.column + cell.columns for cell in cells)
        table = self.document.add_table(height, width, style="Table Grid")
        grid = [row.cells for row in table.rows]
        for cell in cells:
            _fill(grid, cell)
        self._paragraph("", "Normal")  # two tables in a row would be one for Word

    def _paragraph(self, text: str, style: str) -> Paragraph:
        paragraph = self.document.add_paragraph()
        paragraph._p.style = self._styles[style].style_id
        if self._breaks:
            paragraph.paragraph_format.page_break_before = True
            self._breaks = False
        _say(paragraph, text)
        return paragraph

    def _add_style(self, name: str, base: str, *, size: int, font: str | None = None) -> None:
        style: Any = self.document.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
        style.base_style = self._styles[base]
        style.font.size = Pt(size)
        if font:
            style.font.name = font
        self._styles[name] = style


def _fill(grid: list[tuple[Any, ...]], cell: Cell) -> None:
    place = grid[cell.row][cell.column]
    if cell.rows > 1 or cell.columns > 1:
        place = place.merge(grid[cell.row + cell.rows - 1][cell.column + cell.columns - 1])
    _say(place.paragraphs[0], cell.text)


def _say(paragraph: Paragraph, text: str) -> None:
    """Text as one run, marked where it runs from right to left."""
    text = _clean(text)
    if not text:
        return
    run = paragraph.add_run(text)
    if _runs_left(text):
        properties: Any = paragraph._p.get_or_add_pPr()
        properties.insert_element_before(OxmlElement("w:bidi"), *_AFTER_BIDI)
        run.font.rtl = True


def _clean(text: str) -> str:
    return _NOT_XML.sub("", text)


def _runs_left(text: str) -> bool:
    """Whether most letters of a text are those of Hebrew or Arabic."""
    if text.isascii():
        return False
    kinds = [kind for kind in map(unicodedata.bidirectional, text) if kind in ("L", "R", "AL")]
    return 2 * sum(kind != "L" for kind in kinds) > len(kinds)
