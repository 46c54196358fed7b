"""The characters of a PDF page with their boxes, read from PDFium in bulk: about 5 ms for a full page."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pypdfium2 import raw

MAX_CHARACTERS: Final = 100_000
"""A page with more than this is no page of text; it is read as a picture."""
_MAX_ANNOTATIONS: Final = 2_000
_HIGH: Final = 0xD800
_LOW: Final = 0xDC00
_LAST: Final = 0x10FFFF
_REPLACEMENT: Final = 0xFFFD
_WITH_TEXT: Final = frozenset({raw.FPDF_ANNOT_WIDGET, raw.FPDF_ANNOT_FREETEXT})

Boxes = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Glyphs:
    """Characters in PDFium's order; spaces and line ends that it made up are among them, with empty boxes.

    ``boxes``: left, top, right, bottom in pixels of the frame asked for, shape (n, 4). ``upright``: the same in points,
    turned so that the characters' own lines run from left to right, origin anywhere. ``quarters``: by how many
    quarters of a turn, clockwise, each character stands on the unturned page. ``unmapped``: how many have no known
    meaning. ``codes`` are Unicode code points, never halves of a surrogate pair.
    """

    codes: list[int]
    boxes: Boxes
    upright: Boxes
    quarters: npt.NDArray[np.int64]
    unmapped: int


def has_text_annotations(page: Any) -> bool:
    """Whether a page has form fields or typed notes, whose text is not part of the page's own."""
    for index in range(min(raw.FPDFPage_GetAnnotCount(page), _MAX_ANNOTATIONS)):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        if annotation:
            subtype = raw.FPDFAnnot_GetSubtype(annotation)
            raw.FPDFPage_CloseAnnot(annotation)
            if subtype in _WITH_TEXT:
                return True
    return False


def flatten(page: Any) -> None:
    """Make what annotations show a part of the page, in memory. The page must be loaded anew to see it."""
    raw.FPDFPage_Flatten(page, raw.FLAT_NORMALDISPLAY)


def read_glyphs(page: Any, size: tuple[int, int]) -> Glyphs | None:
    """The characters of a loaded page, boxes in a frame of ``size`` pixels; ``None`` for an absurd number of them."""
    with _text_page(page) as text:
        count = max(0, raw.FPDFText_CountChars(text)) if text else 0
        if count > MAX_CHARACTERS:
            return None
        units = np.array([raw.FPDFText_GetUnicode(text, index) for index in range(count)], np.int64)
        sides = np.zeros((count, 4))
        left, right, bottom, top = (ctypes.c_double() for _ in range(4))
        for index in range(count):
            if raw.FPDFText_GetCharBox(text, index, left, right, bottom, top):
                sides[index] = left.value, right.value, bottom.value, top.value
        angles = np.array([raw.FPDFText_GetCharAngle(text, index) for index in range(count)])
        unmapped = np.array([raw.FPDFText_HasUnicodeMapError(text, index) == 1 for index in range(count)], np.bool_)
    codes, sides, kept = _join_halves(units, sides)
    quarters = np.rint(angles[kept] / (np.pi / 2)).astype(np.int64) % 4
    on_frame, upright = _on_frame(sides, page, size), _upright(sides, quarters)
    return Glyphs(codes, on_frame, upright, quarters, int(unmapped[kept].sum()))


@contextmanager
def _text_page(page: Any) -> Iterator[Any]:
    text = raw.FPDFText_LoadPage(page)
    try:
        yield text
    finally:
        if text:
            raw.FPDFText_ClosePage(text)


def _join_halves(units: npt.NDArray[np.int64], sides: Boxes) -> tuple[list[int], Boxes, npt.NDArray[np.bool_]]:
    """Code points and their boxes from what PDFium gives, UTF-16 units; also which units stand for a character.

    A character above U+FFFF comes as a high and a low half, each with a box. A half alone, or a number that is no
    code point, becomes U+FFFD.
    """
    codes, sides, kept = units.copy(), sides.copy(), np.ones(len(units), np.bool_)
    kind = units & ~0x3FF
    for high in np.flatnonzero((kind[:-1] == _HIGH) & (kind[1:] == _LOW)).tolist():
        low = high + 1
        codes[high] = 0x10000 + ((units[high] & 0x3FF) << 10 | units[low] & 0x3FF)
        sides[high] = _around(sides[high], sides[low])
        kept[low] = False
    codes[(codes & ~0x7FF == _HIGH) | (codes > _LAST)] = _REPLACEMENT
    return codes[kept].tolist(), sides[kept], kept


def _around(one: Boxes, other: Boxes) -> Boxes:
    """The box around two (left, right, bottom, top), where an empty one does not count."""
    full = np.array([box for box in (one, other) if box.any()] or [one])
    lows, highs = full.min(axis=0), full.max(axis=0)
    return np.array([lows[0], highs[1], lows[2], highs[3]])


def _upright(sides: Boxes, quarters: npt.NDArray[np.int64]) -> Boxes:
    """Each box turned back by its character's quarters, y downwards."""
    x0, x1, y0, y1 = sides.T
    ways = np.array([[x0, -y1, x1, -y0], [-y1, -x1, -y0, -x0], [-x1, y0, -x0, y1], [y0, x0, y1, x1]])
    return np.ascontiguousarray(ways[quarters, :, np.arange(len(sides))])


def _on_frame(sides: Boxes, page: Any, size: tuple[int, int]) -> Boxes:
    """Boxes from points, origin at the bottom left of the unturned page, to pixels of the page as it is shown."""
    left, bottom, right, top = page.get_bbox()
    x0, x1, y0, y1 = (sides - (left, left, bottom, bottom)).T
    width, height = right - left, top - bottom
    turned = page.get_rotation()
    if turned == 90:
        shown = (y0, x0, y1, x1)
    elif turned == 180:
        shown = (width - x1, y0, width - x0, y1)
    elif turned == 270:
        shown = (height - y1, width - x1, height - y0, width - x0)
    else:
        shown = (x0, height - y1, x1, height - y0)
    across, down = size[0] / page.get_width(), size[1] / page.get_height()
    return np.asarray(np.stack(shown, axis=1) * (across, down, across, down), np.float64)
