"""Where the ink is: pixels that are clearly darker than the paper around them, at a size that is quick to work on.

Paper is estimated around every pixel, so that shadows and yellow paper do no harm; contrast is taken in the channel in
which it is strongest, so that coloured pens count as ink. Writing that shines through from the back is fainter than
the page's own ink, and falls below a threshold that follows the darkest strokes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.uint8]
"""Shape (height, width): 255 where something is, 0 elsewhere."""
_WORKING_PIXELS = 1_800_000
"""A4 at 200 dpi is halved to this: lines are found as well as at full size, in a quarter of the time."""
_LONGEST_SIDE = 30_000
"""Pixels; OpenCV bends no larger image."""
_PAPER_STEP = 8
"""Paper is estimated on an image this much smaller still."""
_FAINTEST = 0.10
"""Contrast, as a share of the paper's brightness, under which nothing is ink: the grain of paper and JPEG's ripples."""
_OF_DARKEST = 0.35
"""Ink has at least this share of the contrast of the darkest strokes; what shines through has about 0.25."""
_STROKES = 0.004
"""The share of all pixels that the darkest strokes are taken to cover."""
_DARK_TABLE = 0.8
"""What surrounds a photographed sheet is at most this pale, measured by the sheet."""
_SHEET = 0.2, 0.97
"""A photographed sheet covers between these shares of the picture."""
_FULL = 0.9
"""The share of a sheet that is pale."""
_SMALLEST_PHOTO = 64
_STRAIGHT, _MARGIN = 0.01, 4
"""How far, as a share of the picture, points of a straight edge lie off it; pixels of a quarter of the working size."""


@dataclass(frozen=True)
class Ink:
    """The ink of a page on a smaller grid: pixel (x, y) of ``mask`` lies at (x, y) / ``scale`` on the page."""

    mask: Mask
    scale: float


def find_ink(pixels: npt.NDArray[np.uint8]) -> Ink:
    """The ink of ``pixels``, grey (height, width) or RGB (height, width, 3); an empty mask for a blank page."""
    height, width = pixels.shape[:2]
    scale = min(1.0, (_WORKING_PIXELS / (height * width)) ** 0.5, _LONGEST_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA), np.uint8)
    contrast = _contrast(small)
    contrast[_beside_the_sheet(small) > 0] = 0
    strongest = float(np.quantile(contrast, 1 - _STROKES))
    threshold = max(_OF_DARKEST * strongest, _FAINTEST)
    return Ink(np.where(contrast > threshold, 255, 0).astype(np.uint8), scale)


def _contrast(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """How much darker than the paper each pixel is, 0 to 1, in the channel that shows it best."""
    channels = cv2.split(image) if image.ndim == 3 else (image,)
    found = np.zeros(image.shape[:2], np.float32)
    for channel in channels:
        paper = _paper(np.asarray(channel, np.uint8)).astype(np.float32)
        # A pen's contrast on black is noise: paper darker than a tenth of white is taken for that bright.
        np.maximum(found, (paper - channel) / np.maximum(paper, 25.0), out=found)
    return found


def _paper(channel: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The brightness that the paper would have under the ink: the brightest around, without specks."""
    height, width = channel.shape
    size = max(1, width // _PAPER_STEP), max(1, height // _PAPER_STEP)
    small = cv2.resize(channel, size, interpolation=cv2.INTER_AREA)
    bright = cv2.dilate(small, np.ones((5, 5), np.uint8))
    calm = cv2.medianBlur(bright, 11)
    return np.asarray(cv2.resize(calm, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _beside_the_sheet(image: npt.NDArray[np.uint8]) -> Mask:
    """Where a photo shows what the sheet lies on: outside of one pale, full shape that is clearly paler.

    Empty where there is no such shape: on scans, and where the sheet fills the picture.
    """
    height, width = image.shape[:2]
    nothing = np.zeros((height, width), np.uint8)
    if min(height, width) < _SMALLEST_PHOTO:
        return nothing
    small = np.asarray(cv2.resize(image, (width // 4, height // 4), interpolation=cv2.INTER_AREA), np.uint8)
    paleness = _paleness(small)
    around = cv2.blur(paleness, (min(small.shape[:2]) // 2,) * 2, borderType=cv2.BORDER_REPLICATE)
    pale = np.where(paleness > _DARK_TABLE * around, 255, 0).astype(np.uint8)
    # Opening cuts off where light is reflected beside the sheet.
    side = max(3, min(small.shape[:2]) // 8)
    pale = np.asarray(cv2.morphologyEx(pale, cv2.MORPH_OPEN, np.ones((side, side), np.uint8)), np.uint8)
    sheet = _between_straight_edges(pale)
    if not _is_sheet(sheet, pale, paleness):
        return nothing
    return np.asarray(255 - cv2.resize(sheet, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def _between_straight_edges(pale: Mask) -> Mask:
    """The largest pale shape, cut along the straight edges that it has, with a margin inside of them.

    The margin is there because the edge of a sheet is a dark line of its own.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(pale)
    if count < 2:
        return np.zeros_like(pale)
    shape = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    height, width = shape.shape
    y, x = np.mgrid[:height, :width]
    sheet = np.ones(shape.shape, bool)
    for inked, along, across, size in ((shape, y, x, width), (shape.T, x, y, height)):
        lines = np.flatnonzero(inked.any(axis=1))
        first, last = inked[lines].argmax(axis=1), inked.shape[1] - 1 - inked[lines, ::-1].argmax(axis=1)
        for edge, sign in ((first, 1), (last, -1)):
            slope, start = _straight(lines, edge.astype(float), size)
            sheet &= sign * (across - (start + slope * along)) >= (0 if slope == 0 else _MARGIN)
    return np.where(sheet, 255, 0).astype(np.uint8)


def _straight(at: npt.NDArray[np.int64], edge: npt.NDArray[np.float64], size: int) -> tuple[float, float]:
    """The slope and start of the line that most of ``edge`` lies on; slope 0 at the picture's border where none is."""
    outer = 0.0 if edge.mean() < size / 2 else float(size - 1)
    kept = np.ones(len(at), bool)
    slope, start = 0.0, outer
    for _ in range(5):
        slope, start = (float(value) for value in np.polyfit(at[kept], edge[kept], 1))
        away = np.abs(edge - start - slope * at)
        kept = away <= np.quantile(away, 0.6)
    return (slope, start) if float((away < _STRAIGHT * size).mean()) > 0.5 else (0.0, outer)


def _paleness(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Bright and without colour, 0 to 255, with the writing closed over: wood is neither."""
    pale = image.astype(np.float32)
    if image.ndim == 3:
        pale = pale.min(axis=2) ** 2 / np.maximum(pale.max(axis=2), 1)
    return np.asarray(cv2.morphologyEx(pale, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)), np.float32)


def _is_sheet(sheet: Mask, pale: Mask, paleness: npt.NDArray[np.float32]) -> bool:
    """Whether the shape is neither small nor everything, is filled by what is pale, and stands out."""
    inside = sheet > 0
    if not _SHEET[0] < float(inside.mean()) < _SHEET[1] or float((pale[inside] > 0).mean()) < _FULL:
        return False
    return bool(np.median(paleness[~inside]) < _DARK_TABLE * np.median(paleness[inside]))
