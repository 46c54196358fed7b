"""Where an image of a page lies on the page: every turn, tilt and scaling is a value that maps boxes back.

Coordinates are continuous, in pixels, origin at the top left corner of the top left pixel, y downwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from copyist.document import Box


class Affine(NamedTuple):
    """``x' = a x + b y + c``, ``y' = d x + e y + f``."""

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 1.0
    f: float = 0.0

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        """Where the point ``x``, ``y`` goes."""
        return self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f

    def after(self, first: Affine) -> Affine:
        """The map that does ``first`` and then this one."""
        return Affine(
            self.a * first.a + self.b * first.d,
            self.a * first.b + self.b * first.e,
            self.a * first.c + self.b * first.f + self.c,
            self.d * first.a + self.e * first.d,
            self.d * first.b + self.e * first.e,
            self.d * first.c + self.e * first.f + self.f,
        )


def scaling(across: float, down: float) -> Affine:
    """Stretch by ``across`` horizontally and ``down`` vertically."""
    return Affine(a=across, e=down)


def shifting(by: float) -> Affine:
    """Move by ``by`` pixels right and down."""
    return Affine(c=by, f=by)


def turning(degrees: int, width: float, height: float) -> Affine:
    """Turn an image of ``width`` x ``height`` by 0, 90, 180 or 270 degrees clockwise, onto a canvas that holds it."""
    if degrees == 90:
        return Affine(0, -1, height, 1, 0, 0)
    if degrees == 180:
        return Affine(-1, 0, width, 0, -1, height)
    if degrees == 270:
        return Affine(0, 1, 0, -1, 0, width)
    return Affine()


def tilting(degrees: float, width: float, height: float) -> Affine:
    """Rotate an image by any angle clockwise about its middle; the canvas keeps its size."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    x, y = width / 2, height / 2
    return Affine(cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y)


@dataclass(frozen=True)
class Placement:
    """How an image that an engine reads lies on the page as uploaded.

    ``to_page`` maps the image's pixels to the reference frame of ``width`` x ``height`` pixels. ``turned`` and ``skew``
    say what was done to make the page stand upright, as in ``Page``.
    """

    to_page: Affine
    width: int
    height: int
    turned: int = 0
    skew: float = 0.0

    def box(self, box: Box) -> Box:
        """The upright rectangle on the page around ``box`` of the image, cut to the page."""
        corners = [self.to_page(x, y) for x in (box.left, box.right) for y in (box.top, box.bottom)]
        across, down = zip(*corners, strict=True)
        return Box(
            _rounded(min(across), math.floor),
            _rounded(min(down), math.floor),
            _rounded(max(across), math.ceil),
            _rounded(max(down), math.ceil),
        ).within(self.width, self.height)


def _rounded(value: float, outwards: Callable[[float], int]) -> int:
    """Outwards, but a hundredth of a pixel is an error of arithmetic, not a pixel touched."""
    nearest = round(value)
    return nearest if abs(value - nearest) < 0.01 else outwards(value)
