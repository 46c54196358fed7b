"""Batches of questions about pages (``engines.batches``)."""

from __future__ import annotations

from copyist.engines import batches
from copyist.engines.dots.backend import Answer, Question


class Batches(batches.Batches[Question, Answer]):
    """Pages of one size go together: they need no padding, and no mask."""

    def unlike(self, one: Question, other: Question) -> int:
        """How different two images are in size, in pixels."""
        return abs(one.pixels.size - other.pixels.size)
