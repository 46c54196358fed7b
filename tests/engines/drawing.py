"""Pages drawn for the tests: black text on white, with the font every Debian has or else Pillow's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

_DEJAVU = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")


def font(size: int) -> ImageFont.FreeTypeFont:
    """A font of ``size`` pixels."""
    if _DEJAVU.is_file():
        return ImageFont.truetype(str(_DEJAVU), size)
    default = ImageFont.load_default(size)
    assert isinstance(default, ImageFont.FreeTypeFont)
    return default


def drawn(
    *lines: str, width: int = 900, height: int | None = None, size: int = 40, left: int = 40
) -> npt.NDArray[np.uint8]:
    """A grey image, shape (height, width), with ``lines`` one under the other."""
    page = Image.new("L", (width, height or 60 + 2 * size * len(lines)), 255)
    pen = ImageDraw.Draw(page)
    for row, line in enumerate(lines):
        pen.text((left, 30 + 2 * size * row), line, fill=0, font=font(size))
    return np.asarray(page)


def in_colour(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The same image as RGB, shape (height, width, 3)."""
    return np.repeat(grey[:, :, None], 3, axis=2)


def blank(width: int = 200, height: int = 120) -> npt.NDArray[np.uint8]:
    """A white grey image."""
    return np.full((height, width), 255, dtype=np.uint8)
