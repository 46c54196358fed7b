"""Lines as the encoder's upper part takes them, each in several views: the plain picture and augmented ones."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import torch

from copyist.training.augment import augmented
from copyist.training.frozen import FILE, Halves, Shelf, views_that_fit
from copyist.training.lessons import Lesson, Lessons
from copyist.training.order import Order
from copyist.training.reading import LearningReader

log = logging.getLogger(__name__)

View = tuple[Lesson, int]
"""A line and the number of its variant (``augment.augmented``)."""


class Views:
    """Gives the encoder's result for views of lines; what is frozen of it is computed once, where that can be kept.

    ``count`` is in how many views each line to learn from is shown: ``parameters.variants`` and the plain one, unless
    the space on the disk is enough for fewer only. Pictures go through the frozen part one by one on a CPU, so that the
    result does not depend on the others beside it.
    """

    def __init__(self, folder: Path, order: Order, reader: LearningReader, lessons: Lessons) -> None:
        example = reader.pixels(lessons.train[0].picture()).to(reader.device)
        self._halves = Halves(reader.model.encoder, order.parameters.encoder_layers, example)
        self._reader, self._seed = reader, order.parameters.seed
        self.count = 1 + order.parameters.variants
        self._lines = len(lessons.train)
        self._numbers = {lesson.key: number for number, lesson in enumerate(lessons.train)}
        self._others: dict[str, int] = {}
        self._shelf: Shelf | None = None
        if self._halves.kept and reader.device == "cpu":
            self._reserve(folder, order, lessons, example)

    def _reserve(self, folder: Path, order: Order, lessons: Lessons, example: torch.Tensor) -> None:
        """Find room for as many views as can be kept; where there is none at all, everything is computed anew."""
        # What a kill left behind would take the room from what is to replace it.
        (folder / FILE).unlink(missing_ok=True)
        shape = tuple(self._halves.below(example).shape[1:])
        once = len(lessons.dev) + self.replayed(order)
        fitting = views_that_fit(
            folder,
            lines=self._lines,
            once=once,
            row_bytes=4 * math.prod(shape),
            limit=order.cache_bytes,
            wished=self.count,
        )
        if not fitting:
            log.warning("there is no room on the disk for what the frozen part gives; it is computed in each epoch")
            return
        try:
            self._shelf = Shelf(folder / FILE, fitting * self._lines + once, shape)
        except OSError as error:
            log.warning("there is no room on the disk for what the frozen part gives: %s", error)
            return
        self.count = fitting

    def replayed(self, order: Order) -> int:
        """How many general lines there are, for all epochs together."""
        return replay_lines_an_epoch(self._lines, order) * min(self.count, order.parameters.epochs)

    def states(self, views: Sequence[View]) -> torch.Tensor:
        """What the encoder says of ``views``, shape (count, tokens, width)."""
        if self._reader.device == "cpu":
            return self._halves.above(torch.cat([self._below(lesson, variant) for lesson, variant in views]))
        pixels = torch.cat([self._pixels(lesson, variant) for lesson, variant in views])
        return self._halves.above(self._halves.below(pixels.to(self._reader.device)))

    def close(self) -> None:
        """Give the disk back."""
        if self._shelf is not None:
            self._shelf.close()
            self._shelf = None

    def _below(self, lesson: Lesson, variant: int) -> torch.Tensor:
        """What the frozen part gives for one view, shape (1, tokens, width)."""
        if self._shelf is None:
            return self._halves.below(self._pixels(lesson, variant))
        row = self._row(lesson, variant)
        kept = self._shelf.get(row)
        if kept is not None:
            return kept.unsqueeze(0)
        fresh = self._halves.below(self._pixels(lesson, variant))
        self._shelf.put(row, fresh.squeeze(0))
        return fresh

    def _row(self, lesson: Lesson, variant: int) -> int:
        """Where a view is kept: first all views of the lines to learn from, then the other lines as they turn up."""
        if lesson.key in self._numbers:
            return variant * self._lines + self._numbers[lesson.key]
        return self.count * self._lines + self._others.setdefault(lesson.key, len(self._others))

    def _pixels(self, lesson: Lesson, variant: int) -> torch.Tensor:
        picture = augmented(lesson.picture(), seed=self._seed, key=lesson.key, variant=variant)
        return self._reader.pixels(picture)


def replay_lines_an_epoch(lines: int, order: Order) -> int:
    """How many general lines make up their share beside ``lines`` lines."""
    share = order.parameters.replay
    return round(lines * share / (1 - share))
