"""Drawn handwriting: lines of text as many writers would write them, from the stroke fonts of A. V. Hershey.

A writer has letter forms of one or two fonts, bent in a way of their own that is the same each time, a slant, a pen and
a paper. Drawn lines are no measure of how well real handwriting is read; they tell whether a model learns a hand and
forgets others. The same seed gives the same picture wherever the same numpy and OpenCV round alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from HersheyFonts import HersheyFonts

from copyist.training.strokes_texts import texts as texts

Picture = npt.NDArray[np.uint8]
"""A line: grey, shape (height, width), dark ink on bright paper."""

GENERAL_FONTS = ("futural", "futuram", "cursive", "scripts", "timesr", "timesi", "rowmant", "gothgbt")
"""What the hands of the general set write with."""
UNSEEN_FONTS = ("scriptc", "timesib", "gothgrt", "gothitt")
"""Kept out of the general set: a model that was trained on its hands has never seen these forms."""

Points = npt.NDArray[np.float64]

_CAP, _BASE, _DEPTH = -12.0, 9.0, 16.0
"""Rows of Hershey's grid: top of the capitals, the line that is written on, ends of the long letters; y points down."""
_STEP = 2.5
"""Grid units between two points of a stroke, once it is bent."""
_FINER = 2
"""Lines are drawn so many times larger, for pens of half a pixel more."""
_BITS = 4
"""Of a pixel's fraction when OpenCV draws."""

_FARTHEST_JOIN = 12.0


@dataclass(frozen=True, eq=False)
class _Glyph:
    """A letter's strokes one after another: points (x, y) in grid units from x = 0 on, shape (points, 2).

    Stroke number i starts at point ``starts[i]``; ``inner`` are the points that end no stroke; ``width`` is how far the
    next letter stands.
    """

    points: Points
    starts: npt.NDArray[np.intp]
    inner: npt.NDArray[np.intp]
    width: float


@dataclass(frozen=True)
class Hand:
    """How one writer writes. Lengths are in units of Hershey's grid, where a capital is 21 high.

    ``slant`` is the run per rise (positive leans right), ``width`` stretches letters, ``spacing`` is added between
    them, ``word_gap`` between words. ``deformation`` bends each letter in the writer's own way, ``jitter`` is what
    differs from one time to the next, ``drift`` how far the line leaves its baseline. ``pen`` is a stroke's width,
    ``ink`` and ``paper`` are grey values, ``noise`` their spread. ``mixed`` is the share of letters that take the
    second font's form.
    """

    seed: int
    fonts: tuple[str, ...]
    mixed: float
    slant: float
    width: float
    spacing: float
    word_gap: float
    deformation: float
    jitter: float
    drift: float
    pen: float
    ink: int
    paper: int
    noise: float
    joined: bool

    @classmethod
    def of(cls, seed: int, fonts: Sequence[str] = GENERAL_FONTS, *, strength: float = 1.0) -> Hand:
        """A random writer with forms of ``fonts``; ``strength`` scales how far from the font the letters are bent."""
        dice = np.random.default_rng([seed, 2])
        first = str(dice.choice(fonts))
        return cls(
            seed=seed,
            fonts=(first, str(dice.choice(fonts))),
            mixed=float(dice.choice([0.0, 0.0, 0.15, 0.4])),
            slant=float(np.clip(dice.normal(0.12, 0.18), -0.35, 0.55)),
            width=float(dice.uniform(0.75, 1.2)),
            spacing=float(dice.uniform(-1.5, 2.5)),
            word_gap=float(dice.uniform(7.0, 16.0)),
            deformation=strength * float(dice.uniform(0.6, 2.0)),
            jitter=float(dice.uniform(0.2, 0.9)),
            drift=float(dice.uniform(0.0, 1.5)),
            pen=float(dice.uniform(1.0, 2.6)),
            ink=int(dice.integers(15, 110)),
            paper=int(dice.integers(205, 253)),
            noise=float(dice.uniform(1.0, 6.0)),
            joined=bool(dice.random() < 0.25),
        )


def write(text: str, hand: Hand, chance: np.random.Generator, *, height_px: int = 48) -> Picture:
    """The picture of ``text`` in ``hand``, cut close around its ink as a line of a page is.

    ``chance`` decides what differs each time. ``height_px`` is from the top of the capitals to the ends of the long
    letters; the picture is as high as the ink is. Raises ``ValueError`` for characters beyond printable ASCII, and for
    text without any ink.
    """
    strange = sorted({character for character in text if not " " <= character <= "~"})
    if strange:
        raise ValueError(f"There are no strokes for {' '.join(strange)}; only printable ASCII can be drawn.")
    strokes = _laid_out(text, hand, chance)
    if not strokes:
        raise ValueError("There is nothing to draw in an empty line.")
    scale = height_px / (_DEPTH - _CAP)
    ink = _drawn(strokes, scale, max(1, round(hand.pen * scale * _FINER)))
    return _on_paper(ink, hand, chance)


def general_lines(count: int, *, seed: int = 0, lines_per_hand: int = 4) -> list[tuple[Picture, str, str]]:
    """``count`` lines of many hands with the fonts of the general set: picture, text, and whose hand it is.

    The first lines stay the same when more are asked for.
    """
    lines = []
    for number, text in enumerate(texts(count, seed)):
        writer = number // lines_per_hand
        hand = Hand.of(seed * 1_000_003 + writer)
        lines.append((write(text, hand, np.random.default_rng([seed, 3, number])), text, f"hand-{seed}-{writer}"))
    return lines


def _laid_out(text: str, hand: Hand, chance: np.random.Generator) -> list[Points]:
    """The strokes of ``text`` one letter after another, in grid units."""
    laid: list[Points] = []
    at, end = 0.0, None
    phase, waves = chance.uniform(0, 2 * np.pi), chance.uniform(0.004, 0.012)
    wobble = chance.normal(0.0, 1.0, (len(text), 4)) * (0.03, 0.03, 0.5, 0.35) * hand.jitter
    for character, (wider, turned, higher, further) in zip(text, wobble.tolist(), strict=True):
        if character == " ":
            at, end = at + hand.word_gap * (1 + wider * 3), None
            continue
        letter = _letter(hand, character)
        level = hand.drift * math.sin(phase + at * waves) + higher
        size = 1 + wider
        points = letter.points @ np.array([[size, size * turned], [-size * turned, size]])
        points += (at + further, level)
        if hand.joined and end is not None and character.islower():
            laid += _join(end, points[letter.starts])
        laid += np.split(points, letter.starts[1:])
        end = points[-1] if character.islower() else None
        at += letter.width * size + hand.spacing
    return laid


def _join(end: Points, starts: Points) -> list[Points]:
    """A sagging stroke from where one letter ends to the nearest stroke's start of the next, unless that is far."""
    away = np.hypot(*(starts - end).T)
    nearest = starts[away.argmin()]
    return [np.stack([end, (end + nearest) / 2 + (0.0, 1.5), nearest])] if away.min() < _FARTHEST_JOIN else []


@lru_cache(maxsize=8192)
def _letter(hand: Hand, character: str) -> _Glyph:
    """``character`` in this hand, y counted from the line that is written on."""
    own = np.random.default_rng([hand.seed, 4, ord(character)])
    form = _forms(hand.fonts[int(own.random() < hand.mixed)])[character]
    push = own.normal(0.0, hand.deformation, (2, 3)) * (1.0, 0.6, 0.4)
    turn = own.uniform(0.0, 2 * np.pi, (2, 3))
    way = own.normal(0.0, 0.09, (2, 3, 2))
    wider, higher = np.exp(own.normal(0.0, 0.06 * hand.deformation, 2)).tolist()
    # The sum of three waves along each axis: smooth, so that neighbouring points move alike.
    waves = np.sin(form.points @ way.transpose(0, 2, 1) + turn[:, None, :]) - np.sin(turn)[:, None, :]
    points = form.points + np.einsum("dpk,dk->pd", waves, push)
    points = points @ np.array([[wider * hand.width, 0.0], [-hand.slant * higher, higher]])
    # A pen cuts corners.
    inner = form.inner
    points[inner] = points[inner] / 2 + (points[inner - 1] + points[inner + 1]) / 4
    return _Glyph(points, form.starts, inner, form.width * hand.width * wider)


@cache
def _forms(font: str) -> dict[str, _Glyph]:
    """Every printable character of ``font``, y counted from the line that is written on."""
    fonts = HersheyFonts()
    fonts.load_default_font(font)
    return {chr(code): _form(fonts.all_glyphs[chr(code)]) for code in range(ord("!"), ord("~") + 1)}


def _form(glyph: Any) -> _Glyph:
    strokes = [_denser(np.array(points, float)) for points in glyph.strokes if len(points) > 1]
    ends = np.cumsum([len(stroke) for stroke in strokes])
    starts = np.concatenate([[0], ends[:-1]])
    inner = np.setdiff1d(np.arange(ends[-1]), np.concatenate([starts, ends - 1]))
    return _Glyph(np.concatenate(strokes) - (glyph.left_offset, _BASE), starts, inner, float(glyph.char_width))


def _denser(stroke: Points) -> Points:
    """The same stroke with a point every ``_STEP`` or so."""
    lengths = np.hypot(*np.diff(stroke, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    wanted = np.linspace(0.0, along[-1], max(2, int(along[-1] / _STEP) + 1))
    return np.stack([np.interp(wanted, along, stroke[:, axis]) for axis in (0, 1)], 1)


def _drawn(strokes: Sequence[Points], scale: float, pen: int) -> npt.NDArray[np.float32]:
    """How much ink is on each pixel, 0 to 1, with a small margin around it."""
    points = np.concatenate(strokes)
    low, high = points.min(0), points.max(0)
    margin = pen / 2 + 3 * _FINER
    finer = scale * _FINER
    width, height = (int(size) for size in np.ceil((high - low) * finer + 2 * margin))
    sheet = np.zeros((height, width), np.uint8)
    pixels = np.round(((points - low) * finer + margin) * 2**_BITS).astype(np.int32)
    lines = np.split(pixels, np.cumsum([len(stroke) for stroke in strokes])[:-1])
    cv2.polylines(sheet, lines, False, 255, pen, cv2.LINE_AA, _BITS)
    size = max(1, width // _FINER), max(1, height // _FINER)
    covered = cv2.resize(sheet, size, interpolation=cv2.INTER_AREA)
    return np.asarray(covered / 255, np.float32)


def _on_paper(ink: npt.NDArray[np.float32], hand: Hand, chance: np.random.Generator) -> Picture:
    """``ink`` in the hand's grey on its paper, both uneven as a scan shows them."""
    height, width = ink.shape
    shade = chance.normal(0.0, hand.noise, (3, max(2, width // 60))).astype(np.float32)
    paper = hand.paper + cv2.resize(shade, (width, height), interpolation=cv2.INTER_CUBIC)
    flow = chance.uniform(0.75, 1.0, (2, max(2, width // 25))).astype(np.float32)
    covered = ink * cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
    grain = chance.standard_normal((height, width), np.float32) * (hand.noise / 2)
    return np.asarray(np.clip(paper + covered * (hand.ink - paper) + grain, 0, 255), np.uint8)
