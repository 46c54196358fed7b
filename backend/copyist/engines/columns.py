"""Columns of prose on a page, found by cutting it along white space (recursive XY cut).

A page is cut along a vertical gutter where there is one, else along its widest horizontal gap in the hope of a gutter
further down. Only prose counts as a column: the cells of a table or a form stay in their rows. Boxes are in pixels,
origin top left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from copyist.document import Box, Line

_PADDING = 0.25
"""Detectors draw boxes wider than the ink, by about this share of the height on each side."""
_GUTTER = 0.3
"""Narrowest gutter, in usual line heights, once the padding is taken off."""
_COLUMN_WIDTH = 6.0
"""Narrowest usual line of a column, in line heights: about a dozen characters, more than most cells hold."""
_COLUMN_LINES = 3
_SIDE_BY_SIDE = 0.5
"""Columns stand beside each other along at least this share of the shorter one."""

_Span = Callable[[Box], tuple[int, int]]


def columns_of(pieces: list[Line]) -> list[list[Line]]:
    """The parts of the page in reading order, each free of gutters; one part for a page of one column."""
    gutter = _gutter(pieces)
    if gutter is not None:
        left = [piece for piece in pieces if _is_left(piece.box, gutter)]
        right = [piece for piece in pieces if not _is_left(piece.box, gutter)]
        return columns_of(left) + columns_of(right)
    gaps = _gaps(pieces, _rows)
    if not gaps:
        return [pieces]
    _, height = max(gaps)
    above = columns_of([piece for piece in pieces if piece.box.bottom <= height])
    below = columns_of([piece for piece in pieces if piece.box.top >= height])
    return above + below if len(above) + len(below) > 2 else [pieces]


def _gutter(pieces: list[Line]) -> int | None:
    """Where the widest gutter between two columns of prose lies, as x; ``None`` without one."""
    usual = median(piece.box.height for piece in pieces) if pieces else 0
    for width, x in sorted(_gaps(pieces, _sides), reverse=True):
        left = [piece.box for piece in pieces if _is_left(piece.box, x)]
        right = [piece.box for piece in pieces if not _is_left(piece.box, x)]
        if width >= _GUTTER * usual and _is_prose(left) and _is_prose(right) and _side_by_side(left, right):
            return x
    return None


def _gaps(pieces: list[Line], span: _Span) -> list[tuple[int, int]]:
    """(width, where it ends) of every strip that no piece reaches into, along the axis of ``span``."""
    gaps = []
    reached: int | None = None
    for start, end in sorted(span(piece.box) for piece in pieces):
        if reached is not None and start > reached:
            gaps.append((start - reached, start))
        reached = end if reached is None else max(reached, end)
    return gaps


def _is_left(box: Box, x: int) -> bool:
    return box.left + box.right <= 2 * x


def _sides(box: Box) -> tuple[int, int]:
    padding = min(round(_PADDING * box.height), (box.width - 1) // 2)
    return box.left + padding, box.right - padding


def _rows(box: Box) -> tuple[int, int]:
    return box.top, box.bottom


def _is_prose(boxes: Sequence[Box]) -> bool:
    if len(boxes) < _COLUMN_LINES:
        return False
    return median(box.width for box in boxes) >= _COLUMN_WIDTH * median(box.height for box in boxes)


def _side_by_side(left: Sequence[Box], right: Sequence[Box]) -> bool:
    one, other = Box.around(left), Box.around(right)
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    return shared >= _SIDE_BY_SIDE * min(one.height, other.height)
