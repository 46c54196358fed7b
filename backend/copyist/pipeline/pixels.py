"""Pixels as engines want them: from whatever an image file holds to 8-bit grey or RGB on white, the right way up."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

Pixels = npt.NDArray[np.uint8]
"""``uint8``, shape (height, width) grey or (height, width, 3) RGB, origin at the top left."""

_ORIENTATION: Final = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING: Final = frozenset({5, 6, 7, 8})
_DEPTHS: Final = (1.0, 255.0, 4095.0, 65535.0)
"""White in the depths that occur: floats to 1, then 8, 12 and 16 bits."""
_COLOURED: Final = 32
"""How far apart a pixel's channels are before it counts as coloured; JPEG noise on a grey scan stays under it."""
_COLOUR_SHARE: Final = 0.0005


def orientation(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation that is left to apply to an opened image, 1 to 8; 1 also where it cannot be read."""
    if image.format == "TIFF":
        return 1  # Pillow applies it itself
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode the whole image to look for a chunk at its end
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1  # broken metadata is no reason to refuse a readable picture
    return value if value in _UPRIGHT else 1


def upright_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    """Width and height of an opened image once its orientation is applied."""
    width, height = image.size
    return (height, width) if orientation(image) in _LYING else (width, height)


def decode(image: ImageFile.ImageFile) -> Pixels:
    """Decode the current frame of an opened image; raises whatever Pillow raises on broken data."""
    turn = _UPRIGHT.get(orientation(image))
    image.load()
    is_deep = image.mode.startswith(("I", "F"))
    flat = Image.fromarray(_deep_to_8_bit(np.asarray(image))) if is_deep else _on_white(image)
    if turn is not None:
        flat = flat.transpose(turn)
    pixels = np.asarray(flat)
    return pixels if pixels.ndim == 2 else grey_if_colourless(pixels)


def _on_white(image: Image.Image) -> Image.Image:
    """An image of any 8-bit mode as ``L`` or ``RGB``, its transparency laid on white."""
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(layers, mask=layers.getchannel("A"))
        return white
    if image.mode in ("1", "L"):
        return image.convert("L")
    if image.mode == "LAB":
        return image.getchannel(0)
    return image.convert("RGB")


def _deep_to_8_bit(values: npt.NDArray[np.generic]) -> Pixels:
    """Scale grey of 16 or 32 bits to 8; white is the smallest usual depth that holds the brightest pixel."""
    numbers = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = min(float(numbers.min()), 0.0), float(numbers.max())
    depths = _DEPTHS if np.issubdtype(values.dtype, np.floating) else _DEPTHS[1:]
    white = next((depth for depth in depths if high <= depth), high)
    scaled = (numbers - low) * (255 / max(white - low, 1e-9))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def grey_if_colourless(pixels: Pixels) -> Pixels:
    """Grey pixels from RGB (or RGBx) ones that hold no colour, which are read in less time; else RGB as it is."""
    sample = pixels[::4, ::4]
    red, green, blue = (np.ascontiguousarray(sample[..., at]) for at in range(3))
    spread = cv2.max(cv2.absdiff(red, green), cv2.max(cv2.absdiff(green, blue), cv2.absdiff(red, blue)))
    if np.count_nonzero(spread > _COLOURED) > _COLOUR_SHARE * spread.size:
        return pixels if pixels.shape[2] == 3 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB))
    return np.asarray(cv2.extractChannel(pixels, 1))
