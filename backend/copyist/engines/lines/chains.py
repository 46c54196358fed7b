"""Chains the maxima of neighbouring strips to the courses of lines: what follows on, what goes on behind a gap.

All distances are shares of what usually lies between two lines.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

STRIP = 8
"""Width of a strip in pixels of the working grid."""
_DRIFT = 0.3
"""From one strip to the next a line moves by less than this share of the distance between lines."""
_MISSED = 2
"""Strips in a row in which a line may have no maximum before it counts as a gap."""
_BRIDGED = 2.2
"""The widest gap inside of a line, in distances between lines."""
_STEP = 0.5
"""Behind a gap a line goes on at most this much higher or lower, in distances between lines."""
_MOST = 400
"""Pieces of lines that are followed, the strongest first: a page with more is noise."""
_END = 8
"""Strips at the end of a line that say at which height it goes on."""
_SHADOW, _TOO_CLOSE = 0.4, 0.75
"""What has at most this share of another's strength, and runs closer to it than this share of the distance, is a part
of it, unless it has words of its own: the bar of a tall T, a row of accents."""
_LETTER, _OWN, _WORD = 0.25, 0.3, 1.2
"""A letter is at least so many distances high; its own line runs at most so many from its centre; words are so wide."""

Letters = npt.NDArray[np.float64]
"""Shape (count, 4): column and row of the centre, height and width of pieces of connected ink."""
Maxima = list[list[tuple[float, float]]]
"""For each strip the rows of its maxima, from top to bottom, each with its strength."""


@dataclass(frozen=True)
class Course:
    """Where one line of writing runs: the row ``y[i]`` of its middle at column ``x[i]``, x ascending."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def at(self, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The rows at columns ``x``; beyond its ends the line runs on level."""
        return np.asarray(np.interp(np.asarray(x, float), self.x, self.y))


class _Chain:
    """A line in the making."""

    def __init__(self, strip: int, row: float, strength: float) -> None:
        self.strips, self.rows, self.strengths = [strip], [row], [strength]

    def add(self, strip: int, row: float, strength: float) -> None:
        self.strips.append(strip)
        self.rows.append(row)
        self.strengths.append(strength)

    @property
    def begun(self) -> float:
        """The row at which it begins."""
        return sum(self.rows[:_END]) / len(self.rows[:_END])

    @property
    def expected(self) -> float:
        """The row at which it should go on."""
        return sum(self.rows[-_END:]) / len(self.rows[-_END:])

    @property
    def strength(self) -> float:
        """How much ink stands in its maxima."""
        return sum(self.strengths)


def courses_of(maxima: Maxima, letters: Letters, distance: float) -> list[Course]:
    """The lines that ``maxima`` stand for, in no order; ``distance`` is what usually lies between two of them."""
    chains = sorted(_chains(maxima, distance), key=lambda chain: -chain.strength)[:_MOST]
    chains = _joined(chains, distance)
    return [_course(chain, distance) for chain in _without_shadows(chains, letters, distance)]


def _chains(maxima: Maxima, distance: float) -> list[_Chain]:
    """Maxima of neighbouring strips that follow each other."""
    done: list[_Chain] = []
    growing: list[_Chain] = []
    for strip, peaks in enumerate(maxima):
        done += [chain for chain in growing if strip - chain.strips[-1] > _MISSED]
        growing = [chain for chain in growing if strip - chain.strips[-1] <= _MISSED]
        rest = _grow(growing, strip, peaks, _DRIFT * distance)
        growing += [_Chain(strip, *peak) for peak in rest]
    return done + growing


def _grow(
    chains: list[_Chain], strip: int, peaks: list[tuple[float, float]], drift: float
) -> list[tuple[float, float]]:
    """Give each chain the nearest of ``peaks``, the nearest pairs first; return the peaks that no chain takes."""
    rows = [row for row, _ in peaks]
    pairs = sorted(
        (abs(rows[number] - chain.expected), number, which)
        for which, chain in enumerate(chains)
        for number in range(bisect_left(rows, chain.expected - drift), bisect_right(rows, chain.expected + drift))
    )
    taken: set[int] = set()
    grown: set[int] = set()
    for _, number, which in pairs:
        if number not in taken and which not in grown:
            chains[which].add(strip, *peaks[number])
            taken.add(number)
            grown.add(which)
    return [peak for number, peak in enumerate(peaks) if number not in taken]


def _joined(chains: list[_Chain], distance: float) -> list[_Chain]:
    """Chains that go on behind a gap made one."""
    overlap, bridged = distance / STRIP, _BRIDGED * distance / STRIP
    whole: list[_Chain] = []
    for chain in sorted(chains, key=lambda chain: chain.strips[0]):
        ends = [other for other in whole if -overlap <= chain.strips[0] - other.strips[-1] <= bridged]
        before = min(ends, key=lambda other: abs(chain.begun - other.expected), default=None)
        if before is not None and abs(chain.begun - before.expected) <= _STEP * distance:
            for step in zip(chain.strips, chain.rows, chain.strengths, strict=True):
                if step[0] > before.strips[-1]:
                    before.add(*step)
        else:
            whole.append(chain)
    return whole


def _without_shadows(chains: list[_Chain], letters: Letters, distance: float) -> list[_Chain]:
    """Chains without those that run close along a far stronger one and have no words of their own."""
    tall = letters[letters[:, 2] >= _LETTER * distance]
    kept: list[_Chain] = []
    for chain in sorted(chains, key=lambda chain: -chain.strength):
        if _has_words(chain, tall, distance) or not any(_shadows(chain, other, distance) for other in kept):
            kept.append(chain)
    return kept


def _has_words(chain: _Chain, tall: Letters, distance: float) -> bool:
    strips = tall[:, 0] / STRIP
    beside = (strips >= chain.strips[0]) & (strips <= chain.strips[-1])
    own = beside & (np.abs(np.interp(strips, chain.strips, chain.rows) - tall[:, 1]) < _OWN * distance)
    return bool(tall[own, 3].sum() > _WORD * distance)


def _shadows(weak: _Chain, strong: _Chain, distance: float) -> bool:
    """Whether ``weak`` runs close along ``strong``, most of its way, and is far weaker."""
    if weak.strength > _SHADOW * strong.strength:
        return False
    strips, reach = np.array(weak.strips), distance / STRIP
    away = np.abs(np.interp(strips, strong.strips, strong.rows) - weak.rows)
    beside = (strips >= strong.strips[0] - reach) & (strips <= strong.strips[-1] + reach)
    return bool(beside.mean() > 0.5 and away[beside].mean() < _TOO_CLOSE * distance)


def _course(chain: _Chain, distance: float) -> Course:
    """The chain without its wiggles: a line does not follow single letters up and down."""
    reach = max(1, round(0.75 * distance / STRIP))
    strips = np.arange(chain.strips[0], chain.strips[-1] + 1)
    rows = np.pad(np.interp(strips, chain.strips, chain.rows), 2 * reach, mode="reflect", reflect_type="odd")
    weights = np.hanning(2 * (2 * reach) + 3)[1:-1]
    calm = np.convolve(rows, weights / weights.sum(), mode="valid")
    return Course(tuple(((strips + 0.5) * STRIP).tolist()), tuple(calm.tolist()))
