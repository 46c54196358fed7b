"""Which ink belongs to which line, and the outline of each line's ink.

A piece of connected ink goes as a whole to the line that most of it is nearest to, so that descenders stay with their
letters. A piece that reaches over two lines, where their letters touch, is cut half-way between them. Small pieces may
be dots, accents, commas and hyphens, or dirt and the rest of a rule: they belong to a line only close to its letters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from copyist.engines.lines.chains import Course
from copyist.engines.lines.ink import Mask

_NOBODY = -1
_REACH = 1.1
"""Ink further than this many distances between lines from every line belongs to none."""
_TOUCHING = 0.2
"""A piece of ink of which another line has this share is two lines' letters that touch."""
_TALL = 1.3
"""Only a piece taller than this many distances can be."""
_SMALL = 0.06
"""A piece lower than this many distances, or than the rest of a rule, is no letter."""
_FLAT = 5
_SMALL_REACH, _SMALL_BESIDE = 0.6, 0.5
"""It belongs to a line whose middle is at most so many distances away, not further than so many beside its letters."""
_ACCENT = 0.1
"""Small pieces stand above their letters more often than below: they are looked at this many distances lower."""
_LEAST_INK = 0.03
"""A line's letters cover at least this share of a distance squared."""
_COLUMN = 4
"""Width, in pixels of the working grid, of the steps of an outline."""
_PAD = 2
"""Pixels of paper around a line's ink on the working grid: the soft edge of a stroke is no ink, but belongs to it."""


@dataclass(frozen=True)
class InkedLine:
    """A line that has ink: ``top[i]`` to ``bottom[i]`` (exclusive) in the columns from ``x[i]`` to ``x[i + 1]``."""

    course: Course
    x: npt.NDArray[np.int64]
    top: npt.NDArray[np.float64]
    bottom: npt.NDArray[np.float64]


def inked_lines(mask: Mask, courses: tuple[Course, ...], distance: float) -> Iterator[InkedLine]:
    """The lines that have ink of their own in ``mask``, in the order given; ``distance`` lies between two of them."""
    if not courses:
        return
    ink = _Ink.of(mask, distance)
    owners = _owners(ink, courses, distance)
    order = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[order], np.arange(len(courses) + 1))
    for number, course in enumerate(courses):
        own = order[bounds[number] : bounds[number + 1]]
        letters = own[~ink.is_small[own]]
        if letters.size >= _LEAST_INK * distance**2:
            beside = _SMALL_BESIDE * distance
            first, last = ink.xs[letters].min() - beside, ink.xs[letters].max() + beside
            near = own[(ink.xs[own] >= first) & (ink.xs[own] <= last)]
            yield _around(course, ink.xs[near], ink.ys[near], mask.shape[1], distance)


@dataclass(frozen=True)
class _Ink:
    """Every pixel of ink: where it is, which of ``count`` connected pieces it is part of, whether that is small."""

    xs: npt.NDArray[np.int64]
    ys: npt.NDArray[np.int64]
    pieces: npt.NDArray[np.int32]
    count: int
    heights: npt.NDArray[np.int32]
    is_small: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, mask: Mask, distance: float) -> _Ink:
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        ys, xs = np.nonzero(mask)
        pieces, heights = labels[ys, xs], np.asarray(stats[:, cv2.CC_STAT_HEIGHT], np.int32)
        return cls(xs, ys, pieces, count, heights, (heights <= max(_FLAT, _SMALL * distance))[pieces])


def _owners(ink: _Ink, courses: tuple[Course, ...], distance: float) -> npt.NDArray[np.int64]:
    """For each pixel of ink the number of its line, or ``_NOBODY``."""
    nearest = _nearest(ink, courses, distance)
    # How many pixels of each piece are nearest to which line: (piece, line) pairs that occur, each with its count.
    pairs, votes = np.unique(ink.pieces.astype(np.int64) * (len(courses) + 1) + nearest + 1, return_counts=True)
    pieces, lines = pairs // (len(courses) + 1), pairs % (len(courses) + 1) - 1
    ranked = np.lexsort((-votes, pieces))
    main, most, total = np.full(ink.count, _NOBODY), np.zeros(ink.count, np.int64), np.zeros(ink.count, np.int64)
    firsts = ranked[np.unique(pieces[ranked], return_index=True)[1]]
    main[pieces[firsts]], most[pieces[firsts]] = lines[firsts], votes[firsts]
    np.add.at(total, pieces, votes)
    touching = (total - most >= _TOUCHING * total) & (ink.heights >= _TALL * distance)
    return np.where(touching[ink.pieces], nearest, main[ink.pieces])


def _nearest(ink: _Ink, courses: tuple[Course, ...], distance: float) -> npt.NDArray[np.int64]:
    """For each pixel of ink the number of the nearest line within reach, or ``_NOBODY``."""
    nearest = np.full(len(ink.ys), _NOBODY)
    least = np.where(ink.is_small, _SMALL_REACH, _REACH) * distance
    rows = ink.ys + np.where(ink.is_small, _ACCENT * distance, 0.0)
    columns = np.arange(int(ink.xs.max(initial=0)) + 1)
    for number, course in enumerate(courses):
        # Pixels are sorted by row, and only these can be within reach.
        reach = (_REACH + _ACCENT) * distance
        first, last = np.searchsorted(ink.ys, [min(course.y) - reach, max(course.y) + reach])
        near = slice(int(first), int(last))
        beyond = np.maximum(np.maximum(course.x[0] - columns, columns - course.x[-1]), 0.0)
        away = np.abs(rows[near] - course.at(columns)[ink.xs[near]]) + 0.5 * beyond[ink.xs[near]]
        closer = away < least[near]
        nearest[near] = np.where(closer, number, nearest[near])
        least[near] = np.where(closer, away, least[near])
    return nearest


def _around(
    course: Course, xs: npt.NDArray[np.int64], ys: npt.NDArray[np.int64], width: int, distance: float
) -> InkedLine:
    """The outline of a line's ink, column by column; where it has none the line's middle zone joins the words."""
    first, last = max(0, int(xs.min()) - _PAD), min(width, int(xs.max()) + 1 + _PAD)
    steps = max(1, -(-(last - first) // _COLUMN))
    edges = np.minimum(first + _COLUMN * np.arange(steps + 1), last)
    middle = course.at((edges[:-1] + edges[1:]) / 2)
    top, bottom = middle - 0.1 * distance, middle + 0.1 * distance
    for nudge in (-_PAD, 0, _PAD):
        column = np.clip((xs + nudge - first) // _COLUMN, 0, steps - 1)
        np.minimum.at(top, column, ys - _PAD)
        np.maximum.at(bottom, column, ys + 1 + _PAD)
    return InkedLine(course, edges, top, bottom)
