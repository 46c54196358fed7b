"""A line of writing on a page, and its picture, cut out along the line."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from copyist.document import Box

Points = tuple[tuple[int, int], ...]
"""Points (x, y) in pixels of the page image, origin top left."""

_AT_ONCE = 16_000
"""Columns; OpenCV bends no wider image than 32,766."""
_SAMPLED = 50
"""Rows that are enough to know the colour of the paper."""


@dataclass(frozen=True)
class TextLine:
    """Where a line stands: in pixels of the page image, origin top left.

    ``box`` is the upright box around its ink. ``path`` runs along the middle of its small letters from left to right,
    ``outline`` once around its ink, clockwise. ``height`` is what its ink takes up across the path.
    """

    box: Box
    path: Points
    outline: Points
    height: int


def crop(image: npt.NDArray[np.uint8], line: TextLine) -> npt.NDArray[np.uint8]:
    """The picture of ``line``, cut from ``image`` and bent straight: shape (line.height, line.box.width[, 3]).

    What lies outside of the line's outline, the ends of its neighbours' letters, is painted over in the paper's colour.
    """
    box = line.box
    part = image[box.top : box.bottom, box.left : box.right]
    outline = np.array(line.outline, np.int32) - (box.left, box.top)
    own = cv2.fillPoly(np.zeros(part.shape[:2], np.uint8), [outline.reshape(-1, 1, 2)], 255) > 0
    paper = _paper(part)
    cleaned = np.where(own if part.ndim == 2 else own[:, :, None], part, paper).astype(np.uint8)
    columns = np.arange(box.width, dtype=np.float32)
    middle = np.interp(columns + box.left, *np.array(line.path, float).T) - box.top - _above(line)
    rows = middle[None, :].astype(np.float32) + np.arange(line.height, dtype=np.float32)[:, None]
    return np.concatenate(
        [
            _bent(cleaned[:, first : first + _AT_ONCE], rows[:, first : first + _AT_ONCE], paper)
            for first in range(0, box.width, _AT_ONCE)
        ],
        axis=1,
    )


def _bent(
    part: npt.NDArray[np.uint8], rows: npt.NDArray[np.float32], paper: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """In each column of ``part`` the pixels at ``rows``; ``paper`` above and below of it."""
    columns = np.ascontiguousarray(np.broadcast_to(np.arange(part.shape[1], dtype=np.float32), rows.shape))
    straight = cv2.remap(
        part,
        columns,
        np.ascontiguousarray(rows),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=np.atleast_1d(paper).tolist(),
    )
    return np.asarray(straight, np.uint8)


def height_across(path: Points, outline: Points) -> int:
    """How many rows a picture needs that follows ``path`` and shows all of ``outline``; at least one."""
    across = _across(path, outline)
    return int(np.ceil(max(across.max(), 0)) - np.floor(min(across.min(), 0))) + 1


def _above(line: TextLine) -> float:
    """How far the outline reaches above the path."""
    return -float(np.floor(min(_across(line.path, line.outline).min(), 0)))


def _across(path: Points, outline: Points) -> npt.NDArray[np.float64]:
    """How far below the path each point of the outline is."""
    x, y = np.array(outline, float).T
    return np.asarray(y - np.interp(x, *np.array(path, float).T))


def _paper(part: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The colour of the paper around the writing: brighter than most, because writing covers less than half."""
    step = max(1, part.shape[0] // _SAMPLED), max(1, part.shape[1] // (4 * _SAMPLED))
    return np.asarray(np.quantile(part[:: step[0], :: step[1]], 0.75, axis=(0, 1)), np.uint8)
