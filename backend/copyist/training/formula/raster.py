"""Ink as a picture: black strokes on white paper."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from copyist.training.formula.ink import Ink

Picture = npt.NDArray[np.uint8]
"""Grey, (height, width), 0 for ink and 255 for paper."""

MOST_PIXELS = 4_000_000
"""A picture that would be larger is drawn smaller, symbols and pen alike."""
_LONGEST_SIDE = 16_000
_ABOUT = MOST_PIXELS - 3 * _LONGEST_SIDE
"""Leaves room for sides that are rounded up."""
_FINER = 3
"""Drawn so many times larger, which makes edges smooth and pens of thirds of a pixel."""
_BITS = 4
"""Of a pixel's fraction when OpenCV draws."""
_FLAT, _SMALL = 0.25, 0.12
"""A stroke is flat when it is lower than this share of its width, or of the highest stroke: bars, minus signs, dots."""
_NOTHING = 1e-200
"""A lower stroke is a dot; what is divided by its height would be no number any more."""
_WIDEST = 40
"""No stroke is as wide as so many symbols; what seems to be is a bar with nothing but dots around it."""


def draw(ink: Ink, *, pen_px: float, symbol_px: int = 48, margin_px: int = 8) -> Picture:
    """Draw ``ink`` with a round pen ``pen_px`` wide, its strokes ``symbol_px`` high (the median; flat ones aside).

    ``margin_px`` of paper are left around the ink. At most ``MOST_PIXELS``. Raises ``ValueError`` for a pen or symbols
    of no size.
    """
    if not (0 < pen_px < math.inf and symbol_px > 0 and margin_px >= 0):
        raise ValueError("A pen and symbols have to have a size.")
    left, top, right, bottom = ink.box
    around = 2 * margin_px + pen_px
    # Ink whose symbols are nothing against the whole of it would be too wide for a number.
    scale = symbol_px / max(_symbol_height(ink), max(right - left, bottom - top) / MOST_PIXELS)
    shrink = _shrink((right - left) * scale + around, (bottom - top) * scale + around)
    scale, pen_px, margin = scale * shrink, pen_px * shrink, (margin_px + pen_px / 2) * shrink
    width = math.ceil((right - left) * scale + 2 * margin)
    height = math.ceil((bottom - top) * scale + 2 * margin)
    canvas = np.full((height * _FINER, width * _FINER), 255, np.uint8)
    fine = scale * _FINER * 2**_BITS
    corner, inset = np.array((left, top)), margin * _FINER * 2**_BITS
    thickness = _thickness(pen_px * _FINER)
    for stroke in ink.strokes:
        points = np.rint((stroke - corner) * fine + inset).astype(np.int32)
        # A stroke of one point is a dot; OpenCV draws lines only.
        points = np.repeat(points, 2, axis=0) if len(points) == 1 else points
        cv2.polylines(canvas, [points], False, 0, thickness, cv2.LINE_8, _BITS)
    picture: Picture = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return picture


def _symbol_height(ink: Ink) -> float:
    """The median height of the strokes that are not flat; of flat ones alone, the width of the widest."""
    sides = np.array([np.ptp(stroke, axis=0) for stroke in ink.strokes])
    widths, heights = sides[:, 0], sides[:, 1]
    upright = heights[(heights > _FLAT * widths) & (heights > _SMALL * heights.max())]
    found = max(np.median(upright), sides.max() / _WIDEST) if len(upright) else sides.max()
    return float(found) if found > _NOTHING else 1.0


def _thickness(width: float) -> int:
    """What OpenCV draws as nearly so wide: it makes 5 of 3 and of 4, 7 of 5 and of 6."""
    half = max(0, round((width - 1) / 2))
    return half + 1 if half < 2 else 2 * half - 1


def _shrink(width: float, height: float) -> float:
    """By how much a picture of this size has to become smaller."""
    return min(1.0, math.sqrt(_ABOUT / width / height), _LONGEST_SIDE / max(width, height))
