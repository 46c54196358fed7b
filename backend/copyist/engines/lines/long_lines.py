"""Cuts the picture of a long line at the gaps between its words, for models that take one short line at a time."""

from __future__ import annotations

from math import ceil

import cv2
import numpy as np
import numpy.typing as npt

_LOOK = 0.25
"""Around the place where an even cut would fall, a gap is looked for this share of a piece's width to each side."""
_GAP = 0.15
"""A gap is clear over about this many heights of the line: less is the space between two letters."""


def cuts(picture: npt.NDArray[np.uint8], longest: float) -> tuple[tuple[int, int], ...]:
    """The columns (first, last exclusive) of the pieces of ``picture``, each at most about ``longest`` heights wide.

    A line that is short enough is one piece. A cut falls where the writing is thinnest around an even share.
    """
    height, width = picture.shape[:2]
    count = ceil(width / (longest * height))
    if count < 2:
        return ((0, width),)
    ink = _ink_in_columns(picture, max(3, round(_GAP * height)))
    share, reach = width / count, max(1, round(_LOOK * width / count))
    edges = [0]
    for number in range(1, count):
        first = max(edges[-1] + 1, round(number * share) - reach)
        last = min(width, round(number * share) + reach)
        here = ink[first:last]
        thinnest = np.flatnonzero(here <= here.min() + 1e-6)
        edges.append(first + int(thinnest[len(thinnest) // 2]))
    return tuple(zip(edges, [*edges[1:], width], strict=True))


def _ink_in_columns(picture: npt.NDArray[np.uint8], gap: int) -> npt.NDArray[np.float64]:
    """How dark each column is, together with its neighbours over ``gap`` columns."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture
    dark = np.clip(float(np.median(grey)) - 20 - grey.astype(float), 0, None).sum(axis=0)
    return np.convolve(np.pad(dark, gap // 2, mode="edge"), np.ones(gap) / gap, mode="same")[gap // 2 :][: len(dark)]
