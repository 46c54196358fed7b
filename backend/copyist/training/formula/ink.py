"""A formula as a pen wrote it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Stroke = npt.NDArray[np.float64]
"""Where the pen went: (points, 2), x to the right and y down, in the units of the device; one point at least."""


@dataclass(frozen=True, eq=False)
class Ink:
    """Strokes in the order in which they were written; one at least."""

    strokes: tuple[Stroke, ...]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of all points."""
        points = np.concatenate(self.strokes)
        (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
        return left, top, right, bottom


@dataclass(frozen=True, eq=False)
class Written:
    """A formula in ink and what it says: LaTeX as it came. ``writer`` is empty where nobody says whose hand it is.

    ``notes`` are sentences on what was left out of the file.
    """

    ink: Ink
    latex: str
    name: str = ""
    writer: str = ""
    notes: tuple[str, ...] = ()
