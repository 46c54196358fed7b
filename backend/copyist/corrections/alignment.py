"""Which line of a corrected text is which line that was read.

A text with as many lines as were read has each of them in its place (the rule of the seed), unless lines have moved in
it, or it is another text. Else lines that are the same hold the others in place, and between two of those lines are
paired, in their order, by the pairs of letters that they have in common (Dice 1945). A pair that might as well be
another, or is a line cut in two, or two made one, is none: a picture with its neighbour's words would be learned from.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from math import sqrt
from statistics import mean, pstdev

Pair = tuple[int, int]

ALIKE = 0.5
"""So much two lines have in common that may be one. Measured: unrelated lines of six words have 0.18, one in a hundred
0.39; a line and itself with two letters of ten misread 0.71, with four 0.49."""
BY_CHANCE = 2.0
"""So many standard errors more than with their neighbours a text has in common with the lines in their places, or it is
another text."""
FEW, NEIGHBOURS = 4, 10
"""Of fewer lines chance tells nothing; more neighbours of each are not looked at."""
DISTINCT = 0.1
"""By so much a pair is better than any other that could be, or nobody knows which one it is."""
A_SHIFT = 0.5
"""So much more a text has in common, in lines, if its lines are moved, before they are; and so large a share of it must
then have found its place. Where next to nothing was read right, a line that looks like another one tells nothing."""
MOST_LINES = 5_000
MOST_PAIRS = 100_000
"""Of lines that are compared, which takes a second. Only pages that have nearly nothing in common come near it."""


def align(read: Sequence[str], sent: Sequence[str]) -> list[Pair]:
    """Lay ``sent`` beside ``read``: places in both, ascending in both. Neither is empty, nor has empty lines.

    There are fewer pairs than lines where a line is nowhere in the other text, and none where the texts are too
    different, or too long, to tell.
    """
    texts = _Texts([_plain(line) for line in read], [_plain(line) for line in sent])
    matched = None if texts.is_too_much() else list(texts.matched())
    if len(read) == len(sent):
        straight = [(place, place) for place in range(len(read))]
        is_moved = matched is not None and len(matched) >= A_SHIFT * len(read)
        if not is_moved or texts.in_common(matched or []) <= texts.in_common(straight) + A_SHIFT:
            return [] if texts.is_alike_by_chance() else straight
    return list(texts.without_doubt(matched or []))


def _plain(line: str) -> str:
    return " ".join(unicodedata.normalize("NFC", line).split())


class _Texts:
    """What was read and what was sent, line by line."""

    def __init__(self, read: Sequence[str], sent: Sequence[str]) -> None:
        self._read, self._sent = read, sent
        self._read_letters = [_letters(line) for line in read]
        self._sent_letters = [_letters(line) for line in sent]

    def alike(self, place: int, other: int) -> float:
        """How much a line that was read has in common with one that was sent, 0 to 1."""
        return _dice(self._read_letters[place], self._sent_letters[other])

    def in_common(self, pairs: Sequence[Pair]) -> float:
        """How much the lines of all pairs have in common, in lines."""
        return sum(self.alike(place, other) for place, other in pairs)

    def is_alike_by_chance(self) -> bool:
        """Whether the lines have no more in common than any two lines; there are as many in both texts."""
        count = len(self._read)
        straight = mean(self.alike(place, place) for place in range(count))
        if count < FEW or straight >= ALIKE:
            return False
        shifts = range(1, min(count, NEIGHBOURS + 1))
        beside = [self.alike(place, (place + shift) % count) for place in range(count) for shift in shifts]
        return straight - mean(beside) <= BY_CHANCE * pstdev(beside) / sqrt(count)

    def is_too_much(self) -> bool:
        """Whether comparing would take too long: there are too many lines, or too many of them are the same."""
        if max(len(self._read), len(self._sent)) > MOST_LINES:
            return True
        known = Counter(self._read)
        if sum(known[line] for line in self._sent) > MOST_PAIRS:
            return True
        runs = self._runs()
        return sum((end - start) * (last - first) for what, start, end, first, last in runs if what != "equal") > (
            MOST_PAIRS
        )

    def _runs(self) -> list[tuple[str, int, int, int, int]]:
        return list(SequenceMatcher(None, self._read, self._sent, autojunk=False).get_opcodes())

    def matched(self) -> Iterator[Pair]:
        """All pairs: lines that are the same, and between them the best of those that are alike."""
        for what, start, end, first, last in self._runs():
            if what == "equal":
                yield from zip(range(start, end), range(first, last), strict=True)
            elif what == "replace":
                yield from self._best(range(start, end), range(first, last))

    def _best(self, read: range, sent: range) -> Iterator[Pair]:
        """The pairs of alike lines that have most in common together (Needleman and Wunsch 1970, gaps cost nothing)."""
        likes = [[self.alike(place, other) for other in sent] for place in read]
        totals = [[0.0] * (len(sent) + 1) for _ in range(len(read) + 1)]
        for row in reversed(range(len(read))):
            for column in reversed(range(len(sent))):
                like = likes[row][column]
                taken = like + totals[row + 1][column + 1] if like >= ALIKE else 0.0
                totals[row][column] = max(taken, totals[row + 1][column], totals[row][column + 1])
        row, column = 0, 0
        while row < len(read) and column < len(sent):
            if totals[row][column] == totals[row + 1][column]:
                row += 1
            elif totals[row][column] == totals[row][column + 1]:
                column += 1
            else:
                yield read[row], sent[column]
                row, column = row + 1, column + 1

    def without_doubt(self, pairs: Sequence[Pair]) -> Iterator[Pair]:
        """Those of the pairs that could be no other."""
        free_read = set(range(len(self._read))) - {place for place, _ in pairs}
        free_sent = set(range(len(self._sent))) - {other for _, other in pairs}
        for place, other in pairs:
            if self._read[place] == self._sent[other]:
                # Of two lines that are the same it does not matter which of them it is.
                yield place, other
                continue
            rivals = [self.alike(beside, other) for beside in _beside(place, free_read)]
            rivals += [self.alike(place, beside) for beside in _beside(other, free_sent)]
            joined = [_dice(_letters(one), self._sent_letters[other]) for one in _joined(self._read, place, free_read)]
            joined += [_dice(self._read_letters[place], _letters(one)) for one in _joined(self._sent, other, free_sent)]
            like = self.alike(place, other)
            if max(rivals, default=0.0) < like - DISTINCT and max(joined, default=0.0) < like:
                yield place, other


def _letters(line: str) -> Counter[str]:
    framed = f" {line.casefold()} "
    return Counter(framed[place : place + 2] for place in range(len(framed) - 1))


def _dice(one: Counter[str], other: Counter[str]) -> float:
    few, many = (one, other) if len(one) <= len(other) else (other, one)
    common = sum(min(count, many[pair]) for pair, count in few.items() if pair in many)
    return 2 * common / (one.total() + other.total())


def _beside(place: int, free: set[int]) -> list[int]:
    return [beside for beside in (place - 1, place + 1) if beside in free]


def _joined(lines: Sequence[str], place: int, free: set[int]) -> list[str]:
    """The line with each neighbour that has no pair, as one line."""
    return [" ".join(lines[min(place, one) : max(place, one) + 1]) for one in _beside(place, free)]
