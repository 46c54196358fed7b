"""Pages that stand in for handwriting: slanted letters drawn line by line, tilted, wavy, dense or on ruled paper.

The letters are those that OpenCV brings along; every letter is moved a little, as a hand does.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

A4 = 1654, 2339
"""Pixels at 200 dpi."""
_TEXT = (
    *("the", "harbour", "master", "carried", "three", "empty", "bottles", "slowly", "before", "winter", "near"),
    *("Whitby", "and", "described", "a", "brittle", "map", "without", "a", "word", "while", "every", "lantern"),
)


@dataclass(frozen=True)
class Sheet:
    """A drawn page, grey, and the row at column x of the middle of each line's small letters."""

    pixels: npt.NDArray[np.uint8]
    middles: tuple[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]], ...]


def sheet(
    lines: int = 20,
    *,
    pitch: int = 90,
    skew: float = 0.0,
    wave: float = 0.0,
    ruled: bool = False,
    letters: float = 1.0,
    size: tuple[int, int] = A4,
    seed: int = 0,
) -> Sheet:
    """A page with ``lines`` lines ``pitch`` pixels apart, tilted by ``skew`` degrees clockwise.

    ``wave`` is by how many pixels a line goes up and down along the page. The letters' size follows ``pitch``, times
    ``letters``: from 2 on those of neighbouring lines touch.
    """
    width, height = size
    chance = np.random.default_rng(seed)
    page = np.full((height, width), 245, np.uint8)
    top, left, right = 150, 130, width - 130
    slope = float(np.tan(np.radians(skew)))
    if ruled:
        for row in range(top, height - 60, pitch):
            ends = [(x, round(row + 4 + slope * (x - width / 2))) for x in (60, width - 60)]
            cv2.line(page, *ends, 170, 2, cv2.LINE_AA)
    middles = []
    scale = letters * pitch / 60
    for number in range(lines):
        xs = np.arange(left, right, dtype=float)
        base = top + number * pitch + slope * (xs - width / 2) + wave * np.sin(xs / width * 2 * np.pi + number)
        last = _write(page, xs, base, scale=scale, room=right if number % 5 < 4 else width // 2, chance=chance)
        written = xs < last
        middles.append((xs[written], base[written] - 7 * scale))
    noisy = page.astype(float) + chance.normal(0, 4, page.shape)
    return Sheet(np.clip(noisy, 0, 255).astype(np.uint8), tuple(middles))


def _write(
    page: npt.NDArray[np.uint8],
    xs: npt.NDArray[np.float64],
    base: npt.NDArray[np.float64],
    *,
    scale: float,
    room: int,
    chance: np.random.Generator,
) -> float:
    """Write words along ``base`` as far as there is ``room``; the column at which the last one ends."""
    x = xs[0]
    while True:
        word = str(chance.choice(_TEXT))
        wide = sum(_width(letter, scale) for letter in word)
        if x + wide > room:
            return float(x)
        for letter in word:
            row = np.interp(x, xs, base) + chance.normal(0, 1)
            cv2.putText(
                page, letter, (round(x), round(row)), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, scale, 40, 2, cv2.LINE_AA
            )
            x += _width(letter, scale)
        x += 14 * scale


def _width(letter: str, scale: float) -> float:
    (wide, _), _ = cv2.getTextSize(letter, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, scale, 2)
    return wide * 0.95
