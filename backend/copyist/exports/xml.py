"""What hOCR, ALTO and PAGE XML share: text that XML can hold, boxes on the page, words of a line, ids."""

from __future__ import annotations

import re
from typing import NamedTuple

from copyist.document import Block, Box, Line, Page, Word
from copyist.exports.text import block_text

# What XML 1.0 has no way to write (section 2.2), not even as a reference.
_FORBIDDEN = re.compile("[\x00-\x08\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_BREAKS = re.compile("[\t\n\x0b\x0c\r\x85\u2028\u2029]+")


def clean(text: str) -> str:
    """``text`` on one line, and with a mark in place of characters that no XML file can hold."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", _BREAKS.sub(" ", text))


def clean_lines(text: str) -> str:
    """The same, but lines stay lines."""
    return "\n".join(map(clean, text.split("\n")))


def on_page(page: Page, box: Box) -> Box:
    """``box`` cut to the page and at least one pixel wide and high: readers refuse areas of nothing."""
    left, top = min(max(box.left, 0), page.width - 1), min(max(box.top, 0), page.height - 1)
    return Box(left, top, min(max(box.right, left + 1), page.width), min(max(box.bottom, top + 1), page.height))


def angle(page: Page) -> float:
    """By how many degrees text is turned counter-clockwise on the page as uploaded: above -180, up to 180."""
    turned = (page.turned - page.skew) % 360
    return round(turned - 360 if turned > 180 else turned, 2)


def share(confidence: float) -> str:
    """A confidence from 0 to 1 as it is written down."""
    return f"{confidence:.4f}".rstrip("0").rstrip(".")


def lines_of(block: Block) -> tuple[Line, ...]:
    """The block's lines that say something.

    Where there is only markup, the lines of its text (a table's rows, a formula's LaTeX): nobody knows where on the
    page each stands, so each has the box of the block.
    """
    found = tuple(line for line in block.lines if line.text.strip())
    if found or not block.markup:
        return found
    return tuple(Line(text=text, box=block.box) for text in block_text(block).splitlines() if text.strip())


class Piece(NamedTuple):
    """A word, and whether a space follows it in its line."""

    word: Word
    spaced: bool


def pieces_of(line: Line) -> list[Piece]:
    """The words that a line is made of, in order.

    A line without words, and one whose words spell something else (a person corrected it), is a single one that holds
    its whole text: every box is then one that was really found, none is made up from the length of a word.
    """
    rest, pieces = line.text.lstrip(), []
    for word in line.words:
        text = word.text.strip()
        if not rest.startswith(text):
            return [_whole(line)]
        after = rest[len(text) :]
        rest = after.lstrip()
        if text:
            pieces.append(Piece(word, spaced=rest != after and bool(rest)))
    return [_whole(line)] if rest or not pieces else pieces


def _whole(line: Line) -> Piece:
    return Piece(Word(text=line.text.strip(), box=line.box, confidence=line.confidence), spaced=False)
