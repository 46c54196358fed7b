"""Making a page image ready for an engine: upright, straight, large enough.

Each step returns the new image and the ``Placement`` that leads back to the page as uploaded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from copyist.engines.base import PageImage
from copyist.pipeline.placement import Placement, scaling, shifting, tilting, turning

MAX_SIDE = 32_000
"""Pixels; Tesseract takes no image with a side over 32,767."""
_TINY, _SMALL, _GOOD, _TALL = 8, 10, 24, 28
"""Median heights of letters in pixels; most of them are as high as an x."""
_MOST_SHRUNK = 1 / 3
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True)
class Prepared:
    """An image for an engine, and where it lies on the page as uploaded."""

    image: PageImage
    placement: Placement


def place(image: PageImage, size: tuple[int, int]) -> Prepared:
    """An image of the whole page, at any resolution, on the reference frame of ``size`` (width, height) pixels."""
    width, height = size
    to_page = scaling(width / image.width, height / image.height)
    return Prepared(image, Placement(to_page, width, height))


def turn(prepared: Prepared, degrees: int) -> Prepared:
    """Turn by 0, 90, 180 or 270 degrees clockwise."""
    if degrees == 0:
        return prepared
    image, placement = prepared.image, prepared.placement
    pixels = np.asarray(cv2.rotate(image.pixels, _TURNS[degrees]), np.uint8)
    back = turning(360 - degrees, pixels.shape[1], pixels.shape[0])
    return Prepared(
        replace(image, pixels=pixels),
        replace(placement, to_page=placement.to_page.after(back), turned=(placement.turned + degrees) % 360),
    )


def straighten(prepared: Prepared, skew: float) -> Prepared:
    """Rotate a page that is tilted by ``skew`` degrees clockwise back; what comes in at the corners is paper."""
    image, placement = prepared.image, prepared.placement
    back = tilting(skew, image.width, image.height)
    forth = tilting(-skew, image.width, image.height)
    paper = np.median(image.pixels[:: max(1, image.height // 64), :: max(1, image.width // 64)], axis=(0, 1))
    # OpenCV takes a pixel's middle as its coordinate, placements take its corner: they differ by half a pixel.
    centred = shifting(-0.5).after(forth).after(shifting(0.5))
    matrix = np.array([centred[:3], centred[3:]])
    pixels = cv2.warpAffine(
        image.pixels,
        matrix,
        (image.width, image.height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=np.atleast_1d(paper).tolist(),
    )
    return Prepared(
        replace(image, pixels=np.asarray(pixels, np.uint8)),
        replace(placement, to_page=placement.to_page.after(back), skew=placement.skew + skew),
    )


def scale(prepared: Prepared, letter_height: float | None) -> Prepared:
    """Bring letters of ``letter_height`` pixels to a size that engines read well, and a huge page to one they take."""
    image, placement = prepared.image, prepared.placement
    factor = min(_factor(letter_height), MAX_SIDE / max(image.width, image.height))
    if factor == 1:
        return prepared
    width, height = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    how = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    pixels = np.asarray(cv2.resize(image.pixels, (width, height), interpolation=how), np.uint8)
    back = scaling(image.width / width, image.height / height)
    dpi = round(image.dpi * factor) if image.dpi else None
    return Prepared(PageImage(pixels, dpi), replace(placement, to_page=placement.to_page.after(back)))


def _factor(letter_height: float | None) -> float:
    """Tiny letters are enlarged, tall ones shrunk.

    At 60 to 85 dpi the first takes Tesseract's character errors from 1 to 2 % to 0.1 %; the second saves a sixth of the
    time on 12 pt at 300 dpi, two thirds on a 600 dpi scan, and reads no worse.
    """
    if letter_height is None:
        return 1.0
    if letter_height > _TALL:
        return max(_GOOD / letter_height, _MOST_SHRUNK)
    if letter_height > _SMALL:
        return 1.0
    return 2.0 if letter_height < _TINY else 1.5
