"""Boxes of symbols, and what a hand is to a layout.

Units: a capital is 1 high, y points down, y = 0 is the line that is written on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from copyist.training.formula.ink import Stroke


@dataclass(frozen=True)
class Spacing:
    """Distances and sizes of a hand, in heights of a capital of the size that is written there.

    ``letters`` is between symbols, ``operators`` and ``relations`` around those. ``script`` is the size of scripts,
    ``rise`` how far a superscript's foot is above the middle of what it belongs to (negative: below), ``drop`` how far
    a subscript's top is under it. ``fraction`` is the size of numerator and denominator, ``gap`` their distance to the
    bar, ``over`` how far bars reach beyond. ``under``: limits stand over and under big operators, ``under_integrals``:
    those of integrals too. ``tall``: brackets grow with what is in them. ``columns`` and ``rows`` part a grid's cells.
    ``uneven`` is how much distances differ from one time to the next (the spread of their logarithm), ``wander`` how
    far symbols leave the line.
    """

    letters: float = 0.14
    operators: float = 0.3
    relations: float = 0.4
    script: float = 0.62
    rise: float = 0.2
    drop: float = 0.05
    fraction: float = 0.85
    gap: float = 0.18
    over: float = 0.12
    under: bool = True
    under_integrals: bool = False
    tall: bool = True
    columns: float = 0.9
    rows: float = 0.5
    uneven: float = 0.3
    wander: float = 0.03


class Hand(Protocol):
    """Who writes, one formula."""

    @property
    def spacing(self) -> Spacing:
        """The distances of the hand."""
        ...

    @property
    def chance(self) -> np.random.Generator:
        """What differs from one time to the next."""
        ...

    def glyph(self, symbol: str, size: float) -> Sequence[Stroke]:
        """The strokes of ``symbol``, on the line y = 0; raises ``KeyError`` for what nobody knows how to write."""
        ...

    def stretched(self, mark: str, width: float, height: float) -> Sequence[Stroke]:
        """The strokes of a bar, a bracket or an accent that fills ``width`` x ``height`` from (0, 0) on."""
        ...

    def root(self, hook: float, width: float, height: float) -> Sequence[Stroke]:
        """A root's sign from (0, 0) on; the bar begins at ``hook``."""
        ...


@dataclass(eq=False)
class Piece:
    """A symbol where it stands, moved by ``x`` and ``y`` from where its strokes are."""

    symbol: str
    strokes: Sequence[Stroke]
    x: float = 0.0
    y: float = 0.0

    @property
    def placed(self) -> list[Stroke]:
        """The strokes at their place."""
        return [stroke + np.array((self.x, self.y)) for stroke in self.strokes]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        left, top, right, bottom = bounds(self.strokes)
        return left + self.x, top + self.y, right + self.x, bottom + self.y


@dataclass(eq=False)
class Box:
    """Pieces and the box around them."""

    pieces: list[Piece]
    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top

    def moved(self, x: float, y: float) -> Box:
        """This very box, and its pieces, elsewhere."""
        for piece in self.pieces:
            piece.x += x
            piece.y += y
        self.left, self.right = self.left + x, self.right + x
        self.top, self.bottom = self.top + y, self.bottom + y
        return self

    def at(self, left: float, top: float) -> Box:
        """This very box with its corner there."""
        return self.moved(left - self.left, top - self.top)


def bounds(strokes: Sequence[Stroke]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom."""
    points = np.concatenate(strokes) if len(strokes) > 1 else strokes[0]
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    return left, top, right, bottom


def together(boxes: Sequence[Box]) -> Box:
    """All pieces of ``boxes`` in one."""
    return Box(
        [piece for box in boxes for piece in box.pieces],
        min(box.left for box in boxes),
        min(box.top for box in boxes),
        max(box.right for box in boxes),
        max(box.bottom for box in boxes),
    )
