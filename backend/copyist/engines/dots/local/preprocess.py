"""From the pixels of a page to the patches that the vision tower of dots.ocr takes.

Does what ``Qwen2VLImageProcessor`` does under the ``preprocessor_config.json`` of dots.ocr, less its resizing: images
come at their final size (``engines.dots.resize``). The order of the patches matters: the tower's positions and its
merging of 2 x 2 patches both assume it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from copyist.engines.dots.local.architecture import CHANNELS, MERGE, PATCH

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
_STEP = PATCH * MERGE

_VALUES = np.stack(
    [
        ((np.arange(256) * (1 / 255)).astype(np.float32) - np.float32(mean)) / np.float32(deviation)
        for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)
    ]
)
"""What each of the 256 values of a channel becomes, shape (3, 256), rounded at the steps where the original rounds."""


def patches(pixels: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], tuple[int, int]]:
    """The patches of an RGB image (height, width, 3), shape (N, 588), and how many there are down and across.

    A patch is 14 x 14 pixels as (channel, row, column). Patches run by cells of 2 x 2: along the rows of cells, and in
    each cell upper left, upper right, lower left, lower right. Raises ``ValueError`` unless both sides are multiples
    of 28.
    """
    height, width = pixels.shape[:2]
    if pixels.ndim != 3 or pixels.shape[2] != CHANNELS or not height or height % _STEP or not width or width % _STEP:
        raise ValueError(f"The image must be RGB with sides that are multiples of {_STEP}; it is {pixels.shape}.")
    down, across = height // PATCH, width // PATCH
    cells = pixels.reshape(down // MERGE, MERGE, PATCH, across // MERGE, MERGE, PATCH, CHANNELS)
    ordered = cells.transpose(0, 3, 1, 4, 6, 2, 5).reshape(down * across, CHANNELS, PATCH * PATCH)
    values = np.empty(ordered.shape, dtype=np.float32)
    for channel in range(CHANNELS):
        values[:, channel] = _VALUES[channel].take(ordered[:, channel])
    return values.reshape(down * across, -1), (down, across)


def tokens_of(height: int, width: int) -> int:
    """How many tokens of the language model an image of this size, in pixels, becomes."""
    return (height // _STEP) * (width // _STEP)
