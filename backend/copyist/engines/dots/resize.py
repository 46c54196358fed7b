"""The size at which dots.ocr is shown an image, by the rule of its own image processor.

The resizing is done here, before the image leaves, so that the server's own is a no-op and boxes in the answer are
pixels of an image that is known. Source: the ``preprocessor_config.json`` of dots.ocr (a patch has 14 pixels a side,
and four patches are one token) and the rule of its own client: that of ``Qwen2VLImageProcessor`` in transformers, but
for sides under half a step.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

STEP = 28
"""Both sides of what the model is shown are multiples of this many pixels."""
MIN_PIXELS = 3136
MAX_PIXELS = 11_289_600
MAX_ASPECT = 200
"""The model's own processor refuses images that are longer than this many times their width."""
_WHITE = 255


class TooThin(ValueError):
    """The longer side is more than ``MAX_ASPECT`` times the shorter one; ``resized`` pads such an image."""


def target_size(width: int, height: int, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """The width and height, in pixels, at which an image of ``width`` x ``height`` is shown to the model.

    Raises ``TooThin`` for an aspect ratio over ``MAX_ASPECT``. A strip may stay above ``max_pixels``: no side is
    shorter than one step.
    """
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise TooThin(f"An image of {width} x {height} pixels is more than {MAX_ASPECT} times as long as wide.")
    # Python rounds halves to even, and so does the processor: 42 pixels become 56, and 70 become 56.
    wide, high = (max(round(side / STEP) * STEP, STEP) for side in (width, height))
    if wide * high > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        wide, high = (max(math.floor(side / shrink / STEP) * STEP, STEP) for side in (width, height))
    elif wide * high < MIN_PIXELS:
        grow = math.sqrt(MIN_PIXELS / (width * height))
        wide, high = (math.ceil(side * grow / STEP) * STEP for side in (width, height))
    return wide, high


def resized(
    pixels: npt.NDArray[np.uint8], max_pixels: int = MAX_PIXELS, *, zoom: float = 1.0
) -> tuple[npt.NDArray[np.uint8], float, float]:
    """``pixels`` as the model is shown them, and by how much x and y in them are multiplied to be pixels of the given.

    ``pixels`` are ``uint8``, (height, width) grey or (height, width, 3) RGB, of at least one pixel; what comes back is
    RGB with sides that are multiples of ``STEP``, near to ``zoom`` times the given ones. An image that is too thin for
    the model gets white at its right or its bottom, which moves nothing.
    """
    rgb = _padded(np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels)
    high, wide = rgb.shape[:2]
    zoomed = max(round(wide * zoom), 1), max(round(high * zoom), 1)
    # Rounding alone may make an image too thin; by how much each side was stretched is told below.
    shortest = -(-max(zoomed) // MAX_ASPECT)
    size = target_size(max(zoomed[0], shortest), max(zoomed[1], shortest), max_pixels)
    if size != (wide, high):
        rgb = np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).resize(size, Image.Resampling.BICUBIC))
    return np.ascontiguousarray(rgb), wide / size[0], high / size[1]


def _padded(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    high, wide = rgb.shape[:2]
    shortest = -(-max(wide, high) // MAX_ASPECT)
    if min(wide, high) >= shortest:
        return rgb
    canvas = np.full((max(high, shortest), max(wide, shortest), 3), _WHITE, np.uint8)
    canvas[:high, :wide] = rgb
    return canvas
