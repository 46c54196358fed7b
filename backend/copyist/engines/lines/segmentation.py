"""From the pixels of a page to its lines of handwriting."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from copyist.document import Box
from copyist.engines.lines.chains import STRIP
from copyist.engines.lines.ink import find_ink
from copyist.engines.lines.ownership import InkedLine, inked_lines
from copyist.engines.lines.strip_profile import Courses, find_courses
from copyist.engines.lines.text_line import Points, TextLine, height_across

RECIPE = "strips1"
"""The method and its version; it is part of the version of every engine that reads these lines."""
_SMALLEST = 8
"""Pixels; in an image that is lower or narrower there is no line to find."""


def find_lines(pixels: npt.NDArray[np.uint8]) -> tuple[TextLine, ...]:
    """The lines of ``pixels``, grey (height, width) or RGB (height, width, 3), from top to bottom; none when blank.

    Deterministic. An A4 page at 200 dpi costs about 0.4 CPU seconds.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < _SMALLEST:
        return ()
    ink = find_ink(pixels)
    if not ink.mask.any():
        return ()
    courses = find_courses(ink.mask)
    found = inked_lines(courses.mask, courses.lines, courses.distance)
    lines = (_on_page(line, courses, ink.scale, width, height) for line in found)
    return tuple(line for line in lines if line.box.width >= 1 and line.box.height >= 1)


def _on_page(line: InkedLine, courses: Courses, scale: float, width: int, height: int) -> TextLine:
    """``line`` in pixels of the page of ``width`` x ``height``."""

    def points(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
        rows = (y - courses.shift + courses.slope * x) / scale
        columns = np.clip(np.round(x / scale), 0, width)
        return list(
            zip(columns.astype(int).tolist(), np.clip(np.round(rows), 0, height).astype(int).tolist(), strict=True)
        )

    left, right = line.x[:-1].astype(float), line.x[1:].astype(float)
    sides = np.stack([left, right], axis=1).ravel()
    top, bottom = points(sides, np.repeat(line.top, 2)), points(sides, np.repeat(line.bottom, 2))
    outline: Points = (*top, *reversed(bottom))
    along = np.arange(float(line.x[0]), float(line.x[-1]) + STRIP, STRIP).clip(max=float(line.x[-1]))
    path: Points = tuple(dict.fromkeys(points(along, line.course.at(along))))
    xs, ys = zip(*outline, strict=True)
    box = Box(min(xs), min(ys), max(xs), max(ys))
    return TextLine(box, path, outline, height_across(path, outline))
