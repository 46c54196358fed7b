"""From the logits of a model to what it wrote: greedily, or along several ways at once. numpy only.

What computes the logits (ONNX Runtime, torch) is a ``Decoder``; all that is decided on them is decided here, so that
the same picture gives the same formula wherever it is read.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from copyist.engines.base import Stop
from copyist.engines.formula.picture import Picture, PictureUnusable
from copyist.engines.formula.vocabulary import END, PAD, START, UNKNOWN
from copyist.engines.generation import Finish, repeats

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_LOOP_LENGTH, _LOOP_TIMES = 12, 12
"""A pattern of at most so many tokens, so many times in a row, is a loop. A row of zeros in a matrix is shorter."""
_NEVER = [PAD, START, UNKNOWN]
"""Tokens that are no part of a formula: the next likely one is taken, with the probability that the model gave it."""


class Decoder(Protocol):
    """A model of formulas, wherever it runs. Its state holds what the pictures show and what is written so far."""

    def cross(self, pictures: Floats) -> Any:
        """The state before the first token; ``pictures`` (n, 1, height, width), 0 paper to 1 ink."""
        ...

    def step(self, tokens: Integers, position: int, state: Any) -> Floats:
        """Logits (n, vocabulary) of what follows ``tokens`` (n,), which stand at ``position``; ``state`` grows."""
        ...

    def reorder(self, state: Any, rows: Integers) -> Any:
        """The state of ``rows``, in that order: some left out, some taken several times."""
        ...


@dataclass(frozen=True)
class Limits:
    """Where decoding ends if the model does not.

    ``longest`` counts tokens without the end; before ``shortest`` of them the end is not allowed (for tests of speed).
    ``seconds`` are for one call. ``loops``: whether a reading that repeats itself is cut.
    """

    longest: int
    shortest: int = 0
    seconds: float = math.inf
    loops: bool = True


@dataclass(frozen=True)
class Found:
    """What the model wrote: ``ids`` without start and end.

    ``log_probabilities`` has one for each of ``ids`` and, where the model ended it (``Finish.STOP``), one for the end.
    """

    ids: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    finish: Finish

    @property
    def mean(self) -> float:
        """The geometric mean of the tokens' probabilities, 0 to 1."""
        return math.exp(sum(self.log_probabilities) / len(self.log_probabilities)) if self.log_probabilities else 0.0

    @property
    def least(self) -> float:
        """The probability of the token that the model was least sure of."""
        return math.exp(min(self.log_probabilities, default=-math.inf))


@dataclass(frozen=True)
class ReadFormula:
    """What one picture says.

    ``confidence`` is 0 to 1, that the whole is right; ``least`` the probability of the token that the model was least
    sure of. ``finish`` is ``STOP`` unless the reading was cut. ``others`` are other readings and their confidence, the
    likeliest first, where they were looked for.
    """

    latex: str
    confidence: float
    least: float
    tokens: tuple[str, ...]
    finish: Finish = Finish.STOP
    others: tuple[tuple[str, float], ...] = ()


class FormulaReader(Protocol):
    """A loaded model: ours or somebody else's."""

    version: str
    at_once: int
    """How many pictures it reads together at best."""

    def read(self, pictures: Sequence[Picture], stop: Stop) -> list[ReadFormula | PictureUnusable]:
        """What each of ``pictures`` says, or why it says nothing, in order; raises what ``stop`` was asked to raise."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


def greedy(decoder: Decoder, pictures: Floats, limits: Limits, stop: Stop | None = None) -> list[Found]:
    """The likeliest token at each step, for each of ``pictures``, in order.

    Rows that have ended leave the batch. Raises what ``stop`` was asked to raise.
    """
    count = len(pictures)
    until = time.monotonic() + limits.seconds
    state = decoder.cross(pictures)
    rows = [_Row() for _ in range(count)]
    alive = list(range(count))
    tokens = np.full(count, START, dtype=np.int64)
    for position in range(limits.longest + 1):
        if stop is not None:
            stop.check()
        sure = log_softmax(decoder.step(tokens, position, state))
        tokens = _allowed(sure, position, limits).argmax(1)
        chosen = sure[np.arange(len(alive)), tokens].tolist()
        late = time.monotonic() > until
        for row, token, log_probability in zip(alive, tokens.tolist(), chosen, strict=True):
            rows[row].add(token, log_probability, limits, late=late)
        staying = [place for place, row in enumerate(alive) if rows[row].finish is None]
        if not staying:
            break
        if len(staying) < len(alive):
            kept = np.array(staying)
            state, tokens, alive = decoder.reorder(state, kept), tokens[kept], [alive[place] for place in staying]
    return [row.found() for row in rows]


def beam(decoder: Decoder, picture: Floats, limits: Limits, width: int, stop: Stop | None = None) -> list[Found]:
    """The likeliest readings of one ``picture`` (1, height, width) along ``width`` ways, the best first; one at least.

    Readings are compared by the mean log-probability of their tokens, the end included: without the division shorter
    ones would always win. A way that repeats itself is given up as long as there is another.
    """
    until = time.monotonic() + limits.seconds
    state = decoder.cross(picture[None])
    ways = [_Row()]
    ended: list[_Row] = []
    for position in range(limits.longest + 1):
        if stop is not None:
            stop.check()
        last = np.array([way.ids[-1] if way.ids else START for way in ways], dtype=np.int64)
        sure = log_softmax(decoder.step(last, position, state))
        late = time.monotonic() > until
        grown = [
            (came_from, ways[came_from].and_then(token, sure[came_from, token], limits, late=late))
            for came_from, token in _best(_allowed(sure, position, limits), ways, width)
        ]
        ended += [row for _, row in grown if row.finish is not None]
        staying = [(came_from, row) for came_from, row in grown if row.finish is None]
        if not staying or _settled([row for _, row in staying], ended, width):
            break
        state = decoder.reorder(state, np.array([came_from for came_from, _ in staying], dtype=np.int64))
        ways = [row for _, row in staying]
    return in_order(row.found() for row in ended)[:width]


def in_order(ways: Iterable[Found]) -> list[Found]:
    """Different readings, those that the model ended itself first, the likeliest first of these and of the others."""
    each: dict[tuple[int, ...], Found] = {}
    for one in sorted(ways, key=lambda one: (one.finish is not Finish.STOP, -one.mean)):
        each.setdefault(one.ids, one)
    return list(each.values())


def log_softmax(logits: Floats) -> Floats:
    """Log-probabilities of the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    summed: Floats = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return summed


class _Row:
    """One reading that is being written."""

    __slots__ = ("finish", "ids", "sure", "total")

    def __init__(self, ids: Sequence[int] = (), sure: Sequence[float] = ()) -> None:
        self.ids, self.sure, self.total = list(ids), list(sure), sum(sure)
        self.finish: Finish | None = None

    def add(self, token: int, log_probability: float, limits: Limits, *, late: bool) -> None:
        """One more token, and whether it was the last."""
        self.total += log_probability
        self.sure.append(log_probability)
        if token == END:
            self.finish = Finish.STOP
            return
        self.ids.append(token)
        if late:
            self.finish = Finish.TIME
        elif len(self.ids) > limits.longest:
            # The step after the longest formula is only there for its end.
            self._cut(1, Finish.LENGTH)
        elif limits.loops and repeats(self.ids, longest=_LOOP_LENGTH, times=_LOOP_TIMES):
            period = next(p for p in range(1, _LOOP_LENGTH + 1) if repeats(self.ids, longest=p, times=_LOOP_TIMES))
            self._cut(period * (_LOOP_TIMES - 1), Finish.REPETITION)

    def and_then(self, token: int, log_probability: float, limits: Limits, *, late: bool) -> _Row:
        """A row that goes on from this one."""
        row = _Row(self.ids, self.sure)
        row.add(token, float(log_probability), limits, late=late)
        return row

    def found(self) -> Found:
        return Found(tuple(self.ids), tuple(self.sure), self.finish or Finish.LENGTH)

    def _cut(self, count: int, why: Finish) -> None:
        del self.ids[-count:], self.sure[-count:]
        self.finish = why


def _allowed(sure: Floats, position: int, limits: Limits) -> Floats:
    allowed = sure.copy()
    allowed[:, _NEVER if position >= limits.shortest else [*_NEVER, END]] = -np.inf
    return allowed


def _best(sure: Floats, ways: Sequence[_Row], width: int) -> list[tuple[int, int]]:
    """The ``width`` likeliest next tokens of all ways together: (way, token)."""
    totals = sure + np.array([way.total for way in ways], dtype=np.float32)[:, None]
    flat = totals.ravel()
    likeliest = np.argsort(-flat, kind="stable")[:width]
    return [divmod(int(place), totals.shape[1]) for place in likeliest if np.isfinite(flat[place])]


def _settled(ways: Sequence[_Row], ended: Sequence[_Row], width: int) -> bool:
    """Whether enough has ended well, and no way that is left is likelier than the best of it."""
    means = sorted((row.total / len(row.sure) for row in ended if row.finish is Finish.STOP), reverse=True)
    if len(means) < width:
        return False
    return len(means) >= 2 * width or max(way.total / len(way.sure) for way in ways) < means[0]
