"""Which pixels of a picture are ink, whatever the colour of ink and paper.

How far a pixel is from the paper is measured in the colour channel where it is farthest: blue or magenta ink is as dark
as black there. The paper is one value where a screen or a scanner made the picture; in a photo it changes from place to
place, and what a wide median shows of it is divided out, shadows with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from copyist.document import Box

Picture = npt.NDArray[np.uint8]
"""(height, width) grey or (height, width, 3) RGB, as people send it."""

_FLAT_WITHIN, _FLAT_SHARE = 8, 0.75
_PAPER_SIDE, _PAPER_WINDOW = 192, 41
_OVERVIEW_PIXELS, _MOST_PIXELS = 200_000, 1_200_000
_GLANCE_PIXELS, _LIGHT_ON_DARK = 40_000, 1.2
"""That ink is lighter than the paper must be this much clearer than that it is darker."""
_FAINT, _NOISE = 0.55, 3.0
"""A thin dash of a small picture is fainter than the level that parts ink from paper best: this share of the level is
still ink, unless it is less than so many times what one in twenty pixels of the paper has."""
_RULES = 3
"""As many lines from border to border are paper that is ruled, and no fraction's."""


def strength(picture: Picture) -> Picture:
    """How far each pixel is from the paper, (height, width), 0 to 255."""
    channels = _channels(picture)
    if _is_light_on_dark(channels):
        return _most([cv2.subtract(channel, _paper(channel)) for channel in channels])
    return _most([_darker(channel) for channel in channels])


def inked(far: Picture) -> Picture:
    """The ink of a ``strength`` as 0 and 1; lines that paper is ruled with are none."""
    level, sure = cv2.threshold(far, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    away = cv2.bitwise_not(cv2.dilate(sure, np.ones((7, 7), np.uint8)))
    noise = _NOISE * _percentile(far, 0.95, away)
    mask = cv2.threshold(far, min(level, max(_FAINT * level, noise)), 1, cv2.THRESH_BINARY)[1]
    mask = _without_rules(np.asarray(mask, np.uint8))
    return np.ascontiguousarray(_without_rules(np.ascontiguousarray(mask.T)).T)


def closer(picture: Picture) -> tuple[Picture, tuple[int, int], float]:
    """The part of a large picture that holds ink, where its corner (x, y) is, and by what factor it was made smaller.

    A photo of 12 megapixels holds no more of a formula than one: what follows need not look at all of it.
    """
    height, width = picture.shape[:2]
    if height * width <= _MOST_PIXELS:
        return picture, (0, 0), 1.0
    overview, factor = _within(picture, _OVERVIEW_PIXELS)
    left, top, right, bottom = (round(side / factor) for side in _around_ink(overview))
    part, made_smaller = _within(picture[top:bottom, left:right], _MOST_PIXELS)
    return part, (left, top), made_smaller


def _around_ink(overview: Picture) -> Box:
    """Where ink is in ``overview``, with some paper around."""
    far = strength(overview)
    level, _ = cv2.threshold(far, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    left, top, width, height = cv2.boundingRect((far > 0.6 * level).astype(np.uint8))
    sides = left - 4, top - 4, left + width + 4, top + height + 4
    return Box(*sides).within(overview.shape[1], overview.shape[0])


def _within(picture: Picture, pixels: int) -> tuple[Picture, float]:
    height, width = picture.shape[:2]
    factor = min(1.0, float(pixels / (height * width)) ** 0.5)
    if factor == 1.0:
        return picture, 1.0
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8), factor


def _channels(picture: Picture) -> Sequence[Picture]:
    """Its channels; one where they are the same, as in most scans."""
    if picture.ndim == 2:
        return [np.ascontiguousarray(picture)]
    red, green, blue = cv2.split(picture)[:3]
    if cv2.norm(red, green, cv2.NORM_INF) <= 2 and cv2.norm(green, blue, cv2.NORM_INF) <= 2:
        return [np.asarray(green, np.uint8)]
    return [np.asarray(channel, np.uint8) for channel in (red, green, blue)]


def _paper(channel: Picture) -> Picture | int:
    """What the paper would look like without ink: one value, or that of each pixel."""
    histogram = cv2.calcHist([channel], [0], None, [256], [0, 256]).ravel()
    paper = int(np.searchsorted(histogram.cumsum(), channel.size / 2))
    if histogram[max(0, paper - _FLAT_WITHIN) : paper + _FLAT_WITHIN + 1].sum() > _FLAT_SHARE * channel.size:
        return paper
    height, width = channel.shape
    small, _ = _within(channel, _PAPER_SIDE * max(1, round(_PAPER_SIDE * min(height, width) / max(height, width))))
    wide = cv2.medianBlur(np.ascontiguousarray(small), _PAPER_WINDOW)
    return np.asarray(cv2.resize(wide, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _darker(channel: Picture) -> npt.NDArray[Any]:
    """By how much ink takes light away: in the shade as much as in the light."""
    paper = _paper(channel)
    if isinstance(paper, int):
        return np.asarray(cv2.subtract(paper, channel))
    return np.asarray(255 - cv2.divide(channel, cv2.max(paper, 1), scale=255))


def _is_light_on_dark(channels: Sequence[Picture]) -> bool:
    """Whether ink is lighter than the paper: a blackboard, a dark theme. Only what is thin counts, no sheet's edge."""
    darker = lighter = 0.0
    for channel in channels:
        small, _ = _within(channel, _GLANCE_PIXELS)
        paper = _paper(small)
        window = np.ones((max(5, min(small.shape) // 4),) * 2, np.uint8)
        thin_dark = cv2.morphologyEx(small, cv2.MORPH_BLACKHAT, window)
        thin_light = cv2.morphologyEx(small, cv2.MORPH_TOPHAT, window)
        darker += cv2.norm(cv2.min(cv2.subtract(paper, small), thin_dark))
        lighter += cv2.norm(cv2.min(cv2.subtract(small, paper), thin_light))
    return lighter > _LIGHT_ON_DARK * darker


def _percentile(values: Picture, share: float, mask: npt.NDArray[Any]) -> int:
    """The value that ``share`` of the pixels of ``mask`` do not pass; 0 where it has none."""
    counts = cv2.calcHist([values], [0], mask, [256], [0, 256]).ravel().cumsum()
    return int(np.searchsorted(counts, share * counts[-1]))


def _most(pictures: Sequence[npt.NDArray[Any]]) -> Picture:
    return np.asarray(np.maximum.reduce(pictures), np.uint8)


def _without_rules(mask: Picture) -> Picture:
    """``mask`` without the lines that paper is ruled with: from border to border, more than twice, level or nearly so.

    What is higher than a line is thick crosses it, and stays.
    """
    width = mask.shape[1]
    probes = mask[:, (width * np.linspace(0.05, 0.95, 9)).astype(int)]
    if np.median((np.diff(probes.astype(np.int8), axis=0) > 0).sum(0)) < _RULES:
        return mask
    thick = cv2.dilate(mask, np.ones((3, 1), np.uint8))
    long = cv2.morphologyEx(thick, cv2.MORPH_OPEN, np.ones((1, max(16, width // 12)), np.uint8))
    if not (long[:, : width // 8].any() and long[:, -(width // 8) :].any()):
        return mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(long, np.ones((3, 3), np.uint8)))
    lefts, widths = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_WIDTH]
    is_rule = (widths > 0.85 * width) & (stats[:, cv2.CC_STAT_HEIGHT] < 0.15 * width)
    is_rule[0] = False
    if is_rule.sum() < _RULES:
        return mask
    is_rule[1:] |= ((lefts == 0) | (lefts + widths == width))[1:]
    rules = np.asarray(is_rule[labels], np.uint8)
    thickness = cv2.countNonZero(rules & mask) / float(widths[is_rule].sum())
    tall = np.ones((2 * round(thickness) + 2, 1), np.uint8)
    return np.asarray(mask & ((1 - rules) | cv2.morphologyEx(mask, cv2.MORPH_OPEN, tall)), np.uint8)
