"""Mends a page whose lines came out in pieces, as Tesseract's do on photos taken at an angle.

There each half of a line is read well and surely, but the halves end up far apart, some cut in the middle of a word:
22 % of the characters stood in the wrong place on such a page, at a page confidence of 0.95. None of the samples taken
straight has such pieces, so that one pair of them is proof. Boxes are in pixels, origin top left.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from copyist.document import Block, Line
from copyist.engines.reading_order import blocks_of, gap, overlap

_NEXT_TO = 1.0
"""Pieces of one line are at most this many heights apart, or overlap by as much: less than any gutter of columns."""
_LEVEL = 0.4
"""They share at least this part of their height."""
SURE_AT_MOST = 0.5
"""Confidence of a mended line: its words are read well, but which of them belong together is a guess. This is what lets
the strategy ``fast`` see that a dearer engine should have a look."""


def mended(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """``blocks`` as they are, or, where lines came in pieces, all of the page's lines put in order anew."""
    lines = [line for block in blocks for line in block.lines]
    broken = _broken(lines)
    return blocks_of(_doubted(line) if line.box in broken else line for line in lines) if broken else blocks


def _broken(lines: Sequence[Line]) -> frozenset[tuple[int, int, int, int]]:
    """The boxes of lines that go on in another one to their right, and of those others."""
    ordered = sorted(lines, key=lambda line: line.box.left)
    lefts = [line.box.left for line in ordered]
    found = set()
    for line in ordered:
        reach = _NEXT_TO * line.box.height
        first, last = bisect_left(lefts, line.box.right - reach), bisect_left(lefts, line.box.right + reach)
        for other in ordered[first:last]:
            if other.box.left > line.box.left and _goes_on(line, other):
                found |= {line.box, other.box}
    return frozenset(found)


def _goes_on(line: Line, other: Line) -> bool:
    near = _NEXT_TO * min(line.box.height, other.box.height)
    return abs(gap(line.box, other.box)) < near and overlap(line.box, other.box) >= _LEVEL


def _doubted(line: Line) -> Line:
    return line.model_copy(update={"confidence": min(line.confidence or 0.0, SURE_AT_MOST)})
