"""A line as it might also have looked: turned, slanted, lighter, with a broader pen, on another scan.

Contained changes help a model that learns from few lines, strong ones hurt (arXiv 2303.02761). Each is made in half of
the cases. Elastic ones are left out: a hand's own forms are what is to be learned.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""A line: grey, shape (height, width), or RGB, shape (height, width, 3)."""

_HALF = 0.5
_TURN_DEGREES, _SLANT_DEGREES = 2.0, 8.0
_SMALLEST, _LARGEST = 0.9, 1.1
_SHIFT = 0.06
"""At most so many heights of the line, to each side."""
_BRIGHTNESS = 25.0
_CONTRAST = (0.75, 1.2)
_BLUR = (0.3, 0.9)
"""Standard deviation in pixels."""
_PEN = (0.3, 0.7)
"""How much of a pen one pixel broader or finer is mixed in."""


def augmented(picture: Picture, *, seed: int, key: str, variant: int) -> Picture:
    """Variant number ``variant`` of ``picture``, the same each time for the same ``seed`` and ``key``, a hex number.

    Variant 0 is the picture as it is. What comes into it from outside has the colour of its paper.
    """
    if variant == 0:
        return picture
    dice = np.random.default_rng([seed, variant, int(key[:15], 16)])
    paper = np.median(picture.reshape(picture.shape[0] * picture.shape[1], -1), axis=0)
    changed = _laid_otherwise(picture, paper, dice)
    for change in (_pen, _blurred, _faded, _lit):
        if dice.random() < _HALF:
            changed = change(changed, paper, dice)
    return changed


def _laid_otherwise(picture: Picture, paper: npt.NDArray[np.float64], dice: np.random.Generator) -> Picture:
    """Turned, slanted, scaled and shifted, all at once, so that it is drawn anew only once; no ink is cut off."""
    height, width = picture.shape[:2]
    turn = math.radians(dice.uniform(-_TURN_DEGREES, _TURN_DEGREES)) if dice.random() < _HALF else 0.0
    slant = math.radians(dice.uniform(-_SLANT_DEGREES, _SLANT_DEGREES)) if dice.random() < _HALF else 0.0
    scale = dice.uniform(_SMALLEST, _LARGEST, 2) if dice.random() < _HALF else np.ones(2)
    shift = dice.uniform(-_SHIFT, _SHIFT, 2) * height if dice.random() < _HALF else np.zeros(2)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    matrix = np.diag(scale) @ matrix @ np.array([[1.0, -math.tan(slant)], [0.0, 1.0]])
    # The sheet grows where ink would fall off. A model sees every sheet equally large, so that all else is its margin.
    corners = _ink_corners(picture, paper)
    centre = np.array([width, height]) / 2
    reach = np.abs((corners - centre) @ matrix.T + shift).max(0) + 1
    sheet = np.maximum(np.ceil(2 * reach), [width, height]).astype(int)
    move = sheet / 2 + shift - matrix @ centre
    fill = tuple(float(value) for value in paper)
    moved = cv2.warpAffine(
        picture,
        np.hstack([matrix, move[:, None]]),
        (int(sheet[0]), int(sheet[1])),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=fill,
    )
    return np.asarray(moved, np.uint8)


def _ink_corners(picture: Picture, paper: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The corners (x, y) of what is not paper, shape (4, 2)."""
    height, width = picture.shape[:2]
    inked = np.abs(picture.reshape(height, width, -1) - paper).max(axis=2) > 40
    columns, rows = np.flatnonzero(inked.any(axis=0)), np.flatnonzero(inked.any(axis=1))
    if not len(columns):
        return np.array([[width / 2, height / 2]] * 4)
    left, right, top, bottom = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    return np.array([[left, top], [right, top], [left, bottom], [right, bottom]], float)


def _pen(picture: Picture, _: npt.NDArray[np.float64], dice: np.random.Generator) -> Picture:
    """A broader or finer pen, by up to a pixel: dark ink spreads, or the paper around it does."""
    spread = cv2.erode if dice.random() < _HALF else cv2.dilate
    share = float(dice.uniform(*_PEN))
    other = spread(picture, np.ones((2, 2), np.uint8))
    return np.asarray(cv2.addWeighted(other, share, picture, 1 - share, 0), np.uint8)


def _blurred(picture: Picture, _: npt.NDArray[np.float64], dice: np.random.Generator) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), float(dice.uniform(*_BLUR))), np.uint8)


def _faded(picture: Picture, paper: npt.NDArray[np.float64], dice: np.random.Generator) -> Picture:
    """More or less contrast to the paper."""
    level = paper if picture.ndim == 3 else paper[0]
    share = dice.uniform(*_CONTRAST)
    return _as_picture(level * (1 - share) + picture * share)


def _lit(picture: Picture, _: npt.NDArray[np.float64], dice: np.random.Generator) -> Picture:
    return _as_picture(picture + dice.uniform(-_BRIGHTNESS, _BRIGHTNESS))


def _as_picture(values: npt.NDArray[np.floating]) -> Picture:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
