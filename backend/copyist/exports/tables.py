"""Tables as a grid of cells, from whatever an engine wrote them in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final

from copyist.document import Block

MAX_COLUMNS: Final = 63
"""What Word takes; a table that claims more columns loses them."""
_PIPE_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_BAR = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Cell:
    """One cell: its place from 0, over how many rows and columns it reaches, and what it says."""

    row: int
    column: int
    rows: int
    columns: int
    text: str


def cells_of(block: Block) -> list[Cell]:
    """The cells of a table block; none where it is only lines of text.

    Read are HTML, rows whose cells are parted by tabs (what engines leave of LaTeX) and Markdown's rows with pipes.
    """
    markup = block.markup or ""
    if "<tr" in markup.lower():
        return _from_html(markup)
    if any("\t" in line.text for line in block.lines):
        return _from_rows(line.text.split("\t") for line in block.lines)
    rows = [row.strip() for row in markup.splitlines() if row.strip()]
    if len(rows) > 1 and "|" in rows[0] and _PIPE_RULE.match(rows[1]):
        return _from_rows(_pipe_cells(row) for row in (rows[0], *rows[2:]))
    return []


def _pipe_cells(row: str) -> list[str]:
    inner = row.removeprefix("|")
    cells = _BAR.split(inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner)
    return [cell.strip().replace("\\|", "|") for cell in cells]


def _from_rows(rows: Iterable[list[str]]) -> list[Cell]:
    return [
        Cell(row, column, 1, 1, text)
        for row, texts in enumerate(rows)
        for column, text in enumerate(texts[:MAX_COLUMNS])
    ]


def _from_html(markup: str) -> list[Cell]:
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return list(_placed(reader.rows))


@dataclass
class _Open:
    rows: int
    columns: int
    text: str = ""


def _placed(rows: list[list[_Open]]) -> Iterator[Cell]:
    """Cells in their columns, past those that reach down from rows above (HTML 5, 4.9.12.1)."""
    taken: set[tuple[int, int]] = set()
    for row, cells in enumerate(rows):
        column = 0
        for cell in cells:
            while (row, column) in taken:
                column += 1
            if column >= MAX_COLUMNS:
                break
            down = min(cell.rows or len(rows), len(rows) - row)
            across = 1
            while across < min(cell.columns, MAX_COLUMNS - column) and (row, column + across) not in taken:
                across += 1
            area = {(row + y, column + x) for y in range(down) for x in range(across)}
            if area & taken:  # a cell under it was claimed from above: keep to this row
                down, area = 1, {(row, column + x) for x in range(across)}
            taken |= area
            yield Cell(row, column, down, across, " ".join(cell.text.split()))
            column += across


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[_Open]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            spans = dict(attrs)
            self.rows[-1].append(_Open(_span(spans.get("rowspan"), least=0), _span(spans.get("colspan"), least=1)))
        elif tag == "br":
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1].text += data


def _span(value: str | None, *, least: int) -> int:
    """A span of an HTML table; a ``rowspan`` of 0 reaches to the end."""
    return max(int(value), least) if value and value.isascii() and value.isdigit() and len(value) < 6 else 1
