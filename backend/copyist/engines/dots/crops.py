"""What the model is shown: a page at the size it is trained for, or a part of it as an image of its own."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
import numpy.typing as npt
from PIL import Image

from copyist.engines.dots.resize import resized

_MARGIN = 6
"""White pixels around a crop: letters that touch the edge are read badly."""
_EDGE = 40
"""Neighbours that differ by more grey levels than this, of 255, are an edge: ink on paper, not a shadow."""
_LOOK_AT = 1200
"""The longer side, in pixels, at which a page is looked at for edges: dust is gone by then."""
_INK_SHARE = 0.0002
"""A page with fewer edges than this is blank: about one short word on A4, and more than dust."""

Pixels = npt.NDArray[np.uint8]
Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Shown:
    """An image as the model is shown it. Its x times ``scale_x`` and its y times ``scale_y`` are pixels of the page."""

    pixels: Pixels
    scale_x: float
    scale_y: float

    def within(self, box: Corners) -> tuple[int, int, int, int] | None:
        """``box`` as whole pixels of this image, corners in order; ``None`` when nothing of it lies inside."""
        height, width = self.pixels.shape[:2]
        left, right = sorted((box[0], box[2]))
        top, bottom = sorted((box[1], box[3]))
        inside = max(floor(left), 0), max(floor(top), 0), min(ceil(right), width), min(ceil(bottom), height)
        return inside if inside[0] < inside[2] and inside[1] < inside[3] else None

    def on_page(self, box: Corners) -> Corners:
        """``box`` in pixels of the page."""
        return box[0] * self.scale_x, box[1] * self.scale_y, box[2] * self.scale_x, box[3] * self.scale_y


def show(page: Pixels, max_pixels: int, *, zoom: float = 1.0) -> Shown:
    """``page`` (grey or RGB) as the model is shown it, at ``zoom`` times the size where ``max_pixels`` allows."""
    return Shown(*resized(page, max_pixels, zoom=zoom))


def cut_out(page: Pixels, box: Corners) -> Pixels | None:
    """The part of ``page`` in ``box``, pixels of the page; ``None`` when the box lies outside of it."""
    inside = Shown(page, 1.0, 1.0).within(box)
    if inside is None:
        return None
    left, top, right, bottom = inside
    return page[top:bottom, left:right]


def show_part(page: Pixels, box: Corners, max_pixels: int) -> Shown | None:
    """The part of ``page`` in ``box`` with a white margin, as the model is shown it; ``None`` for nothing."""
    part = cut_out(page, box)
    if part is None:
        return None
    margins = [(_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)][: part.ndim]
    return show(np.pad(part, margins, constant_values=255), max_pixels)


def edge_share(pixels: Pixels) -> float:
    """Which share of the pixels, 0 to 1, differ clearly from the one to the right of them or below."""
    if not pixels.size:
        return 0.0
    image = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
    image.thumbnail((_LOOK_AT, _LOOK_AT), Image.Resampling.BOX)
    grey = np.asarray(image, np.int16)
    across = np.abs(np.diff(grey, axis=1)) > _EDGE
    down = np.abs(np.diff(grey, axis=0)) > _EDGE
    return float(across.sum() + down.sum()) / grey.size


def is_flat(pixels: Pixels) -> bool:
    """Whether all pixels are the same: then there is nothing to ask."""
    return not pixels.size or int(pixels.min()) == int(pixels.max())


def has_ink(pixels: Pixels) -> bool:
    """Whether a page shows something that could be text."""
    return edge_share(pixels) >= _INK_SHARE
