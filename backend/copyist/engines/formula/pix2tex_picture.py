"""Pictures as pix2tex was trained to see them: print, dark on white, of the size at which LaTeX sets it.

What is ink is found as for every model here. From there on it is done as pix2tex does it: contrast to the full, cut to
the ink, filled up with white to multiples of 32 pixels, made smaller until it fits; and where there is a resizer,
scaled until it is as wide as this second network says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from copyist.engines.formula import paper
from copyist.engines.formula.config import Frame
from copyist.engines.formula.picture import Picture, find_ink, prepare
from copyist.engines.formula.pix2tex_config import MULTIPLE, Pix2TexConfig

PreferredWidth = Callable[[Picture], int]
"""How wide the resizer wants a picture to be, in pixels."""

_MEAN, _DEVIATION = 0.7931, 0.1738
"""Of the pixels that it was trained on, 0 for black to 1 for white."""
_ROUNDS = 10
_LEVEL = 128
_SMALL_PRINT_PX = 24
"""The height of symbols in which the dot of an i is a pixel or two, and may be taken for a speck."""
_ANY = Frame(MULTIPLE, MULTIPLE)
"""For the checks that every picture goes through, whatever the model."""


def shown(picture: Picture, config: Pix2TexConfig, preferred_width: PreferredWidth | None) -> Picture:
    """What the network is shown of ``picture``, (height, width) grey; raises ``PictureUnusable``."""
    first = _fitted(_padded(_dark_on_white(picture)), config)
    if preferred_width is None:
        return _padded(first)
    return _resized(first, config, preferred_width)


def batch(pictures: Sequence[Picture]) -> npt.NDArray[np.float32]:
    """Pictures of one size as the network takes them: (n, 1, height, width)."""
    stacked = np.stack(pictures)[:, None].astype(np.float32)
    return (stacked / np.float32(255) - np.float32(_MEAN)) / np.float32(_DEVIATION)


def _dark_on_white(picture: Picture) -> Picture:
    """The ink of ``picture`` alone, with its soft edges; all that is darker than the paper where print is small."""
    prepare(picture, _ANY)
    ink = find_ink(paper.closer(picture)[0])
    if ink.symbol < _SMALL_PRINT_PX:
        return np.asarray(255 - ink.far, np.uint8)
    near = cv2.dilate(ink.mask, np.ones((3, 3), np.uint8))
    left, top, right, bottom = ink.box
    # An edge's soft pixels lie outside of the box of what is ink for sure.
    place = slice(max(0, top - 1), bottom + 1), slice(max(0, left - 1), right + 1)
    return np.asarray(255 - ink.far[place] * near[place], np.uint8)


def _padded(grey: Picture) -> Picture:
    """Contrast brought to the full, cut to what is darker than the middle, and white added to the right and below."""
    lowest, highest = int(grey.min()), int(grey.max())
    levels = (np.arange(256) - lowest) / max(1, highest - lowest) * 255
    left, top, width, height = cv2.boundingRect((levels < _LEVEL).astype(np.uint8)[grey])
    cut = levels.clip(0, 255).astype(np.uint8)[grey[top : top + height, left : left + width]]
    return _filled(cut, -(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE)


def _fitted(grey: Picture, config: Pix2TexConfig) -> Picture:
    """``grey`` made smaller where it is larger than the largest picture, and filled up to the smallest."""
    height, width = grey.shape
    ratio = max(width / config.max_width, height / config.max_height)
    if ratio > 1:
        grey = _scaled(grey, int(width // ratio), int(height // ratio), Image.Resampling.BILINEAR)
    height, width = grey.shape
    return _filled(grey, max(height, config.min_height), max(width, config.min_width))


def _resized(first: Picture, config: Pix2TexConfig, preferred_width: PreferredWidth) -> Picture:
    """``first`` at the size at which the resizer finds it as wide as it should be, or nearly."""
    height, width = first.shape
    factor = 1.0
    tried = first
    for _ in range(_ROUNDS):
        height = min(int(height * factor), 2 * config.max_height)
        method = Image.Resampling.BILINEAR if factor > 1 else Image.Resampling.LANCZOS
        tried = _padded(_fitted(_scaled(first, width, height, method), config))
        width = preferred_width(tried)
        if width == tried.shape[1]:
            break
        factor = width / tried.shape[1]
    return tried


def _scaled(grey: Picture, width: int, height: int, method: Image.Resampling) -> Picture:
    size = max(1, width), max(1, height)
    return np.asarray(Image.fromarray(grey).resize(size, method), np.uint8)


def _filled(grey: Picture, height: int, width: int) -> Picture:
    filled = np.full((height, width), 255, np.uint8)
    filled[: grey.shape[0], : grey.shape[1]] = grey
    return filled
