"""Markdown (CommonMark with GitHub's task lists and ``$$`` formulas) that says what the page says and no more.

Text is escaped where it would become markup by accident. Lines of a paragraph stay lines: Markdown flows them into
one paragraph, and a person who compares with the page finds them again. The first title is ``#``, the others ``##``,
for pages carry no levels. A block whose engine wrote Markdown has that in ``markup``, and it is left alone. Pages are
parted by ``<!-- page 2 -->`` and not by a rule: a sentence often runs on across the page's end, where a rule would
show a break its author never made, and the number leads back to the scan.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count, groupby
from typing import IO

from copyist.document import Block, BlockKind, Line, Page
from copyist.exports.lists import list_items, text_and_lists
from copyist.exports.marks import Mark
from copyist.exports.material import Material

# Spaces that must not break stay; every other run of white space, a line break in a line's text too, is one space.
_SPACES = re.compile(r"[^\S\xa0\u2007\u202f]+")
# An underscore inside a word and an ampersand that begins no entity are harmless, and ugly when escaped.
_SPECIAL = re.compile(r"[\\`*\[\]<~$|]|(?<![^\W_])_|_(?![^\W_])|&(?=#|\w+;)")
# What begins a heading, quote or list, and what underlines a heading or a table's head (CommonMark 0.31, sections 4
# and 5; GitHub's tables, 4.10).
_OPENING = re.compile(r"(?=#{1,6}(?: |$)|>|[-+](?: |$)|=+$|:?-[- ]*:?$)")
_NUMBERED = re.compile(r"([0-9]{1,9})(?=[.)](?: |$))")


def write(material: Material, into: IO[bytes]) -> None:
    """The document as Markdown in UTF-8, ending in one newline."""
    titles = count()
    between = ""
    for page in material.pages():
        marks = [f"<!-- page {page.number} -->"] if len(material.numbers) > 1 else []
        for part in [*marks, *_parts(page, titles)]:
            if part:
                into.write((between + part).encode())
                between = "\n\n"
    into.write(b"\n")


def markdown(pages: Iterable[Page]) -> str:
    """Pages as one Markdown text, ending in one newline, with no mark where one page ends."""
    titles = count()
    return "\n\n".join(part for page in pages for part in _parts(page, titles) if part) + "\n"


def escape(text: str) -> str:
    """One line of text as Markdown that renders as this very text, wherever in a paragraph it stands."""
    plain = _SPACES.sub(" ", text.replace("\0", "\N{REPLACEMENT CHARACTER}")).strip()
    special = _SPECIAL.sub(r"\\\g<0>", plain)
    if number := _NUMBERED.match(special):
        return f"{number[0]}\\{special[number.end() :]}"
    return f"\\{special}" if _OPENING.match(special) else special


def _parts(page: Page, titles: Iterator[int]) -> Iterator[str]:
    pieces = [piece for block in page.blocks for piece in text_and_lists(block)]
    for is_list, blocks in groupby(pieces, key=lambda piece: piece.kind is BlockKind.LIST and not piece.markup):
        if is_list:
            yield _list([line for block in blocks for line in block.lines])
        else:
            yield from (_block(block, titles) for block in blocks)


def _block(block: Block, titles: Iterator[int]) -> str:
    if block.kind is BlockKind.FORMULA and block.markup:
        return f"$$\n{_solid(block.markup)}\n$$"
    if block.kind is BlockKind.TABLE and block.markup:
        return _solid(block.markup)
    lines = [text for line in block.lines if (text := escape(line.text))]
    is_title = block.kind is BlockKind.TITLE and bool(lines)
    hashes = "##" if is_title and next(titles) else "#"
    if block.markup:
        return block.markup.strip("\n")
    if is_title:
        # Hashes at the end of a heading would be taken for its closing sequence.
        return re.sub(r"(?<= )#+$", r"\\\g<0>", f"{hashes} {' '.join(lines)}")
    # Rows of a table that has no markup must not flow into each other.
    return ("\\\n" if block.kind is BlockKind.TABLE else "\n").join(lines)


def _solid(markup: str) -> str:
    """Markup without blank lines, which would end it for Markdown."""
    return "\n".join(line for line in markup.strip().splitlines() if line.strip())


def _list(lines: Iterable[Line]) -> str:
    runs = groupby(list_items(lines), key=lambda item: item[0].number is not None)
    return "\n\n".join(_run(list(items)) for _, items in runs)


def _run(items: list[tuple[Mark, list[str]]]) -> str:
    numbers = [mark.number for mark, _ in items]
    # Markdown numbers a list by itself: only numbers that count up by one come out as they were read.
    first = numbers[0]
    counted = first is not None and numbers == list(range(first, first + len(numbers)))
    return "\n".join(_item(mark, more, counted=counted) for mark, more in items)


def _item(mark: Mark, more: list[str], *, counted: bool) -> str:
    head = "- " if mark.number is None or not counted else f"{mark.number}. "
    box = {None: "", True: "[x] ", False: "[ ] "}[mark.checked]
    if mark.number is not None and not counted:
        mark = replace(mark, text=f"{mark.number}. {mark.text}")
    lines = [text for line in (mark.text, *more) if (text := escape(line))]
    return head + box + ("\n" + " " * len(head)).join(lines)
