"""Formulas in somebody's hand.

A writer has forms of symbols, bent in a way of their own, a slant, distances, a pen that shakes and a device that
records it coarsely or finely; what a writer does differs a little from one time to the next. The same seeds give the
same ink.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from copyist.engines.formula import latex as latex_
from copyist.training.formula.boxes import Piece
from copyist.training.formula.glyphs import Form, Points, curve, forms
from copyist.training.formula.ink import Ink, Stroke
from copyist.training.formula.layout import AXIS, OPERATORS, RELATIONS, laid_out
from copyist.training.formula.tree import Row, parsed
from copyist.training.formula.writer import Writer as Writer

_MIDDLES = frozenset("acemnorsuvwxz") | {r"\alpha", r"\epsilon", r"\nu", r"\pi", r"\sigma", r"\omega", r"\kappa"}
"""Small letters without anything long, whose height differs between writers."""
_MOST_GROWTH = 0.45
"""How much smaller or larger symbols become along a formula, as a logarithm."""
_TREMOR = 0.12
"""How far it is from one shake of the hand to the next."""
_FINE = 0.05
"""How far points are from each other before those are dropped that are not needed."""
_SIGNS = OPERATORS | RELATIONS
_HAT = np.array([(0.0, 1.0), (0.48, 0.0), (1.0, 0.95)])
_TILDE = np.array([(0.0, 1.0), (0.25, 0.0), (0.7, 1.0), (1.0, 0.1)])


def write(formula: str | Row, writer: Writer, chance: np.random.Generator) -> Ink:
    """``formula``, LaTeX or its tree, in this hand, in the units of the writer's device.

    Raises ``ValueError`` for what nobody knows how to write, and ``latex.LatexProblem`` (one of those) for bad LaTeX.
    """
    pieces = pieces_of(formula, writer, chance)
    if not pieces:
        raise ValueError("there is nothing to write in an empty formula")
    return _recorded([stroke for piece in pieces for stroke in piece.placed], writer, chance)


def pieces_of(formula: str | Row, writer: Writer, chance: np.random.Generator) -> list[Piece]:
    """The symbols of ``formula`` as this hand places them, before the device records them."""
    row = parsed(latex_.normalize(formula)) if isinstance(formula, str) else formula
    return laid_out(row, _Hand(writer, chance))


class _Hand:
    """A writer at one formula: what ``layout.Hand`` asks for."""

    def __init__(self, writer: Writer, chance: np.random.Generator) -> None:
        self.writer = writer
        self.chance = chance
        self.spacing = writer.spacing
        self.round_roots = chance.random() < (0.1, 0.35, 0.8)[writer.seed % 3]
        self.trend = chance.normal(0.0, 0.25 * writer.uneven)
        self.grow = chance.normal(0.0, 0.5 * writer.uneven)

    def glyph(self, symbol: str, size: float) -> list[Stroke]:
        """The strokes of ``symbol`` in one of the writer's forms."""
        writer, chance = self.writer, self.chance
        form, points = _bent(writer, symbol, int(chance.random() < writer.second))
        moved = points + chance.normal(0.0, writer.jitter, points.shape) * _give(form)
        turn, wider, higher = chance.standard_normal(3).tolist()
        size *= math.exp(self.grow)
        self.grow = min(max(self.grow + self.trend, -_MOST_GROWTH), _MOST_GROWTH)
        high = size * math.exp(writer.uneven * higher)
        wide = size * math.exp(writer.uneven * (0.7 * higher + 0.5 * wider))
        shear = (writer.slant + turn * writer.turn) * high
        rotated = moved @ np.array([[wide, writer.turn * turn * wide], [-shear, high]])
        strokes = form.drawn(rotated)
        return [self.pen(stroke, size) for stroke in strokes]

    def pen(self, stroke: Stroke, size: float) -> Stroke:
        """``stroke`` as a pen leaves it: longer or shorter, with ticks at its ends; a point becomes a small spot."""
        writer, chance = self.writer, self.chance
        if len(stroke) == 1:
            spot = chance.normal(0.0, 0.03, (int(chance.integers(1, 4)), 2)) * size
            return np.concatenate([stroke, stroke + spot])
        first, last, tick = chance.random(3).tolist()
        if writer.over and tick < 0.5:
            ends = chance.normal(0.3 * writer.over, writer.over, 2) * size
            stroke = stroke.copy()
            stroke[0] += ends[0] * _away(stroke[0] - stroke[1])
            stroke[-1] += ends[1] * _away(stroke[-1] - stroke[-2])
        if first < writer.hooks * 0.5:
            stroke = np.concatenate([stroke[:1] + chance.normal(0.0, 0.06, (1, 2)) * size, stroke])
        if last < writer.hooks:
            stroke = np.concatenate([stroke, stroke[-1:] + chance.normal(0.0, 0.07, (1, 2)) * size])
        return stroke

    def stretched(self, mark: str, width: float, height: float) -> list[Stroke]:
        """Bars, brackets and accents as large as they are wanted."""
        if mark in (r"\dot", r"\ddot"):
            places = (0.5,) if mark == r"\dot" else (0.3, 0.7)
            return [self.pen(np.array([[place * width, 0.0]]), 1.0) for place in places]
        if mark in (r"\hat", r"\tilde"):
            shape = _HAT if mark == r"\hat" else _TILDE
            bent = shape * (width, height) + self.chance.normal(0.0, 0.08, shape.shape) * height
            return [curve(bent) if mark == r"\tilde" else bent]
        if mark == r"\vec":
            middle, head = height / 2, min(0.3 * width, 0.6 * height + 0.08)
            line = self.line((0.0, middle), (width, middle))
            point = np.array([[width - head, 0.0], [width, middle], [width - head, height]])
            point += self.chance.normal(0.0, 0.08, (3, 2)) * height
            return [line, point if self.chance.random() < 0.85 else point[:2]]
        if height == 0.0:
            return [self.line((0.0, 0.0), (width, self.chance.normal(0.0, self.writer.turn) * min(width, width**0.5)))]
        return self.bracket(mark, height)

    def bracket(self, mark: str, height: float) -> list[Stroke]:
        form, points = _bent(self.writer, mark, int(self.chance.random() < self.writer.second))
        points = points + self.chance.normal(0.0, self.writer.jitter, points.shape) * _give(form)
        low, high = points.min(0), points.max(0)
        tall = height / float(high[1] - low[1])
        scale = (min(tall**0.5, 2.2) * math.exp(self.chance.normal(0.0, 0.3)), tall)
        return form.drawn((points - low) * scale)

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> Stroke:
        """A line by hand: a little bowed and uneven."""
        ends = np.array([start, end])
        length = float(np.hypot(*(ends[1] - ends[0])))
        count = 5
        line = np.linspace(ends[0], ends[1], count)
        bow = self.chance.normal(0.0, 0.35 * self.writer.turn) * min(length, length**0.5)
        line[:, 1] += bow * np.sin(np.linspace(0.0, math.pi, count))
        line[1:-1] += self.chance.normal(0.0, 0.5 * self.writer.jitter, (count - 2, 2))
        return self.pen(line, 1.0)

    def root(self, hook: float, width: float, height: float) -> list[Stroke]:
        """A root's sign: a tick or none, a sharp or a round foot, the rise and the bar, which some write by itself."""
        chance, round_ = self.chance, self.round_roots
        top = height * chance.uniform(0.0, 0.06)
        foot = hook * chance.uniform(0.3, 0.6)
        start = height * chance.uniform(0.4, 0.62)
        points = [(foot * 0.3, start), (foot, height), (foot + (hook - foot) * 0.6, height * 0.5), (hook, top)]
        corners = [1, 3]
        if round_:
            deep = height * chance.uniform(0.86, 0.95)
            points[1:3] = [(foot * 0.75, deep), (foot * 1.15, height), (hook * 0.8, deep), (hook, height * 0.45)]
            corners = [len(points) - 1]
        if chance.random() < 0.6:
            points.insert(0, (0.0, start + height * chance.uniform(0.02, 0.14)))
            corners = [corner + 1 for corner in corners] if round_ else [1, *(corner + 1 for corner in corners)]
        bent = np.array(points)
        bent[:-1] += chance.normal(0.0, min(self.writer.jitter, 0.03), (len(points) - 1, 2)) * (hook + 0.3)
        bar = self.line((hook, top), (width, top + height * chance.normal(0.0, 0.04)))
        if self.writer.seed % 5 == 0:
            return [curve(bent, corners), bar + chance.normal(0.0, 0.03, 2)]
        both = np.concatenate([bent, bar[1:]])
        return [curve(both, corners)]


@lru_cache(maxsize=1024)
def _give(form: Form) -> Points:
    """How far points of ``form`` may be moved along x and y: less where it is narrow, or its shape would go."""
    wide, high = np.ptp(form.points, axis=0).tolist()
    return np.array((min(max(wide / 0.35, 0.4), 1.0), min(max(high / 0.4, 0.4), 1.0)))


def _away(step: Points) -> Points:
    """The direction of ``step``."""
    length = math.hypot(float(step[0]), float(step[1]))
    direction: Points = step / max(length, 1e-9)
    return direction


@lru_cache(maxsize=16384)
def _bent(writer: Writer, symbol: str, other: int) -> tuple[Form, Points]:
    """The form that ``writer`` has for ``symbol``, the usual one or an ``other``, with its points bent."""
    known = forms(symbol)
    if not known:
        raise KeyError(symbol)
    own = np.random.default_rng([writer.seed, zlib.crc32(symbol.encode()), other])
    weights = np.cumsum([form.weight for form in known])
    form = known[int(np.searchsorted(weights, own.random() * weights[-1], side="right"))]
    points = form.points + own.normal(0.0, writer.bend, form.points.shape) * _give(form)
    wide, high = np.exp(own.normal(0.0, (0.1, 0.06))).tolist()
    if symbol in _MIDDLES:
        wide, high = wide * writer.middles**0.7, high * writer.middles
    if symbol in _SIGNS:
        points = (points - (0.0, AXIS)) * writer.signs + (0.0, AXIS)
    return form, points * (wide * writer.width, high)


def _recorded(strokes: Sequence[Stroke], writer: Writer, chance: np.random.Generator) -> Ink:
    """``strokes`` as the writer's device has them: shaken, turned with the line, in points of the device's grid."""
    slope = chance.normal(0.0, writer.slope)
    units = writer.units * math.exp(chance.normal(0.0, 0.15))
    turn = np.array([[math.cos(slope), math.sin(slope)], [-math.sin(slope), math.cos(slope)]]) * units
    start = chance.uniform(20.0, 400.0, 2)
    points, cuts = _sampled(strokes, writer, chance)
    wave, phase = chance.uniform(0.15, 0.9), chance.uniform(0.0, 2 * math.pi)
    points[:, 1] += chance.normal(0.0, writer.drift) * np.sin(wave * points[:, 0] + phase)
    if writer.coarse:
        fewer = [_fewer(stroke, writer.coarse) for stroke in np.split(points, cuts)]
        points, cuts = np.concatenate(fewer), np.cumsum([len(stroke) for stroke in fewer])[:-1]
    points = np.round((points @ turn + start) / writer.quantum) * writer.quantum
    kept = np.ones(len(points), bool)
    kept[1:] = (points[1:] != points[:-1]).any(1)
    kept[cuts] = True
    return Ink(tuple(stroke[keep] for stroke, keep in zip(np.split(points, cuts), np.split(kept, cuts), strict=True)))


def _sampled(
    strokes: Sequence[Stroke], writer: Writer, chance: np.random.Generator
) -> tuple[Points, npt.NDArray[np.intp]]:
    """Points at the device's distances along all strokes, and the numbers at which a stroke begins but for the first.

    All strokes at once, as one long one whose joints nobody samples: one by one takes four times as long.
    """
    points = np.concatenate(strokes)
    lasts = np.cumsum([len(stroke) for stroke in strokes]) - 1
    steps = points[1:] - points[:-1]
    along = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
    begins, ends = along[np.concatenate([[0], lasts[:-1] + 1])], along[lasts]
    counts = np.maximum(2, np.rint((ends - begins) / (_FINE if writer.coarse else writer.step)).astype(int) + 1)
    cuts = np.cumsum(counts)
    numbers = np.arange(cuts[-1]) - np.repeat(cuts - counts, counts)
    wanted = np.repeat(begins, counts) + numbers * np.repeat((ends - begins) / (counts - 1), counts)
    sampled = np.stack([np.interp(wanted, along, points[:, axis]) for axis in (0, 1)], 1)
    if writer.shake:
        shakes = chance.normal(0.0, writer.shake, (int(along[-1] / _TREMOR) + 2, 2))
        at = np.arange(len(shakes)) * _TREMOR
        sampled += np.stack([np.interp(wanted, at, shakes[:, axis]) for axis in (0, 1)], 1)
    return sampled, cuts[:-1]


def _fewer(stroke: Stroke, farthest: float) -> Stroke:
    """Only the points that a line needs which is nowhere ``farthest`` off."""
    return np.asarray(cv2.approxPolyDP(stroke.astype(np.float32)[:, None], farthest, False)[:, 0], float)
