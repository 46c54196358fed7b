"""Forms of symbols: how people write them, as points that a pen passes.

``forms.txt`` has forms of our own, the stroke fonts of A. V. Hershey give more. A form is bent by moving its points;
``Form.drawn`` then makes smooth strokes of them. Units: a capital is 1 high, y = 0 is the line that is written on and
y points down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt
from HersheyFonts import HersheyFonts

from copyist.training.formula.grammar_parts import commands

Points = npt.NDArray[np.float64]

_HIGH = 10.0
"""A capital's height in ``forms.txt``."""
_CAP, _BASE = -12.0, 9.0
"""Rows of Hershey's grid: top of the capitals and the line that is written on."""
_STEP = 0.07
"""About how far two points of a drawn stroke are from each other."""
_CORNER = 0.45
"""Strokes of Hershey's have a corner where the cosine between two pieces is less."""

_BARE = frozenset("Il")
"""Letters that the fonts write as a bare bar, which is a one to most."""

_SMALL_GREEK = commands("alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau")
_CAPITAL_GREEK = commands("Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega")
_GREEK = MappingProxyType(
    dict(zip("abcdefghijklmnpqrs", _SMALL_GREEK, strict=True))
    | dict(zip("uvwx", commands("phi chi psi omega"), strict=True))
    | dict(zip("CDHKNPRUWX", _CAPITAL_GREEK, strict=True))
)
"""Where the font has them."""


@dataclass(frozen=True, eq=False)
class Form:
    """One way to write a symbol: the ``points`` of all its strokes, (points, 2), one stroke after another.

    ``smooth`` makes (many, points) of them, a stroke's first number is in ``starts``, and among the many in ``cuts``.
    ``weight`` is how usual the form is.
    """

    points: Points
    starts: tuple[int, ...]
    smooth: Points
    cuts: tuple[int, ...]
    weight: float

    def drawn(self, points: Points) -> list[Points]:
        """Strokes through ``points``, the form's own or those moved a little."""
        return np.split(self.smooth @ points, self.cuts[1:])


@cache
def forms(symbol: str) -> tuple[Form, ...]:
    """Every form of ``symbol``, a token of LaTeX; none where nobody knows how to write it."""
    return tuple(_own().get(symbol, ())) + tuple(_of_fonts().get(symbol, ()))


def curve(points: Points, corners: Sequence[int] = ()) -> Points:
    """A smooth stroke through ``points``, but for the numbers in ``corners``."""
    sharp = np.zeros(len(points), bool)
    sharp[list(corners)] = True
    return _smoothing(points, sharp) @ points


@cache
def symbols() -> frozenset[str]:
    """Every symbol that has a form."""
    return frozenset(_own()) | frozenset(_of_fonts())


@cache
def _own() -> dict[str, list[Form]]:
    found: dict[str, list[Form]] = {}
    text = files("copyist.training.formula").joinpath("forms.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line and not line.startswith("# "):
            symbol, weight, strokes = line.split(" ", 2)
            found.setdefault(symbol, []).append(_written(strokes, float(weight)))
    return found


def _written(text: str, weight: float) -> Form:
    """A form as ``forms.txt`` has it."""
    strokes, corners = [], []
    for stroke in text.split(" / "):
        words = stroke.split()
        strokes.append(np.array([[float(part) for part in word.rstrip("!").split(",")] for word in words]))
        corners.append(np.array([word.endswith("!") for word in words]))
    return _form([(stroke - (0.0, _HIGH)) / _HIGH for stroke in strokes], corners, weight)


@cache
def _of_fonts() -> dict[str, list[Form]]:
    """Letters and digits of the fonts that are drawn with single strokes."""
    found: dict[str, list[Form]] = {}
    fonts = HersheyFonts()
    letters = [chr(code) for code in (*range(ord("A"), ord("Z") + 1), *range(ord("a"), ord("z") + 1))]
    digits = [chr(code) for code in range(ord("0"), ord("9") + 1)]
    small = [letter for letter in letters if letter.islower()]
    capitals = [letter for letter in letters if letter.isupper()]
    shares = (("futural", letters + digits, 1.5), ("scripts", small, 1.2), ("scripts", capitals, 0.5))
    for font, characters, weight in shares:
        fonts.load_default_font(font)
        for character in characters:
            share = 0.2 if character in _BARE else weight
            found.setdefault(character, []).append(_of_font(fonts.all_glyphs[character].strokes, share))
    fonts.load_default_font("greeks")
    for character, name in _GREEK.items():
        found.setdefault(name, []).append(_of_font(fonts.all_glyphs[character].strokes, 2.0))
    return found


def _of_font(lines: list[list[tuple[float, float]]], weight: float) -> Form:
    """A glyph of Hershey's with as few points as its shape needs."""
    strokes, corners = [], []
    for line in lines:
        if len(line) > 1:
            points = (np.array(line, float) - (0.0, _BASE)) / (_BASE - _CAP)
            fewer = cv2.approxPolyDP(points.astype(np.float32)[:, None], 0.022, False)[:, 0].astype(float)
            steps = np.diff(fewer, axis=0)
            steps /= np.hypot(*steps.T)[:, None] + 1e-9
            sharp = np.concatenate([[False], (steps[1:] * steps[:-1]).sum(1) < _CORNER, [False]])
            strokes.append(fewer)
            corners.append(sharp)
    return _form(strokes, corners, weight)


def _form(strokes: list[Points], corners: list[npt.NDArray[np.bool_]], weight: float) -> Form:
    left = min(float(stroke[:, 0].min()) for stroke in strokes)
    points = np.concatenate(strokes) - (left, 0.0)
    counts = [len(stroke) for stroke in strokes]
    starts = [0, *np.cumsum(counts)[:-1].tolist()]
    blocks = [_smoothing(stroke, sharp) for stroke, sharp in zip(strokes, corners, strict=True)]
    cuts = [0, *np.cumsum([len(block) for block in blocks])[:-1].tolist()]
    smooth = np.zeros((sum(len(block) for block in blocks), len(points)))
    for block, start, cut in zip(blocks, starts, cuts, strict=True):
        smooth[cut : cut + len(block), start : start + block.shape[1]] = block
    return Form(points, tuple(starts), smooth, tuple(cuts), weight)


def _smoothing(stroke: Points, corners: npt.NDArray[np.bool_]) -> Points:
    """(many, points) weights: centripetal Catmull-Rom curves from corner to corner, which pass every point."""
    count = len(stroke)
    if count == 1:
        return np.ones((1, 1))
    unit = np.eye(count)
    ends = [0, *(np.flatnonzero(corners[1:-1]) + 1).tolist(), count - 1]
    rows = [unit[:1]]
    for first, last in pairwise(ends):
        for at in range(first, last):
            before, after = max(first, at - 1), min(last, at + 2)
            rows.append(_piece(stroke, unit, (before, at, at + 1, after)))
    return np.concatenate(rows)


def _piece(stroke: Points, unit: Points, numbers: tuple[int, int, int, int]) -> Points:
    """The weights of the curve from the second to the third of four points, without its start."""
    one, two, three, four = (unit[number] for number in numbers)
    places = stroke[list(numbers)]
    if numbers[0] == numbers[1]:
        one, places[0] = 2 * two - three, 2 * places[1] - places[2]
    if numbers[3] == numbers[2]:
        four, places[3] = 2 * three - two, 2 * places[2] - places[1]
    length = float(np.hypot(*(places[2] - places[1])))
    knots = np.concatenate([[0.0], np.cumsum(np.sqrt(np.hypot(*np.diff(places, axis=0).T)) + 1e-6)])
    t0, t1, t2, t3 = knots.tolist()
    t = np.linspace(t1, t2, max(2, round(length / _STEP) + 1))[1:, None]
    a1 = (t1 - t) / (t1 - t0) * one + (t - t0) / (t1 - t0) * two
    a2 = (t2 - t) / (t2 - t1) * two + (t - t1) / (t2 - t1) * three
    a3 = (t3 - t) / (t3 - t2) * three + (t - t2) / (t3 - t2) * four
    b1 = (t2 - t) / (t2 - t0) * a1 + (t - t0) / (t2 - t0) * a2
    b2 = (t3 - t) / (t3 - t1) * a2 + (t - t1) / (t3 - t1) * a3
    weights = (t2 - t) / (t2 - t1) * b1 + (t - t1) / (t2 - t1) * b2
    return np.asarray(weights, float)
