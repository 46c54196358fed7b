"""Takes the rules of ruled paper out of the ink, so that they are not taken for lines of writing.

A rule is thin and runs on where writing does not. Only the rule's own pixels go: a letter's stroke that crosses it is
higher than the rule is thick, and stays. Crops are cut from the page itself, so that nothing is lost to the reader.
"""

from __future__ import annotations

import cv2
import numpy as np

from copyist.engines.lines.ink import Mask

_THICKEST = 4
"""Rules are at most this many pixels thick on the working grid, where A4 is about 1,500 pixels high."""
_PIECE = 10
"""Pixels that an unbroken piece of a rule is long at least: faint rules come out dotted."""
_FAR = 301
"""Pixels over which a rule is followed; the strokes of letters are parted on that way."""
_INKED = 0.4
"""The share of that way on which a rule shows."""
_TALLEST_STROKE = 160
"""Straight upright strokes longer than this are frames, margins and edges of paper."""


def without_rules(mask: Mask) -> Mask:
    """``mask`` (255 where ink is, its rules level within half a degree) without its horizontal and vertical rules."""
    return _without_verticals(_without_horizontals(mask))


def _without_horizontals(mask: Mask) -> Mask:
    upright = np.ones((_THICKEST + 1, 1), np.uint8)
    thin = cv2.subtract(mask, cv2.morphologyEx(mask, cv2.MORPH_OPEN, upright))
    pieces = cv2.morphologyEx(thin, cv2.MORPH_OPEN, np.ones((1, _PIECE), np.uint8))
    way = min(_FAR, max(_PIECE, mask.shape[1] // 3))
    # A rule that wanders by a pixel is still one.
    wide = cv2.dilate(pieces, np.ones((3, 1), np.uint8))
    inked = cv2.blur(wide, (way, 1), borderType=cv2.BORDER_CONSTANT)
    rules = cv2.bitwise_and(pieces, np.where(inked > _INKED * 255, 255, 0).astype(np.uint8))
    rules = cv2.dilate(rules, np.ones((3, 3), np.uint8))
    return np.asarray(cv2.subtract(mask, cv2.bitwise_and(thin, rules)), np.uint8)


def _without_verticals(mask: Mask) -> Mask:
    if mask.shape[0] <= _TALLEST_STROKE:
        return mask
    long = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((_TALLEST_STROKE, 1), np.uint8))
    return np.asarray(cv2.subtract(mask, cv2.dilate(long, np.ones((1, 3), np.uint8))), np.uint8)
