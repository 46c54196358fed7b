"""How well formulas are read: errors, exact readings, and whether confidence keeps its word, all in LaTeX's tokens.

Both sides are ``latex.normalize``'d. The error rate is that of the tokens: errors of all formulas over the length of
all. ExpRate, the share of formulas without an error, and those with at most one and two, are CROHME's figures.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import Levenshtein
import numpy as np

from copyist.engines.base import Stop
from copyist.engines.formula import latex
from copyist.engines.formula.config import Frame
from copyist.engines.formula.decoding import Decoder, FormulaReader, Limits, greedy
from copyist.engines.formula.picture import Picture, PictureUnusable, batch, prepare
from copyist.engines.formula.vocabulary import Vocabulary
from copyist.training.formula.examples import ExampleUnusable
from copyist.training.formula.lessons import Split, shown
from copyist.training.formula.sets import FormulaSet

LENGTHS = (5, 10, 20, 40, 80)
"""Formulas are told apart by their length, at most so many tokens, and those that are longer."""
WORST = 40
_AT_ONCE = 32
_BINS = 10


@dataclass(frozen=True, eq=False)
class Question:
    """A formula to read: its name, its canonical tokens, and the ``picture`` as somebody would send it."""

    name: str
    truth: tuple[str, ...]
    picture: Picture


@dataclass(frozen=True)
class Reading:
    """What was read: tokens as the model wrote them, and how sure it is, 0 to 1."""

    tokens: tuple[str, ...]
    confidence: float


@dataclass(frozen=True)
class Case:
    """A formula and how it was read. ``code`` says why nothing was, where nothing could be."""

    name: str
    truth: tuple[str, ...]
    read: tuple[str, ...]
    errors: int
    confidence: float
    well_formed: bool
    code: str = ""

    @property
    def exact(self) -> bool:
        """Whether every token is right."""
        return self.errors == 0


@dataclass(frozen=True)
class Figures:
    """All cases together. Rates are 0 to 1; ``cer`` may be more. The formulas have ``least`` to ``most`` tokens."""

    formulas: int
    cer: float
    exact: float
    within_one: float
    within_two: float
    well_formed: float
    """The share that is LaTeX a renderer takes."""
    confidence: float
    calibration_error: float
    least: int = 0
    most: int = 0


def question(formulas: FormulaSet, split: Split, name: str) -> Question:
    """The formula ``name``, drawn without chance; raises ``ExampleUnusable``."""
    example = formulas.load(split, name)
    return Question(name, tuple(example.label), shown(example, None))


def questions(
    formulas: FormulaSet, split: Split, *, most: int = 0, left_out: Callable[[str, str, str], None]
) -> Iterator[Question]:
    """The formulas of ``split``; where ``most`` are wanted of more, the same ones each time, from all over.

    ``left_out`` is told name, code and sentence of those whose label says nothing or that cannot be opened. An unknown
    token is no such reason: it is an error of the model.
    """
    names = formulas.names(split)
    if most and len(names) > most:
        chosen = np.sort(np.random.default_rng(0).permutation(len(names))[:most])
        names = [names[int(at)] for at in chosen]
    for name in names:
        try:
            yield question(formulas, split, name)
        except (ExampleUnusable, PictureUnusable) as unusable:
            left_out(name, unusable.code, str(unusable))
        except (OSError, ValueError, ArithmeticError) as error:
            left_out(name, "unreadable", f"It cannot be read ({type(error).__name__}: {error}).")


def case(asked: Question, found: Reading | PictureUnusable) -> Case:
    """How well ``asked`` was read."""
    if isinstance(found, PictureUnusable):
        return Case(asked.name, asked.truth, (), len(asked.truth), 0.0, False, found.code)
    read, well_formed = canonical(found.tokens)
    errors = int(Levenshtein.distance(asked.truth, read))
    return Case(asked.name, asked.truth, read, errors, found.confidence, well_formed)


def canonical(tokens: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """``tokens`` as labels are written, and whether they are LaTeX; as they are where they are none."""
    if latex.problem(tokens) is not None:
        return tuple(tokens), False
    try:
        return latex.normalize(latex.joined(tokens)), True
    except latex.LatexProblem:
        return tuple(tokens), False


def figures(cases: Sequence[Case]) -> Figures:
    """All of ``cases`` together."""
    count = len(cases)
    if not count:
        return Figures(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    lengths = [len(each.truth) for each in cases]
    return Figures(
        formulas=count,
        cer=sum(each.errors for each in cases) / max(1, sum(lengths)),
        exact=sum(each.exact for each in cases) / count,
        within_one=sum(each.errors <= 1 for each in cases) / count,
        within_two=sum(each.errors <= 2 for each in cases) / count,
        well_formed=sum(each.well_formed for each in cases) / count,
        confidence=sum(each.confidence for each in cases) / count,
        calibration_error=calibration_error(cases),
        least=min(lengths),
        most=max(lengths),
    )


def by_length(cases: Sequence[Case]) -> list[Figures]:
    """``cases`` from short to long (``LENGTHS``), without lengths that there are none of."""
    bounds = [0, *LENGTHS, 1 << 30]
    groups = [[each for each in cases if low < len(each.truth) <= high] for low, high in pairwise(bounds)]
    return [figures(group) for group in groups if group]


def calibration_error(cases: Sequence[Case]) -> float:
    """The expected calibration error, 0 to 1, in 10 bins of equal width (Guo et al., arXiv 1706.04599)."""
    sure = np.array([each.confidence for each in cases])
    right = np.array([each.exact for each in cases], float)
    where = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(where, sure - right, _BINS)
    return float(np.abs(gaps).sum() / len(cases))


@dataclass(frozen=True)
class Answers:
    """What a reader made of a split: cases, what was left out (name: code, sentence), seconds a formula.

    ``worst`` are the cases with the most errors, those that the reader was surest of first, with their pictures.
    """

    cases: tuple[Case, ...]
    worst: tuple[tuple[Case, Picture], ...]
    left_out: dict[str, tuple[str, str]]
    seconds: float

    @property
    def left_out_by_code(self) -> dict[str, int]:
        """How many formulas were left out, by code."""
        return dict(sorted(Counter(code for code, _ in self.left_out.values()).items()))


def examined(reader: FormulaReader, formulas: FormulaSet, split: Split, *, stop: Stop, most: int = 0) -> Answers:
    """``reader`` on ``split``; raises what ``stop`` was asked to raise."""
    left_out: dict[str, tuple[str, str]] = {}

    def note(name: str, code: str, reason: str) -> None:
        left_out[name] = code, reason

    cases: list[Case] = []
    worst: list[tuple[Case, Picture]] = []
    seconds = 0.0
    asked = questions(formulas, split, most=most, left_out=note)
    while group := list(islice(asked, _AT_ONCE * 4)):
        began = time.monotonic()
        found = reader.read([each.picture for each in group], stop)
        seconds += time.monotonic() - began
        judged = [
            case(one, read if isinstance(read, PictureUnusable) else Reading(read.tokens, read.confidence))
            for one, read in zip(group, found, strict=True)
        ]
        cases += judged
        worst = worst_of([*worst, *zip(judged, [each.picture for each in group], strict=True)])
    return Answers(tuple(cases), tuple(worst), left_out, seconds / max(1, len(cases)))


def worst_of(cases: Iterable[tuple[Case, Picture]]) -> list[tuple[Case, Picture]]:
    """The ``WORST`` with the most errors, those that the reader was surest of first."""
    wrong = [pair for pair in cases if pair[0].errors]
    return sorted(wrong, key=lambda pair: (-pair[0].errors, -pair[0].confidence, pair[0].name))[:WORST]


class Exam:
    """Formulas that are read again and again while a model learns: prepared once, read greedily."""

    def __init__(self, asked: Sequence[Question], frame: Frame, vocabulary: Vocabulary, longest: int) -> None:
        self._vocabulary, self._longest = vocabulary, longest
        self._asked = list(asked)
        self._pixels: list[Picture | PictureUnusable] = [_prepared(each.picture, frame) for each in self._asked]

    def __len__(self) -> int:
        return len(self._asked)

    def cases(self, decoder: Decoder, stop: Stop) -> list[Case]:
        """How ``decoder`` reads them; raises what ``stop`` was asked to raise."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        found: dict[int, Reading | PictureUnusable] = {}
        for number, pixels in enumerate(self._pixels):
            if isinstance(pixels, PictureUnusable):
                found[number] = pixels
            else:
                by_size.setdefault(pixels.shape, []).append(number)
        for numbers in by_size.values():
            for start in range(0, len(numbers), _AT_ONCE):
                group = numbers[start : start + _AT_ONCE]
                found |= zip(group, self._read(decoder, [self._pixels[number] for number in group], stop), strict=True)
        return [case(asked, found[number]) for number, asked in enumerate(self._asked)]

    def _read(self, decoder: Decoder, pixels: Sequence[Any], stop: Stop) -> list[Reading]:
        written = greedy(decoder, batch(pixels), Limits(longest=self._longest), stop)
        return [Reading(tuple(self._vocabulary.tokens(each.ids)), each.mean) for each in written]


def _prepared(picture: Picture, frame: Frame) -> Picture | PictureUnusable:
    try:
        return prepare(picture, frame).pixels
    except PictureUnusable as unusable:
        return unusable
