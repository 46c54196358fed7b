"""Batches of lessons of one size of picture: no paper to look at in vain, and the same in every run.

Lessons wait in a pool until enough of one size are there. What waits at the end of an epoch is put together on larger
sheets. A ``Place`` says after each batch where the stream stands, so that training goes on from there after a kill.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from copyist.engines.formula.picture import Picture
from copyist.training.formula.lessons import LeftOut, Lesson, Lessons

POOL = 24
"""So many batches wait at most."""
AREA, TOKENS = 0.4, 40
"""A batch of n formulas has at most n times so much of the largest picture, and tokens with what fills them up."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """Where the stream stands: ``next`` is the number of the lesson to load; those in ``waiting`` are in the pool."""

    epoch: int = 0
    next: int = 0
    waiting: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Batch:
    """Lessons to learn at once: ``pixels`` (n, height, width); ``after`` is where the stream stands then."""

    pixels: Picture
    ids: tuple[tuple[int, ...], ...]
    numbers: tuple[int, ...]
    after: Place


@dataclass
class _Pool:
    """Lessons that wait, by the size of their pictures."""

    size: int
    area: float
    by_size: dict[Size, list[Lesson]] = field(default_factory=dict)
    count: int = 0

    def add(self, lesson: Lesson) -> Size:
        size = lesson.pixels.shape[0], lesson.pixels.shape[1]
        self.by_size.setdefault(size, []).append(lesson)
        self.count += 1
        return size

    def full(self, size: Size) -> bool:
        """Whether what waits in this size is a batch."""
        lessons = self.by_size[size]
        return len(lessons) >= self.size or not self._fits([*lessons, lessons[-1]], size)

    def fullest(self) -> Size:
        return max(self.by_size, key=lambda size: (len(self.by_size[size]), size))

    def taken(self, size: Size) -> list[Lesson]:
        """All that wait in this size; the last one stays where it would be too much."""
        lessons = self.by_size.pop(size)
        kept = lessons if len(lessons) == 1 or self._fits(lessons, size) else lessons[:-1]
        if len(kept) < len(lessons):
            self.by_size[size] = lessons[-1:]
        self.count -= len(kept)
        return kept

    def rest(self) -> Iterator[list[Lesson]]:
        """All that waits, similar sizes together."""
        waiting = [lesson for size in sorted(self.by_size) for lesson in self.by_size[size]]
        self.by_size, self.count = {}, 0
        group: list[Lesson] = []
        for lesson in waiting:
            grown = [*group, lesson]
            if group and (len(group) == self.size or not self._fits(grown, _common(grown))):
                yield group
                group = []
            group.append(lesson)
        if group:
            yield group

    def numbers(self) -> tuple[int, ...]:
        return tuple(lesson.number for size in sorted(self.by_size) for lesson in self.by_size[size])

    def _fits(self, lessons: list[Lesson], size: Size) -> bool:
        tokens = (max(len(lesson.ids) for lesson in lessons) + 1) * len(lessons)
        return len(lessons) * size[0] * size[1] <= self.size * self.area and tokens <= self.size * TOKENS


class Batches:
    """Batches of about ``size`` of ``lessons``, epoch after epoch of ``epoch_size`` lessons, from ``place`` on."""

    def __init__(
        self, lessons: Lessons, place: Place, *, size: int, epoch_size: int, left_out: Callable[[LeftOut], None]
    ) -> None:
        """``left_out`` is told what cannot be learned."""
        self._stream = lessons.stream(place.waiting, place.next)
        self._place, self._epoch_size, self._left_out = place, epoch_size, left_out
        frame = lessons.course.frame
        self._pool = _Pool(size, frame.height * frame.width * (1.0 if frame.fixed else AREA))
        for _ in place.waiting:
            self._take()

    def epoch(self) -> Iterator[Batch]:
        """The batches of what is left of the epoch that the place is in."""
        number, epoch = self._place.next, self._place.epoch
        pool = self._pool
        while number < (epoch + 1) * self._epoch_size:
            size = self._take()
            number += 1
            if size and pool.full(size):
                yield self._batch(pool.taken(size), Place(epoch, number, pool.numbers()))
            elif pool.count > POOL * pool.size:
                yield self._batch(pool.taken(pool.fullest()), Place(epoch, number, pool.numbers()))
        rest = list(pool.rest())
        for at, lessons in enumerate(rest):
            waiting = tuple(lesson.number for group in rest[at + 1 :] for lesson in group)
            yield self._batch(lessons, Place(epoch, number, waiting))
        self._place = Place(epoch + 1, number)

    def _take(self) -> Size | None:
        lesson = next(self._stream)
        if isinstance(lesson, LeftOut):
            self._left_out(lesson)
            return None
        return self._pool.add(lesson)

    @staticmethod
    def _batch(lessons: list[Lesson], after: Place) -> Batch:
        height, width = _common(lessons)
        pixels = np.zeros((len(lessons), height, width), np.uint8)
        for sheet, lesson in zip(pixels, lessons, strict=True):
            sheet[: lesson.pixels.shape[0], : lesson.pixels.shape[1]] = lesson.pixels
        return Batch(pixels, tuple(lesson.ids for lesson in lessons), tuple(lesson.number for lesson in lessons), after)


def _common(lessons: list[Lesson]) -> Size:
    return max(each.pixels.shape[0] for each in lessons), max(each.pixels.shape[1] for each in lessons)


def padded(rows: tuple[tuple[int, ...], ...], *, first: int, last: int, fill: int) -> npt.NDArray[np.int64]:
    """``rows`` between ``first`` and ``last``, filled up with ``fill``: (rows, longest + 2)."""
    found = np.full((len(rows), max(map(len, rows)) + 2), fill, np.int64)
    for line, row in zip(found, rows, strict=True):
        line[: len(row) + 2] = [first, *row, last]
    return found
