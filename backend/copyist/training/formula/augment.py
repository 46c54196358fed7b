"""A formula as it might also have been written and photographed. All chance is in the ``dice``."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from copyist.engines.formula.config import Frame
from copyist.engines.formula.picture import Picture
from copyist.training.formula.ink import Ink

_TURN_DEGREES, _SLANT_DEGREES = 4.0, 14.0
_STRETCH = (0.8, 1.25)
_PENS = (0.05, 0.16)
"""Widths of a pen, of the height of a symbol."""
_STROKE_SHIFT, _STROKE_SIZE = 0.03, 0.04
"""How far single strokes wander, and how much they grow or shrink, of the height of a stroke."""
_PHOTOS, _NEGATIVES = 0.3, 0.2
"""So many pictures look photographed; so many are light on dark."""
_NOISE = 0.12
"""Noise moves a pixel by half of this share of the whole range at most."""
_SYMBOLS_PX = 30, 52
"""How high symbols are drawn."""
_SIZES, _SMALL_SIZES, _SMALL = (0.75, 1.25), (0.4, 0.75), 0.08
"""How high symbols are, of what they should be; in some pictures much less: where symbols touch, all look like one."""


def rewritten(ink: Ink, dice: np.random.Generator) -> Ink:
    """``ink`` turned, slanted and stretched a little, each stroke a bit out of place."""
    turn = math.radians(dice.normal(0, _TURN_DEGREES / 2.5))
    slant = math.tan(math.radians(dice.normal(0, _SLANT_DEGREES / 2)))
    stretch = math.exp(dice.uniform(math.log(_STRETCH[0]), math.log(_STRETCH[1])))
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    matrix = matrix @ np.array([[stretch, -slant], [0.0, 1.0]])
    return Ink(tuple(_moved(stroke @ matrix.T, dice) for stroke in ink.strokes))


def _moved(stroke: npt.NDArray[np.float64], dice: np.random.Generator) -> npt.NDArray[np.float64]:
    low, high = stroke.min(0), stroke.max(0)
    size = float((high - low).max())
    grown = 1 + dice.normal(0, _STROKE_SIZE, 2)
    centre = (low + high) / 2
    moved: npt.NDArray[np.float64] = (stroke - centre) * grown + centre + dice.normal(0, _STROKE_SHIFT * size, 2)
    return moved


def pen(dice: np.random.Generator) -> float:
    """The width of a pen, of the height of a symbol."""
    return float(dice.uniform(*_PENS))


def symbol_px(dice: np.random.Generator) -> int:
    """The height of symbols in pixels; what they are prepared from is sharper or less sharp by that."""
    return int(dice.integers(*_SYMBOLS_PX))


def framed(frame: Frame, dice: np.random.Generator) -> Frame:
    """``frame`` with symbols of another height, as they come out where their height is guessed wrong."""
    low, high = _SMALL_SIZES if dice.random() < _SMALL else _SIZES
    size = math.exp(dice.uniform(math.log(low), math.log(high)))
    return replace(frame, symbol_px=max(1, round(frame.symbol_px * size)))


def photographed(picture: Picture, dice: np.random.Generator) -> Picture:
    """``picture`` (grey, dark on light) on other paper and in other light, in a part of the cases."""
    is_photo, is_negative = dice.random() < _PHOTOS, dice.random() < _NEGATIVES
    if is_photo:
        picture = _jpeg(_noisy(_blurred(on_paper(picture, dice), dice), dice), dice)
    return np.asarray(255 - picture, np.uint8) if is_negative else picture


def on_paper(picture: Picture, dice: np.random.Generator) -> Picture:
    """Grey paper, a shadow across it, ink that is not black."""
    light, dark = dice.uniform(150, 255), dice.uniform(0, 90)
    values = picture.astype(np.float32) * np.float32((light - dark) / 255) + np.float32(dark)
    corners = dice.uniform(0.65, 1.0, (2, 2)).astype(np.float32)
    height, width = picture.shape
    shade = cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(values * shade, 0, 255), np.uint8)


def _blurred(picture: Picture, dice: np.random.Generator) -> Picture:
    deviation = float(dice.uniform(0.2, 1.6))
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), deviation), np.uint8)


def _noisy(picture: Picture, dice: np.random.Generator) -> Picture:
    share = float(dice.uniform(0, _NOISE))
    noise = dice.integers(0, 256, picture.shape, np.uint8)
    return np.asarray(cv2.addWeighted(picture, 1.0, noise, share, -127.5 * share), np.uint8)


def _jpeg(picture: Picture, dice: np.random.Generator) -> Picture:
    quality = int(dice.integers(35, 95))
    _, packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)
