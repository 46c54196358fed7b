"""From loose boxes to lines and blocks in reading order, for engines that only find pieces of text.

Boxes are in pixels, origin top left. Columns come first. In a column, a row is what overlaps vertically, read from left
to right; pieces of a row that a wide gap parts stay lines of their own (the cells of a form); rows that follow each
other closely are one block.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from statistics import median

from copyist.document import Block, Box, Line, Word
from copyist.engines.columns import columns_of

_SAME_ROW = 0.5
"""Pieces whose vertical overlap is at least this share of the lower one's height stand in one row."""
_COVERED = 0.3
"""Pieces that share more than this part of the narrower one's width stand above each other, not side by side."""
_SAME_LINE = 2.0
"""Pieces of a row are one line when the gap between them is at most this many heights."""
_SAME_BLOCK = 0.9
"""Rows are one block when the gap between them is at most this share of the usual row height."""


def line_of(words: Sequence[Word]) -> Line:
    """The line of ``words``, of which there is at least one, in reading order."""
    return Line(
        text=joined(word.text for word in words),
        box=Box.around(word.box for word in words),
        confidence=mean_confidence((word.confidence, len(word.text)) for word in words),
        words=tuple(words),
    )


def joined(texts: Iterable[str]) -> str:
    """``texts`` with spaces between them, except between two characters of a script that is written without."""
    whole = ""
    for text in texts:
        glue = "" if not whole or not text or (_unspaced(whole[-1]) and _unspaced(text[0])) else " "
        whole += glue + text
    return whole


def mean_confidence(weighed: Iterable[tuple[float | None, int]]) -> float | None:
    """The mean of (confidence, weight) pairs; ``None`` when none has a confidence."""
    known = [(confidence, max(weight, 1)) for confidence, weight in weighed if confidence is not None]
    if not known:
        return None
    return min(max(sum(value * weight for value, weight in known) / sum(weight for _, weight in known), 0.0), 1.0)


def blocks_of(pieces: Iterable[Line]) -> tuple[Block, ...]:
    """Pieces of text, in any order, as blocks in reading order: column by column, in each row by row."""
    return tuple(block for column in columns_of(list(pieces)) if column for block in _blocks_in(column))


def _blocks_in(column: list[Line]) -> tuple[Block, ...]:
    rows = [_lines_in(row) for row in _rows(column)]
    usual = median(line.box.height for row in rows for line in row)
    blocks: list[list[Line]] = []
    bottom = 0
    for row in rows:
        top = min(line.box.top for line in row)
        if not blocks or top - bottom > _SAME_BLOCK * usual:
            blocks.append([])
        blocks[-1].extend(row)
        bottom = max(line.box.bottom for line in row)
    return tuple(Block(box=Box.around(line.box for line in lines), lines=tuple(lines)) for lines in blocks)


def _rows(pieces: list[Line]) -> list[list[Line]]:
    """Pieces by rows from top to bottom, each from left to right.

    A piece is compared with its nearest neighbour in the row, not with the row as a whole, and never joins one that it
    covers: so a tilted page keeps its rows apart, though the upright boxes of long tilted lines overlap.
    """
    rows: list[list[Line]] = []
    for piece in sorted(pieces, key=lambda line: (line.box.top + line.box.bottom, line.box.left)):
        fits, row = max(((_fit(row, piece.box), row) for row in rows[-4:]), key=lambda fit: fit[0], default=(0.0, []))
        if fits >= _SAME_ROW:
            row.append(piece)
        else:
            rows.append([piece])
    return [sorted(row, key=lambda line: line.box.left) for row in rows]


def _fit(row: list[Line], box: Box) -> float:
    """How much of its height ``box`` shares with its nearest neighbour in ``row``; 0 when one covers the other."""
    nearest = min((line.box for line in row), key=lambda other: gap(other, box))
    covers = gap(nearest, box) < -_COVERED * min(nearest.width, box.width)
    return 0.0 if covers else overlap(nearest, box)


def gap(one: Box, other: Box) -> int:
    """Horizontal distance; negative where they overlap."""
    return max(one.left, other.left) - min(one.right, other.right)


def overlap(one: Box, other: Box) -> float:
    """Shared height as a share of the lower of the two."""
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    return shared / max(min(one.height, other.height), 1)


def _lines_in(row: list[Line]) -> list[Line]:
    """A row's pieces with near neighbours joined."""
    lines = [row[0]]
    for piece in row[1:]:
        last = lines[-1]
        if gap(last.box, piece.box) <= _SAME_LINE * min(last.box.height, piece.box.height):
            lines[-1] = _join(last, piece)
        else:
            lines.append(piece)
    return lines


def _join(one: Line, other: Line) -> Line:
    return Line(
        text=joined((one.text, other.text)),
        box=Box.around((one.box, other.box)),
        confidence=mean_confidence((line.confidence, len(line.text)) for line in (one, other)),
        words=one.words + other.words,
    )


def _unspaced(character: str) -> bool:
    """Whether ``character`` is of Chinese or Japanese writing (wide, and not Korean, which has spaces)."""
    return unicodedata.east_asian_width(character) in "WF" and not unicodedata.name(character, "").startswith("HANGUL")


def words_along(text: str, box: Box, confidence: float | None = None) -> tuple[Word, ...]:
    """The words of a line whose engine gives none: laid along its box, each as wide as its share of the characters.

    A word is at least a pixel wide, even where there are more characters than pixels.
    """
    text = " ".join(text.split())
    words, start = [], 0
    for word in text.split():
        left = box.left + box.width * start // len(text)
        right = box.left + box.width * (start + len(word)) // len(text)
        words.append(Word(text=word, box=Box(left, box.top, max(right, left + 1), box.bottom), confidence=confidence))
        start += len(word) + 1
    return tuple(words)
