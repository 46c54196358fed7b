"""Parts lines of small print that were taken for one line: a printed note above a page of large writing, a form's text.

What lies between two lines is found for the whole page, from its writing. Print that is much smaller stands in pairs
of lines within that distance; it is straight, so that the rows between its lines are empty from one end to the other.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from copyist.engines.lines.chains import STRIP, Course

_REACH = 0.6
"""How far from the line that was found others are looked for, in distances between lines."""
_CALM = 0.03
"""Smoothing across the lines, in distances."""
_AS_DARK = 0.6
"""Two lines are about as dark as each other: accents and descenders are paler than their line."""
_EMPTY = 0.15
"""The share of ink, of the paler line's, that the rows between two lines may hold."""
_SLOPES = tuple(np.linspace(-0.03, 0.03, 25))
"""How its direction may differ from that of the page's lines, in pixels down for each to the right."""
_LONG = 3.0
"""Only a line at least so many distances long is looked at: over a word or two any row may be empty."""


def parted(course: Course, profile: npt.NDArray[np.float32], distance: float) -> tuple[Course, ...]:
    """``course`` itself, or the straight lines it stands for; ``profile`` is the ink by rows and strips."""
    if course.x[-1] - course.x[0] < _LONG * distance:
        return (course,)
    x = np.array(course.x)
    offsets = np.arange(-round(_REACH * distance), round(_REACH * distance) + 1)
    # The line that was found may change from one of them to the other: the direction is that of the sharpest rows.
    straight = [float(np.median(course.y)) + slope * (x - x.mean()) for slope in _SLOPES]
    inks = [_ink_along(x, rows, offsets, profile) for rows in straight]
    sharpest = max(range(len(inks)), key=lambda number: float(np.square(np.diff(inks[number])).sum()))
    peaks = _peaks(inks[sharpest], max(1.0, _CALM * distance))
    if len(peaks) < 2:
        return (course,)
    return tuple(Course(course.x, tuple((straight[sharpest] + offsets[peak]).tolist())) for peak in peaks)


def _ink_along(
    x: npt.NDArray[np.float64],
    rows: npt.NDArray[np.float64],
    offsets: npt.NDArray[np.int64],
    profile: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
    """The ink along a line through ``rows`` at columns ``x``, and along its parallels ``offsets`` below it."""
    at = np.round(rows).astype(int)[:, None] + offsets
    strips = np.minimum((x / STRIP).astype(int), profile.shape[1] - 1)[:, None]
    inside = (at >= 0) & (at < len(profile))
    return np.asarray(np.where(inside, profile[np.clip(at, 0, len(profile) - 1), strips], 0).mean(axis=0), float)


def _peaks(ink: npt.NDArray[np.float64], sigma: float) -> list[int]:
    """Where the dark rows are, when they are about as dark as each other and nothing lies between them; else none."""
    around = np.arange(-round(3 * sigma), round(3 * sigma) + 1)
    weights = np.exp(-0.5 * np.square(around / sigma))
    calm = np.convolve(ink, weights / weights.sum(), mode="same")
    inside = (calm[1:-1] > calm[:-2]) & (calm[1:-1] >= calm[2:])
    dark = [int(at) for at in np.flatnonzero(inside) + 1 if calm[at] >= _AS_DARK * calm.max()]
    gaps = [calm[first:last].min() for first, last in pairwise(dark)]
    return dark if all(gap <= _EMPTY * calm[dark].min() for gap in gaps) else []
