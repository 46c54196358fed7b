"""What is learned from, in batches: loaded, drawn, augmented and prepared by other processes, the same however many.

Formulas have numbers that go on from epoch to epoch. A number says which formula it is, in an order that is shuffled
anew each time all were seen, and what chance does to it; so any of them can be made anew, by any process, at any time.
Processes are started without a copy of their parent's memory, load no torch, and end with their parent.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from copyist.engines.formula.config import Frame
from copyist.engines.formula.picture import Picture, PictureUnusable, prepare
from copyist.engines.formula.vocabulary import Vocabulary
from copyist.lifeline import end_with_parent
from copyist.training.events import Failed
from copyist.training.formula import augment
from copyist.training.formula.examples import Example, ExampleUnusable
from copyist.training.formula.raster import draw
from copyist.training.formula.sets import FormulaSet, open_set

log = logging.getLogger(__name__)

CHUNK = 64
"""Formulas that go from one process to another at once."""
SYMBOL_PX = 48
PLAIN_PEN = 0.085
"""The width of the pen, of the height of a symbol, where no chance is wanted."""

Split = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class Course:
    """What there is to learn: the formulas of ``folder``, and what they are brought to."""

    folder: Path
    vocabulary: Vocabulary
    frame: Frame
    longest: int
    seed: int = 0
    augment: bool = True


@dataclass(frozen=True, eq=False)
class Lesson:
    """A formula to learn: prepared ``pixels`` (height, width) and the numbers of its tokens, without start and end."""

    number: int
    pixels: Picture
    ids: tuple[int, ...]


@dataclass(frozen=True)
class LeftOut:
    """A formula that cannot be learned: a ``code``, and a sentence that says why."""

    number: int
    name: str
    code: str
    reason: str


class Teacher:
    """Makes lessons of numbers."""

    def __init__(self, course: Course, formulas: FormulaSet) -> None:
        self._course, self._formulas = course, formulas
        self._names = formulas.names("train")

    def lesson(self, number: int) -> Lesson | LeftOut:
        """The lesson with this number, or why there is none."""
        cycle, at = divmod(number, len(self._names))
        name = self._names[int(_order(self._course.seed, cycle, len(self._names))[at])]
        dice = np.random.default_rng([self._course.seed, 1, number]) if self._course.augment else None
        try:
            example = self._formulas.load("train", name)
            ids = self._ids(example.label)
            frame = augment.framed(self._course.frame, dice) if dice else self._course.frame
            return Lesson(number, prepare(shown(example, dice), frame).pixels, ids)
        except (ExampleUnusable, PictureUnusable) as unusable:
            return LeftOut(number, name, unusable.code, str(unusable))
        except (OSError, ValueError, ArithmeticError, cv2.error) as error:
            return LeftOut(number, name, "unreadable", f"It cannot be read ({type(error).__name__}: {error}).")

    def _ids(self, label: Sequence[str]) -> tuple[int, ...]:
        vocabulary, longest = self._course.vocabulary, self._course.longest
        if len(label) > longest:
            reason = f"The formula has {len(label)} tokens, and the model writes {longest} at most."
            raise ExampleUnusable("label_too_long", reason)
        if unknown := vocabulary.unknown(label):
            raise ExampleUnusable("unknown_token", f"The vocabulary has no {' '.join(unknown[:5])}.")
        return tuple(vocabulary.ids(label))


def shown(example: Example, dice: np.random.Generator | None) -> Picture:
    """The picture of ``example``, by chance another each time if there are ``dice``."""
    picture = example.picture
    if example.ink is not None:
        ink = augment.rewritten(example.ink, dice) if dice else example.ink
        symbol = augment.symbol_px(dice) if dice else SYMBOL_PX
        width = augment.pen(dice) if dice else PLAIN_PEN
        picture = draw(ink, pen_px=width * symbol, symbol_px=symbol)
    if picture is None:
        raise ExampleUnusable("no_strokes", "There is neither ink nor a picture.")
    return augment.photographed(picture, dice) if dice and picture.ndim == 2 else picture


@lru_cache(maxsize=2)
def _order(seed: int, cycle: int, count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, 0, cycle]).permutation(count)


class Lessons:
    """The lessons of ``course`` as a stream, from ``processes`` of their own (0: made here). To be closed."""

    def __init__(self, course: Course, *, processes: int) -> None:
        """Raises ``FormulaDataMissing``."""
        self.course, self._count = course, processes
        if not processes:
            cv2.setNumThreads(1)  # Several cost more than they gain on pictures this small.
        self._formulas = open_set(course.folder)
        self._teacher = Teacher(course, self._formulas)
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection] = []

    def __len__(self) -> int:
        return len(self._formulas.names("train"))

    def stream(self, again: Sequence[int], first: int) -> Iterator[Lesson | LeftOut]:
        """The lessons with the numbers of ``again``, and then all from ``first`` on, without an end.

        Raises ``Failed`` where a process is gone.
        """
        yield from (self._teacher.lesson(number) for number in again)
        if not self._count:
            while True:
                yield self._teacher.lesson(first)
                first += 1
        self._start(first)
        while True:
            for connection, process in zip(self._connections, self._processes, strict=True):
                yield from _received(connection, process)

    def close(self) -> None:
        """End the processes."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.terminate()
            process.join()
        self._connections, self._processes = [], []

    def _start(self, first: int) -> None:
        self.close()
        context = multiprocessing.get_context("spawn")
        for number in range(self._count):
            here, there = context.Pipe(duplex=False)
            arguments = (self.course, first + number * CHUNK, self._count * CHUNK, there)
            process = context.Process(target=_teach, args=arguments, name=f"lessons-{number}", daemon=True)
            process.start()
            there.close()
            self._connections.append(here)
            self._processes.append(process)


def _received(connection: Connection, process: BaseProcess) -> list[Lesson | LeftOut]:
    try:
        found: list[Lesson | LeftOut] = connection.recv()
    except (EOFError, OSError) as error:
        process.join(5)
        raise Failed(
            "broken",
            f"A process that draws formulas is gone (exit code {process.exitcode}). The same command goes on; where "
            "memory is short, with fewer --processes.",
        ) from error
    return found


def _teach(course: Course, first: int, stride: int, to: Connection) -> None:
    """A process: chunk after chunk, ``stride`` formulas apart, until nobody takes them any more."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this.
    cv2.setNumThreads(1)
    teacher = Teacher(course, open_set(course.folder))
    try:
        while True:
            to.send([teacher.lesson(number) for number in range(first, first + CHUNK)])
            first += stride
    except BrokenPipeError:
        return
