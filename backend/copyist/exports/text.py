"""Plain text: lines as they stand, a blank line between blocks, a form feed between pages (as ``pdftotext`` does)."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import IO

from copyist.document import Block, BlockKind, Page
from copyist.exports.material import Material


def write(material: Material, into: IO[bytes]) -> None:
    """The document's text in UTF-8.

    A page that is empty or could not be read keeps its form feed, so that the n-th part is always the n-th page.
    """
    places = {number: place for place, number in enumerate(material.numbers)}
    here = 0
    for page in material.pages():
        into.write(b"\f" * (places[page.number] - here) + page_text(page).encode())
        here = places[page.number]
    into.write(b"\f" * (len(places) - 1 - here))


def page_text(page: Page) -> str:
    """The text of one page, ending in a newline unless there is none."""
    blocks = [text for block in page.blocks if (text := block_text(block))]
    # A form feed that an engine read on the page would count as one page too many.
    return "".join(f"{text}\n" for text in ["\n\n".join(blocks).replace("\f", " ")] if text)


def block_text(block: Block) -> str:
    """The text of one block: its lines, else what its markup says without the markup of a table."""
    if block.text or not block.markup:
        return block.text
    return table_text(block.markup) if block.kind is BlockKind.TABLE else block.markup


def table_text(markup: str) -> str:
    """The cells of an HTML table: one row a line, cells parted by tabs, which spreadsheets take when pasted."""
    reader = _TableReader()
    reader.feed(markup)
    reader.close()
    return "\n".join("\t".join(" ".join(cell.split()) for cell in row) for row in reader.rows)


class _TableReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        elif tag == "br":
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data
