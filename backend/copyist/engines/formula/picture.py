"""From the picture of a formula as people send it to what a model is shown.

The same code makes the pictures that a model is trained on and those that it reads. ``paper`` says what is ink; here
specks are left out, and symbols and pen are brought to one size: who writes how large, with which pen and on which
device says nothing about the formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from copyist.document import Box
from copyist.engines.formula import paper
from copyist.engines.formula.config import Frame
from copyist.engines.formula.paper import Picture as Picture
from copyist.engines.formula.unusable import Unusable

MARGIN_PX = 4
"""Paper around the ink of what is prepared."""

_LEAST_SIDE, _MOST_RATIO = 8, 100
_LEAST_CONTRAST = 20
_MOST_ENLARGED = 6.0
_PEN = 0.085, 0.105
"""A pen is brought between these shares of the height of a symbol."""
_COARSEST = 1 / 16
"""Nothing is reduced by more after its pen was changed: that takes seconds where a symbol has thousands of pixels."""
_THIN_PX = 2.5
_COARSE_PX, _CRUMBLED, _FILLED = 5.0, 1.6, 1.1
"""Chalk is coarse, its strokes are so many times as wide as their crumbs, and have so many times as many pixels."""
_SPECK = 0.4
"""Of the square of the pen's width: a full stop has more."""
_MOST_INK, _FATTEST = 0.45, 0.5
"""Writing covers less of its box, and is done with a finer pen, of the height of a symbol."""
MOST_PIECES = 400
"""A formula falls into fewer."""
_BLUR_PX, _BLUR = 2.0, 0.025
"""So wide, in pixels and of the height of a symbol, are the soft edges of what is drawn; a photo's are wider."""
_EDGE_LENGTH, _EDGE_AWAY = 1.5, 1.0
"""How long an edge of a sheet or of a board is at least, and how far from what is written, in symbols."""


class PictureUnusable(Unusable):
    """Nothing can be read from this picture; ``code`` is no_ink, too_thin or too_small."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a model is shown.

    ``pixels`` are (height, width), 0 for paper to 255 for ink, framed. ``box`` is where the ink stood in the picture
    that was given, ``scale`` by how much it was enlarged. ``plausible`` is false where what is there hardly is writing:
    a photo, a texture, noise.
    """

    pixels: Picture
    box: Box
    scale: float = 1.0
    plausible: bool = True


@dataclass(frozen=True, eq=False)
class Ink:
    """What is written on a picture, or on a ``part`` of it that was reduced: where that begins, and by what factor.

    In pixels of that part: ``far`` is how far each is from the paper, ``mask`` which of them are ink, ``boxes`` one row
    (left, top, width, height, area) for each piece of it, ``symbol`` the height of a symbol, ``pen`` the width of a
    stroke.
    """

    far: Picture
    mask: Picture
    boxes: npt.NDArray[np.int32]
    symbol: float
    pen: float
    part: tuple[int, int, float] = (0, 0, 1.0)

    @property
    def box(self) -> Box:
        """What holds all the ink, in the part."""
        lefts, tops, widths, heights = (self.boxes[:, side] for side in range(4))
        return Box(int(lefts.min()), int(tops.min()), int((lefts + widths).max()), int((tops + heights).max()))

    def placed(self, box: Box) -> Box:
        """Where a box of the part is in the picture."""
        x, y, factor = self.part
        left, top, right, bottom = (side / factor for side in box)
        return Box(int(left) + x, int(top) + y, round(right) + x, round(bottom) + y)

    @property
    def is_plausible(self) -> bool:
        """Whether this may be one formula: written, and not in more pieces than one has."""
        return self.is_written and len(self.boxes) <= MOST_PIECES

    @property
    def is_written(self) -> bool:
        """Whether this may be writing: lines with edges, not areas and shades."""
        inside = cv2.countNonZero(self.mask)
        # A dash or a dot fills its box.
        is_filled = (
            inside > _MOST_INK * self.box.width * self.box.height
            and min(self.box.width, self.box.height) > 4 * self.pen
        )
        if is_filled or inside > _MOST_INK * self.mask.size:
            return False
        full = cv2.mean(self.far, self.mask)[0]
        near = cv2.dilate(self.mask, np.ones((5, 5), np.uint8))
        soft = cv2.countNonZero(near & cv2.inRange(self.far, 0.3 * full, 0.7 * full))
        blur = soft / inside * self.pen
        return self.pen < _FATTEST * self.symbol and (blur < _BLUR_PX or blur < _BLUR * self.symbol)


def prepare(picture: Picture, frame: Frame) -> Prepared:
    """Bring ``picture`` to ``frame``; raises ``PictureUnusable``."""
    ink = find_ink(picture)
    scale = _scale(ink, frame)
    box = ink.placed(ink.box).within(picture.shape[1], picture.shape[0])
    return Prepared(_framed(_drawn(ink, scale, frame), frame), box, scale * ink.part[2], ink.is_plausible)


def batch(pictures: Sequence[Picture]) -> npt.NDArray[np.float32]:
    """Prepared pixels of one size to what a network takes: (n, 1, height, width), 0 for paper to 1 for ink."""
    stacked = np.stack(pictures)[:, None]
    return np.multiply(stacked, np.float32(1 / 255), dtype=np.float32)


def find_ink(picture: Picture) -> Ink:
    """What is written on ``picture``, specks left out; raises ``PictureUnusable`` where nothing is."""
    _check_size(picture)
    part, (x, y), factor = paper.closer(picture)
    far = paper.strength(part)
    far, mask = _uncrumbled(far, paper.inked(far))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if stats.shape[0] == 1 or cv2.mean(far, mask)[0] < _LEAST_CONTRAST:
        raise PictureUnusable("no_ink", "The picture holds no writing: it is of one colour.")
    pen = _pen(mask)
    kept = stats[:, cv2.CC_STAT_AREA] >= max(2.0, _SPECK * pen * pen)
    kept[0] = False
    kept &= ~_edges(stats, kept, pen)
    if not kept.any():
        raise PictureUnusable("no_ink", "The picture holds no writing, only specks.")
    if not kept[1:].all():
        mask = np.asarray(kept[labels], np.uint8)
    return Ink(far, mask, stats[kept], _symbol(stats[kept], pen), pen, (x, y, factor))


def _check_size(picture: Picture) -> None:
    height, width = picture.shape[:2]
    short, long = min(height, width), max(height, width)
    if long < _LEAST_SIDE:
        raise PictureUnusable("too_small", f"The picture is {width} x {height} pixels, too small to hold a formula.")
    if short < _LEAST_SIDE or long > _MOST_RATIO * short:
        raise PictureUnusable("too_thin", f"The picture is a strip of {width} x {height} pixels, too thin to read.")


def _pen(mask: Picture) -> float:
    """The width of a stroke."""
    wide = _width(mask)
    if wide >= _THIN_PX:
        return wide
    # Of stripes of two pixels the distances say nothing; how much is left when one is taken from their side does.
    left = cv2.countNonZero(cv2.erode(mask, np.ones((2, 2), np.uint8))) / max(1, cv2.countNonZero(mask))
    return float(min(1 / (1 - min(left, 0.9)), wide))


def _uncrumbled(far: Picture, mask: Picture) -> tuple[Picture, Picture]:
    """The crumbs of chalk put together, where ink is of these."""
    closed = _closed(mask)
    if cv2.countNonZero(closed) < _FILLED * cv2.countNonZero(mask):
        return far, mask
    if _width(closed) < max(_CRUMBLED * _width(mask), _COARSE_PX):
        return far, mask
    return _closed(far), closed


def _width(mask: Picture) -> float:
    """How wide the stripes of ``mask`` are: their middle is half of it away from paper, the mean of it a quarter."""
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return max(1.0, 4 * (float(cv2.mean(cv2.distanceTransform(padded, cv2.DIST_L2, 3), padded)[0]) - 0.5))


def _closed(picture: Picture) -> Picture:
    return np.asarray(cv2.morphologyEx(picture, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)), np.uint8)


def _symbol(boxes: npt.NDArray[np.int32], pen: float) -> float:
    """How high a symbol is: dots, bars and what lies flat do not count, and what is narrow (a brace) counts less."""
    widths, heights = np.maximum(boxes[:, 2] - pen, 1.0), np.maximum(boxes[:, 3] - pen, 1.0)
    upright = (heights > 2 * pen) & (heights > 0.3 * widths)
    if not upright.any():
        whole = (boxes[:, 1] + boxes[:, 3]).max() - boxes[:, 1].min()
        return float(max(whole, 0.8 * boxes[:, 2].max(), 4 * pen))
    heights, weights = heights[upright], np.minimum(widths, heights)[upright]
    order = np.argsort(heights)
    reached = np.cumsum(weights[order])
    return float(heights[order][np.searchsorted(reached, reached[-1] / 2)])


def _edges(stats: npt.NDArray[np.int32], kept: npt.NDArray[np.bool_], pen: float) -> npt.NDArray[np.bool_]:
    """Which pieces are edges of a sheet or a board: long and straight, and all that is written far to one side."""
    lefts, tops, widths, heights = (stats[:, side] for side in range(4))
    level, sheer = kept & (heights < 0.2 * widths), kept & (widths < 0.1 * heights)
    written = kept & ~level & ~sheer
    if not written.any() or written.sum() == kept.sum():
        return np.zeros(len(stats), bool)
    symbol = _symbol(stats[written], pen)
    written &= heights > 0.4 * symbol
    if not written.any():
        return written
    away, long = _EDGE_AWAY * symbol, _EDGE_LENGTH * symbol
    rights, bottoms = lefts + widths, tops + heights
    above, below = bottoms < tops[written].min() - away, tops > bottoms[written].max() + away
    before, after = rights < lefts[written].min() - away, lefts > rights[written].max() + away
    found = (level & (above | below) & (widths > long)) | (sheer & (before | after) & (heights > 1.5 * long))
    return np.asarray(found, np.bool_)


def _scale(ink: Ink, frame: Frame) -> float:
    room_y, room_x = frame.height - 2 * MARGIN_PX, frame.width - 2 * MARGIN_PX
    wanted = min(frame.symbol_px / ink.symbol, _MOST_ENLARGED)
    return float(min(wanted, room_y / ink.box.height, room_x / ink.box.width))


def _drawn(ink: Ink, scale: float, frame: Frame) -> Picture:
    """The ink alone at its new size, from 0 to 255, its pen neither too thin nor too thick, with its margin.

    What becomes smaller has its pen changed before, what becomes larger after: in the finer of the two grids.
    """
    left, top, right, bottom = ink.box
    size = _size(ink.box, scale)
    drawn = _clean(ink.far[top:bottom, left:right], ink.mask[top:bottom, left:right])
    if scale > 1:
        drawn = np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    grid = max(min(scale, 1.0), _COARSEST)
    if scale < grid:
        drawn = np.asarray(cv2.resize(drawn, _size(ink.box, scale / grid), interpolation=cv2.INTER_AREA), np.uint8)
    margin = round(MARGIN_PX / grid)
    drawn = np.pad(drawn, margin)
    drawn = _with_pen(drawn, ink.pen * scale / grid, frame.symbol_px / grid)
    size = size[0] + 2 * MARGIN_PX, size[1] + 2 * MARGIN_PX
    return np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_AREA), np.uint8)


def _size(box: Box, scale: float) -> tuple[int, int]:
    return max(1, round(box.width * scale)), max(1, round(box.height * scale))


def _clean(far: Picture, mask: Picture) -> Picture:
    """Ink at full strength, its soft edges kept, and nothing of the paper."""
    near = cv2.dilate(mask, np.ones((3, 3), np.uint8))
    full = max(1.0, float(cv2.mean(far, mask)[0]))
    return np.asarray(cv2.multiply(far, near, scale=255 / full), np.uint8)


def _with_pen(drawn: Picture, pen: float, symbol: float) -> Picture:
    thin, thick = (share * symbol for share in _PEN)
    if pen < thin:
        return np.asarray(cv2.dilate(drawn, _disc(thin - pen)), np.uint8)
    if pen > thick:
        return np.asarray(cv2.erode(drawn, _disc(min(pen - thick, pen / 2))), np.uint8)
    return drawn


def _disc(growth: float) -> Picture:
    size = 1 + round(growth)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def _framed(pixels: Picture, frame: Frame) -> Picture:
    height, width = (min(side, most) for side, most in zip(pixels.shape, (frame.height, frame.width), strict=True))
    sides = frame.height, frame.width
    if not frame.fixed:
        sides = tuple(
            min(most, -(-side // frame.multiple) * frame.multiple)
            for side, most in zip((height, width), sides, strict=True)
        )
    framed = np.zeros(sides, np.uint8)
    framed[:height, :width] = pixels[:height, :width]
    return framed
