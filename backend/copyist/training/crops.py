"""Pictures of the lines that somebody corrected, cut out of their page as the model is shown them when it reads.

A page of handwriting is read as it lies, at the resolution that TrOCR asks for; ``engines.lines`` finds its lines and
cuts them out. The same is done here, so that training sees what serving sees. Where a corrected line is none of those
that are found, because another engine read the page, its box is cut out instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from copyist.document import Box
from copyist.engines import lines
from copyist.engines.base import PageImage
from copyist.engines.trocr import TrOcr
from copyist.pipeline.assemble import is_blank
from copyist.pipeline.pixels import Pixels
from copyist.pipeline.prepare import Prepared, place
from copyist.pipeline.render import PageSource

RECIPE = f"crops1+{lines.RECIPE}"
"""How pictures are cut out, with its version. Raise it when they would come out otherwise."""
WIDEST, HIGHEST = 4096, 512
"""Pixels. A larger picture is shrunk: models look at a fraction of that."""
_SAME_WIDTH = 0.8
"""Two boxes show the same words when so much of the columns of both is common to them."""
_SAME_HEIGHT = 0.5
"""And so much of the lower one's rows; how far a box reaches above and below the letters is each engine's own way."""
_MARGIN = 0.1
"""Around a box that is cut out, in its heights: engines draw some boxes through the ends of letters."""
_SMALLEST = 4
"""Pixels; nobody can read a line that is lower or narrower."""


@dataclass(frozen=True)
class Cut:
    """What came of one page. ``pictures`` are PNGs in the order of the boxes, ``None`` where there is nothing to see.

    ``page_sha256`` is the hash of the page's pixels in its reference frame, whatever file they came in.
    """

    page_sha256: str
    pictures: tuple[bytes | None, ...]
    recipe: str = RECIPE


def cut(source: PageSource, number: int, boxes: Sequence[Box]) -> Cut:
    """Cut the lines at ``boxes`` (pixels of the page as uploaded) out of page ``number`` (from 1).

    Deterministic; 0.5 to 1 CPU second for an A4 page. Raises ``PageDamaged``, ``DamagedFile`` or ``TooManyPixels``
    when there is no page to cut from.
    """
    # As ``pipeline.flow.read_with`` does it for an engine that reads handwriting.
    whole = place(source.image(number, TrOcr.dpi), source.size(number))
    pixels = whole.image.pixels
    found = lines.find_lines(pixels)
    same = _same(boxes, [whole.placement.box(line.box) for line in found])
    pictures = [
        lines.crop(pixels, found[same[at]]) if at in same else _cut_box(whole, box) for at, box in enumerate(boxes)
    ]
    page_sha256 = _hash(source.reference(number).pixels)
    return Cut(page_sha256, tuple(None if picture is None else _png(picture) for picture in pictures))


def _hash(pixels: Pixels) -> str:
    """SHA-256 (hex) over shape and pixels."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _same(boxes: Sequence[Box], places: Sequence[Box]) -> dict[int, int]:
    """Which of ``places`` each of ``boxes`` is, by index: the likest first, each place for one box at most."""
    alike = [
        (likeness, at, number)
        for at, box in enumerate(boxes)
        for number, found in enumerate(places)
        if (likeness := _likeness(box, found))
    ]
    same: dict[int, int] = {}
    for _, at, number in sorted(alike, key=lambda pair: (-pair[0], *pair[1:])):
        if at not in same and number not in same.values():
            same[at] = number
    return same


def _likeness(one: Box, other: Box) -> float:
    """Intersection over union of two boxes of the same words; 0 where they are not of the same words."""
    across = min(one.right, other.right) - max(one.left, other.left)
    down = min(one.bottom, other.bottom) - max(one.top, other.top)
    if min(across, down) <= 0:
        return 0.0
    both = Box.around((one, other))
    if across < _SAME_WIDTH * both.width or down < _SAME_HEIGHT * min(one.height, other.height):
        return 0.0
    shared = across * down
    return shared / (one.width * one.height + other.width * other.height - shared)


def _cut_box(whole: Prepared, box: Box) -> Pixels | None:
    """The picture of ``box`` with a small margin; ``None`` where most of it is off the page, or nothing is written."""
    image, page = whole.image, whole.placement
    inside = box.within(page.width, page.height)
    area = box.width * box.height
    if min(box.width, box.height) <= 0 or 2 * inside.width * inside.height < area:
        return None
    across, down = image.width / page.width, image.height / page.height
    margin = max(2, round(_MARGIN * inside.height * down))
    left, right = round(inside.left * across) - margin, round(inside.right * across) + margin
    top, bottom = round(inside.top * down) - margin, round(inside.bottom * down) + margin
    part = image.pixels[max(0, top) : bottom, max(0, left) : right]
    if min(inside.width * across, inside.height * down) < _SMALLEST or is_blank(PageImage(part)):
        return None
    return part


def _png(picture: Pixels) -> bytes:
    """``picture`` as PNG, grey where it has no colour at all, not larger than ``WIDEST`` x ``HIGHEST``."""
    height, width = picture.shape[:2]
    shrink = min(1.0, WIDEST / width, HIGHEST / height)
    if shrink < 1:
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    if picture.ndim == 3:
        colourless = bool((picture == picture[:, :, :1]).all())
        picture = picture[:, :, 0] if colourless else np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)
    done, content = cv2.imencode(".png", np.ascontiguousarray(picture))
    assert done
    return content.tobytes()
