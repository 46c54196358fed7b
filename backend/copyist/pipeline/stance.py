"""How a page of text lies, by the look of it: turned, tilted, and how tall its letters are. No reading, some 30 ms.

Letters of a line stand on one baseline, so the undersides of a page's letters fall into few rows, more sharply than
their upper sides (most letters have no ascender, and few a descender), and far more sharply than their left and right
sides fall into columns. Which of the four sides falls into the sharpest rows, and at which angle, is how the page lies.
For scripts without that habit (Hebrew; Devanagari, which hangs from its upper line) and for capitals the answer is a
guess, to be proved by a trial reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from copyist.document import Box
from copyist.pipeline.pixels import Pixels

Floats = npt.NDArray[np.float64]

MAX_SKEW: Final = 12.0
"""Degrees; a page tilted by more is not recognised as tilted."""
_LONG_SIDE: Final = 1600
"""Pixels to look at: letters of 10 pt on A4 are then about 12 pixels high."""
_MIN_LETTERS: Final = 30
_CONTRAST: Final = 18
_OF_DARKEST: Final = 0.4
"""How much darker than its surroundings ink is, of 255, and of what the darkest hundredth of the page is."""
_FEW_LINES: Final = 48
_COARSE, _FINE = 0.5, 0.05
_MIN_SHARPNESS: Final = 3.0
_SURE_AXIS: Final = 1.5
_SURE_SIDE: Final = 1.15
"""On the samples undersides are 1.3 to 2 times as sharp as upper sides for Latin print; 0.97 to 1.05 says nothing."""
TRIAL_HEIGHTS: Final = 9
"""Height of the stretch of lines to try, in letter heights: three or four lines."""


@dataclass(frozen=True)
class Stance:
    """How a page seems to lie.

    ``turned`` and ``skew`` as in ``Page``. ``axis_sure``: lines run along or across the page without doubt.
    ``side_sure``: so does the side that is up. ``letter_height``: median, pixels, ``None`` where there are few letters.
    ``dense``: the stretch of lines with the most letters, in pixels of the image as it lies.
    """

    turned: int = 0
    skew: float = 0.0
    axis_sure: bool = False
    side_sure: bool = False
    letter_height: float | None = None
    dense: Box | None = None


@dataclass(frozen=True)
class _Letters:
    """Boxes of what may be letters, one array a side; the image looked at is ``width`` x ``height`` pixels."""

    left: Floats
    top: Floats
    right: Floats
    bottom: Floats
    width: int
    height: int

    def undersides(self, turned: int) -> tuple[Floats, Floats]:
        """How far down each letter's underside lies, and how far along its line, were the page turned so."""
        x, y = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        if turned == 90:
            return self.right, -y
        if turned == 180:
            return -self.top, -x
        if turned == 270:
            return -self.left, y
        return self.bottom, x


@dataclass(frozen=True)
class _Fit:
    turned: int
    sharpness: float
    skew: float


def find_stance(pixels: Pixels) -> Stance:
    """Look at a page image (grey or RGB) and say how it lies."""
    letters, shrink = _find_letters(pixels)
    if letters is None:
        return Stance()
    sizes = np.maximum(letters.right - letters.left, letters.bottom - letters.top)
    step = max(1.0, float(np.median(sizes)) / 6)
    fits = {turned: _fit(letters, turned, step) for turned in (0, 90, 180, 270)}
    best = max(fits.values(), key=lambda fit: fit.sharpness)
    opposite = fits[(best.turned + 180) % 360]
    across = max(fits[(best.turned + 90) % 360].sharpness, fits[(best.turned + 270) % 360].sharpness)
    axis_sure = best.sharpness >= max(_MIN_SHARPNESS, _SURE_AXIS * across)
    heights = letters.bottom - letters.top if best.turned in (0, 180) else letters.right - letters.left
    if not axis_sure:
        return Stance()
    return Stance(
        turned=best.turned,
        skew=best.skew if abs(best.skew) <= MAX_SKEW else 0.0,
        axis_sure=True,
        side_sure=best.sharpness >= _SURE_SIDE * opposite.sharpness,
        letter_height=float(np.median(heights)) / shrink,
        dense=_densest(letters, best, float(np.median(heights)), shrink),
    )


def _find_letters(pixels: Pixels) -> tuple[_Letters | None, float]:
    """What is darker than its surroundings and of a letter's size, in the image shrunk by the factor given back."""
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    shrink = min(1.0, _LONG_SIDE / max(grey.shape))
    if shrink < 1:
        grey = cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    height, width = grey.shape
    around = max(15, max(width, height) // 40 | 1)
    depth = cv2.subtract(cv2.blur(grey, (around, around)), grey)
    floor = max(_CONTRAST, _OF_DARKEST * float(np.percentile(depth[::4, ::4], 99)))
    ink = cv2.threshold(depth, floor, 1, cv2.THRESH_BINARY)[1]
    _, _, boxes, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    left, top, across, down, area = boxes[1:].T
    size = np.maximum(across, down)
    keep = (size >= 5) & (size <= max(width, height) / 12) & (area >= 8) & (np.minimum(across, down) >= 2)
    if np.count_nonzero(keep) >= _MIN_LETTERS:
        usual = np.median(size[keep])
        keep &= (size > usual / 2) & (size < 3 * usual)
    if np.count_nonzero(keep) < _MIN_LETTERS:
        return None, shrink
    left, top, across, down = (values[keep].astype(np.float64) for values in (left, top, across, down))
    return _Letters(left, top, left + across, top + down, width, height), shrink


def _fit(letters: _Letters, turned: int, step: float) -> _Fit:
    """The angle at which one side of the letters falls into the sharpest rows, ``step`` pixels high."""
    down, along = letters.undersides(turned)
    coarse = np.arange(-MAX_SKEW, MAX_SKEW + _COARSE / 2, _COARSE)
    near = coarse[np.argmax([_sharpness(down, along, angle, step) for angle in coarse])]
    fine = np.arange(near - _COARSE, near + _COARSE + _FINE / 2, _FINE)
    sharpness = [_sharpness(down, along, angle, step) for angle in fine]
    best = int(np.argmax(sharpness))
    return _Fit(turned, sharpness[best], float(fine[best]))


def _sharpness(down: Floats, along: Floats, degrees: float, step: float) -> float:
    """How unevenly points fall into rows tilted by ``degrees``: 1 for points spread evenly, more for lines.

    It is the number of pairs of points that share a row, against the number that would if they lay anywhere.
    """
    rows = down - along * np.tan(np.radians(degrees))
    counts = np.bincount(((rows - rows.min()) / step).astype(np.int64))
    points = len(down)
    # A single line has no others to be sharper than: it is seen on a sheet of a few lines.
    available = max(len(counts), _FEW_LINES)
    return float(np.dot(counts, counts) - points) * available / (points * (points - 1))


def _densest(letters: _Letters, fit: _Fit, letter_height: float, shrink: float) -> Box:
    """The stretch of lines with the most letters, as an upright box in the image as it lies."""
    down, along = letters.undersides(fit.turned)
    rows = down - along * np.tan(np.radians(fit.skew))
    order = np.sort(rows)
    stretch = TRIAL_HEIGHTS * letter_height
    first = int(np.argmax(np.searchsorted(order, order + stretch) - np.arange(len(order))))
    chosen = (rows >= order[first]) & (rows <= order[first] + stretch)
    pad = letter_height
    return Box(
        int(max(0, letters.left[chosen].min() - pad) / shrink),
        int(max(0, letters.top[chosen].min() - pad) / shrink),
        int(min(letters.width, letters.right[chosen].max() + pad) / shrink),
        int(min(letters.height, letters.bottom[chosen].max() + pad) / shrink),
    )
