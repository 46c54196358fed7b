"""Several formulas on one picture, one under another: lines of working, an exercise, a page of a notebook.

Ink is cut at the gaps that run across it. What belongs together over a gap stays together: a fraction with its line,
a sum with its limits, whatever a bracket holds. Formulas beside each other are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from copyist.document import Box
from copyist.engines.formula.picture import MOST_PIECES, Ink, Picture, find_ink

_NEAR, _WITH_LINE, _WITH_LIMIT = 0.5, 1.0, 0.9
"""Gaps that part nothing, in heights of a symbol: any; to the line of a fraction; to what may be a limit."""
_SMALL, _NARROW = 0.75, 0.6
"""A limit is made of smaller symbols, in heights of one, and narrower than what it belongs to, of its width."""
_LEAST = 0.4
"""What is lower than this, in heights of a symbol, is no formula: a dash, a mark."""


@dataclass(frozen=True, eq=False)
class Part:
    """One formula: its ``picture``, and the ``box`` of its ink in the whole one. ``plausible``: it may be writing."""

    picture: Picture
    box: Box
    plausible: bool


@dataclass(frozen=True)
class _Band:
    """Ink between two gaps: where it is, its pieces, the height of the highest, and whether all of it lies flat."""

    box: Box
    pieces: int
    highest: float
    is_flat: bool


def split(picture: Picture) -> list[Part]:
    """The formulas on ``picture``, from top to bottom, one at least; raises ``PictureUnusable``."""
    ink = find_ink(picture)
    groups = _groups(_bands(ink), ink.symbol)
    height, width = picture.shape[:2]
    if len(groups) == 1:
        return [Part(picture, ink.placed(ink.box).within(width, height), ink.is_plausible)]
    boxes = [ink.placed(group.box).within(width, height) for group in groups]
    cuts = [0, *((above.bottom + below.top) // 2 for above, below in pairwise(boxes)), height]
    around = round(ink.symbol / ink.part[2])
    is_written = ink.is_written
    return [
        Part(_cropped(picture, box, rows, around), box, is_written and group.pieces <= MOST_PIECES)
        for group, box, rows in zip(groups, boxes, pairwise(cuts), strict=True)
    ]


def _cropped(picture: Picture, box: Box, rows: tuple[int, int], around: int) -> Picture:
    """``box`` of ``picture`` with the paper ``around`` it, as far as that is its own."""
    top, bottom = max(rows[0], box.top - around), min(rows[1], box.bottom + around)
    return picture[top:bottom, max(0, box.left - around) : box.right + around]


def _bands(ink: Ink) -> list[_Band]:
    boxes = ink.boxes[np.argsort(ink.boxes[:, 1], kind="stable")]
    bottoms = np.maximum.accumulate(boxes[:, 1] + boxes[:, 3])
    starts = np.flatnonzero(boxes[1:, 1] > bottoms[:-1]) + 1
    return [_band(pieces, ink.pen) for pieces in np.split(boxes, starts)]


def _band(pieces: npt.NDArray[np.int32], pen: float) -> _Band:
    lefts, tops, widths, heights = (pieces[:, side] for side in range(4))
    box = Box(int(lefts.min()), int(tops.min()), int((lefts + widths).max()), int((tops + heights).max()))
    flat = (heights < 0.35 * widths) | (np.maximum(widths, heights) < 2.5 * pen)
    return _Band(box, len(pieces), float(heights.max()), bool(flat.all()))


def _joined(bands: Sequence[_Band]) -> _Band:
    return _Band(
        Box.around(band.box for band in bands),
        sum(band.pieces for band in bands),
        max(band.highest for band in bands),
        all(band.is_flat for band in bands),
    )


def _groups(bands: Sequence[_Band], symbol: float) -> list[_Band]:
    """What belongs together; ``symbol`` is the height of a symbol."""
    groups = [[bands[0]]]
    for above, below in pairwise(bands):
        if _belong(above, below, symbol):
            groups[-1].append(below)
        else:
            groups.append([below])
    joined = [_joined(group) for group in groups]
    return [group for group in joined if group.box.height >= _LEAST * symbol] or [_joined(joined)]


def _belong(above: _Band, below: _Band, symbol: float) -> bool:
    gap = (below.box.top - above.box.bottom) / symbol
    if above.is_flat or below.is_flat:
        return gap < _WITH_LINE
    return gap < _NEAR or (gap < _WITH_LIMIT and (_is_limit(above, below, symbol) or _is_limit(below, above, symbol)))


def _is_limit(band: _Band, of: _Band, symbol: float) -> bool:
    return band.highest < _SMALL * symbol and band.box.width < _NARROW * of.box.width
