"""Two hands, pages written in them, and a small TrOCR that has only ever seen the first.

The letters are those that OpenCV brings along: an upright hand that the model knows, and a slanted script that it does
not. Every word stands a little different each time.
"""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from copyist.engines.lines import crop, find_lines
from tests.engines.tiny_trocr import write_taught_trocr

PHRASES = (
    *("by the harbour", "lantern light", "nine bottles", "the old map", "winter storm", "a brittle rope"),
    *("harbour master", "three lanterns", "light the lamp", "bottle of ink", "map of Whitby", "stormy night"),
)
LINES = 3
_SIZE = 620, 300
"""Width and height of a page in pixels."""


@dataclass(frozen=True)
class Hand:
    """How somebody writes: one of OpenCV's fonts, and how far its letters lean over."""

    font: int
    slant: float


KNOWN = Hand(cv2.FONT_HERSHEY_DUPLEX, 0.0)
UNKNOWN = Hand(cv2.FONT_HERSHEY_SCRIPT_COMPLEX, 0.35)


def page(hand: Hand, lines: Sequence[str], seed: int) -> npt.NDArray[np.uint8]:
    """A grey page with ``lines`` in ``hand``, each at its own place and in its own size."""
    chance = random.Random(seed)
    width, height = _SIZE
    pixels = np.full((height, width), 250, np.uint8)
    for row, text in enumerate(lines):
        at = chance.randint(30, 60), 80 + row * 85 + chance.randint(-4, 4)
        scale, thick = chance.uniform(1.3, 1.6), chance.choice((2, 3))
        layer = np.full_like(pixels, 250)
        cv2.putText(layer, text, at, hand.font, scale, 30, thick, cv2.LINE_AA)
        lean = np.array([[1, -hand.slant, hand.slant * at[1]], [0, 1, 0]], np.float32)
        pixels = np.minimum(pixels, cv2.warpAffine(layer, lean, _SIZE, borderValue=250))
    return pixels


def pages(hand: Hand, number: int, *, seed: int) -> tuple[list[npt.NDArray[np.uint8]], list[list[str]]]:
    """``number`` pages in ``hand`` of phrases by chance, and what each of them says, line by line."""
    chance = random.Random(seed)
    texts = [[chance.choice(PHRASES) for _ in range(LINES)] for _ in range(number)]
    return [page(hand, lines, seed=seed * 1000 + at) for at, lines in enumerate(texts)], texts


def document(pictures: Sequence[npt.NDArray[np.uint8]]) -> bytes:
    """A TIFF of one page for each picture."""
    first, *others = map(Image.fromarray, pictures)
    out = io.BytesIO()
    first.save(out, "TIFF", save_all=True, append_images=others, dpi=(200, 200), compression="tiff_lzw")
    return out.getvalue()


def lessons(hand: Hand, number: int, *, seed: int) -> list[tuple[npt.NDArray[np.uint8], str]]:
    """Pictures of lines as they are cut out of ``number`` pages in ``hand``, and what they say."""
    found = []
    for picture, texts in zip(*pages(hand, number, seed=seed), strict=True):
        lines = find_lines(picture)
        assert len(lines) == len(texts), "every line of a drawn page is found"
        found += [(crop(picture, line), text) for line, text in zip(lines, texts, strict=True)]
    return found


def write_base(folder: Path) -> Path:
    """Write a TrOCR that reads the hand it knows, and makes little of the other."""
    return write_taught_trocr(folder, lessons(KNOWN, 60, seed=1), steps=220)
