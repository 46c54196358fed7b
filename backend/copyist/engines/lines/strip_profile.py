"""Finds where lines of writing run: the darkest rows of narrow strips, chained from left to right.

The page's slope is taken out first by a shear, rules are dropped, ink is smoothed along the lines (Gaussian, wide in x
and narrow in y), and the maxima of each strip are chained. The scale of the writing is found from the spectrum of the
strips' profiles, so that no resolution need be known. Kin: Arivazhagan et al., "A statistical approach to line
segmentation in handwritten documents" (2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np
import numpy.typing as npt

from copyist.engines.lines.chains import STRIP, Course, Letters, Maxima, courses_of
from copyist.engines.lines.ink import Mask
from copyist.engines.lines.ruled_paper import without_rules
from copyist.engines.lines.small_print import parted

_STEEPEST = 0.12
"""The steepest slope of a page's lines that is looked for, in pixels down for each pixel to the right: 7 degrees."""
_SLOPES = 49
_PER_SIGMA = 2 * np.pi / 2**0.5
"""A wave of length p answers most to a second derivative smoothed with sigma p / 4.44."""
_SMOOTH_Y, _SMOOTH_X = 0.14, 0.6
"""Smoothing across and along the lines, as shares of their distance."""
_FAINT = 0.2
"""A maximum under this share of the usual one is no line."""
_MUCH_CLOSER = 0.9
"""Lines that lie closer together than this share of the distance that was expected say better what it is."""

Profile = npt.NDArray[np.float32]
"""Shape (height, strips): the share of ink in each row of each strip."""


@dataclass(frozen=True)
class Courses:
    """All lines of a page from top to bottom, on a mask without rules that was sheared level.

    Row r at column x of ``mask`` is row r - ``shift`` + ``slope`` * x of the mask that was given; ``distance`` is what
    usually lies between two lines, in pixels.
    """

    lines: tuple[Course, ...]
    mask: Mask
    slope: float
    shift: float
    distance: float


def find_courses(mask: Mask) -> Courses:
    """Where the lines run in ``mask`` (255 where ink is)."""
    slope = _slope(_strips(mask))
    level, shift = _sheared(mask, slope)
    level = without_rules(level)
    profile = _strips(level)
    distance = _distance(profile)
    letters = _letters(level)
    lines = courses_of(_maxima(profile, distance), letters, distance)
    # Thick bars and drawings make the scale look larger than the writing's.
    closer = _usual_gap(lines, distance)
    if closer < _MUCH_CLOSER * distance:
        distance = closer
        lines = courses_of(_maxima(profile, distance), letters, distance)
    lines = [part for line in lines for part in parted(line, profile, distance)]
    return Courses(tuple(sorted(lines, key=lambda line: median(line.y))), level, slope, shift, distance)


def _letters(mask: Mask) -> Letters:
    """The centre, height and width of each connected piece of ink."""
    _, _, stats, centres = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return np.column_stack([centres[1:], stats[1:, [cv2.CC_STAT_HEIGHT, cv2.CC_STAT_WIDTH]]])


def _usual_gap(lines: list[Course], distance: float) -> float:
    """What usually lies between a line and the next one below it; ``distance`` where no lines follow each other."""
    gaps = []
    for line in lines:
        middle = (line.x[0] + line.x[-1]) / 2
        below = [other.at(middle) - line.at(middle) for other in lines if other.x[0] <= middle <= other.x[-1]]
        gaps += [min((float(gap) for gap in below if gap > 0), default=np.inf)]
    near = [gap for gap in gaps if 0.5 * distance < gap < 1.3 * distance]
    return median(near) if len(near) > 2 else distance


def _strips(mask: Mask) -> Profile:
    """The share of ink in each row of each strip."""
    height, width = mask.shape
    size = max(1, round(width / STRIP)), height
    return np.asarray(cv2.resize(mask.astype(np.float32) / 255, size, interpolation=cv2.INTER_AREA), np.float32)


def _slope(profile: Profile) -> float:
    """The slope under which the rows' sums differ most: that of the lines, or of the rules they stand on."""
    height, strips = profile.shape
    # A single long line cannot fall by more than its picture is high.
    steepest = min(_STEEPEST, height / (STRIP * strips))
    pad = int(steepest * STRIP * strips) + 1
    padded = np.pad(profile, ((pad, pad), (0, 0)))
    rows, columns = np.arange(pad, pad + height)[:, None], np.arange(strips)[None, :]
    sharpest, best = -1.0, 0.0
    for slope in sorted(np.linspace(-steepest, steepest, _SLOPES), key=abs):
        moved = padded[rows + np.round((columns - strips / 2) * STRIP * slope).astype(int), columns]
        sharpness = float(np.square(np.diff(moved.mean(axis=1))).sum())
        if sharpness > 1.02 * sharpest:
            sharpest, best = sharpness, float(slope)
    return best


def _sheared(mask: Mask, slope: float) -> tuple[Mask, float]:
    """``mask`` with lines of ``slope`` made level, high enough to lose nothing, and by how much row 0 was moved."""
    height, width = mask.shape
    drop = slope * width
    shift = max(drop, 0.0)
    matrix = np.array([[1, 0, 0], [-slope, 1, shift]])
    level = cv2.warpAffine(mask, matrix, (width, height + int(abs(drop)) + 1), flags=cv2.INTER_NEAREST)
    return np.asarray(level, np.uint8), shift


def _distance(profile: Profile) -> float:
    """What usually lies between two lines, in pixels: the scale at which the profiles bend most."""
    height, strips = profile.shape
    calm = cv2.GaussianBlur(profile, (0, 0), sigmaX=4, sigmaY=0.5, borderType=cv2.BORDER_CONSTANT)
    length = 2 * height
    power = np.square(np.abs(np.fft.rfft(calm, n=length, axis=0))).sum(axis=1)
    frequency = 2 * np.pi * np.arange(len(power)) / length
    # Lines that are much further apart than they are long are none.
    sigmas = np.geomspace(2.0, max(2.5, min(height, 3 * STRIP * strips) / 4), 60)
    bent = (sigmas[:, None] * frequency) ** 2
    return float(sigmas[int(np.argmax((power * np.square(bent * np.exp(-bent / 2))).sum(axis=1)))] * _PER_SIGMA)


def _smoothed(profile: Profile, distance: float) -> Profile:
    along = max(1.0, _SMOOTH_X * distance / STRIP)
    across = max(1.0, _SMOOTH_Y * distance)
    smooth = cv2.GaussianBlur(profile, (0, 0), sigmaX=along, sigmaY=across, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(smooth, np.float32)


def _maxima(profile: Profile, distance: float) -> Maxima:
    """For each strip the rows of the maxima of its smoothed profile."""
    smooth = _smoothed(profile, distance)
    reach = max(1, round(0.25 * distance))
    highest = cv2.dilate(smooth, np.ones((2 * reach + 1, 1), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    is_peak = (smooth >= highest) & (smooth > 0)
    if not is_peak.any():
        return [[] for _ in range(smooth.shape[1])]
    usual = float(np.quantile(smooth[is_peak], 0.8))
    is_peak &= smooth > _FAINT * usual
    return [
        [(float(row), float(strip[row])) for row in np.flatnonzero(peaks)]
        for strip, peaks in zip(smooth.T, is_peak.T, strict=True)
    ]
