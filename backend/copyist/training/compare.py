"""Two models read the same lines as they would serve: decoding, cutting of long lines and confidence are the engine's.

They take turns, so that their times can be compared, where both fit into memory; else one reads after the other.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from copyist.engines import calibration as calibrations
from copyist.engines.base import NotReady, Stop
from copyist.engines.checkpoints import CheckpointUnusable, open_checkpoint
from copyist.engines.encoder_decoder import memory_bytes
from copyist.engines.memory import free_here
from copyist.engines.trocr import WholeLine, read_lines
from copyist.engines.trocr_reader import Picture, TrOcrReader
from copyist.training import scoring
from copyist.training.events import Failed
from copyist.training.order import Compared, LineScore, Order

AT_ONCE = 16
"""Lines that one model reads before it is the other's turn."""
_BOTH_FIT = 1.5
"""Free memory that two models together need, in sizes of their weights."""


@dataclass(frozen=True)
class Line:
    """A line to be read and what stands there. ``page`` is its page's hash, or who wrote it."""

    picture: Picture
    text: str
    page: str
    sha256: str


def compare(
    lines: Sequence[Line], champion: Path, challenger: Path, order: Order, tell: Callable[[int, int], None]
) -> Compared | None:
    """How the models in both folders read ``lines``; ``None`` where there are none. Raises ``Failed``.

    ``tell`` hears how many readings are done, and of how many.
    """
    total = 2 * len(lines)
    tell(0, total)
    if not lines:
        return None
    done: list[int] = []

    def progress(count: int) -> None:
        done.append(count)
        tell(sum(done), total)

    before, after = _read_by_both(lines, champion, challenger, order, progress)
    old, new = (_scores(lines, side.lines) for side in (before, after))
    return Compared(
        champion=scoring.score(old, seconds_per_line=before.seconds_per_line),
        challenger=scoring.score(new, seconds_per_line=after.seconds_per_line),
        champion_lines=old,
        challenger_lines=new,
    )


@contextmanager
def model(folder: Path, order: Order, *, use_gpu: bool | None = None) -> Iterator[TrOcrReader]:
    """The model in ``folder`` for as long as it is needed; raises ``Failed`` where it cannot be loaded.

    ``use_gpu`` is the order's if it is not given.
    """
    try:
        # A run may be paused at any moment, for hours.
        reader = TrOcrReader(folder, use_gpu=order.use_gpu if use_gpu is None else use_gpu, limit_s=math.inf)
    except NotReady as error:
        # The engine has one error for both, with words for a person.
        raise Failed("out_of_memory" if " memory " in str(error) else "base_unusable", str(error)) from error
    torch.set_num_threads(order.threads)
    try:
        yield reader
    finally:
        reader.close()


class _Side:
    """One of the models, with what it read so far. It reads a line before its time is taken."""

    def __init__(self, reader: TrOcrReader, folder: Path) -> None:
        self._reader, self._calibration = reader, calibrations.load(folder)
        self.lines: list[WholeLine] = []
        self._seconds: list[float] = []

    def read(self, lines: Sequence[Line]) -> None:
        pictures = [line.picture for line in lines]
        if not self.lines:
            read_lines(self._reader, pictures[:1], Stop(), self._calibration)
        started = time.perf_counter()
        self.lines += read_lines(self._reader, pictures, Stop(), self._calibration)
        self._seconds.append((time.perf_counter() - started) / len(lines))

    @property
    def seconds_per_line(self) -> float:
        """The median of its turns: a process that is stopped for a while loses one of them."""
        return statistics.median(self._seconds)


def _read_by_both(
    lines: Sequence[Line], champion: Path, challenger: Path, order: Order, progress: Callable[[int], None]
) -> tuple[_Side, _Side]:
    turns = [lines[start : start + AT_ONCE] for start in range(0, len(lines), AT_ONCE)]
    if not _both_fit(champion, challenger, order):
        return _read_alone(turns, champion, order, progress), _read_alone(turns, challenger, order, progress)
    with model(champion, order) as one, model(challenger, order) as other:
        sides = _Side(one, champion), _Side(other, challenger)
        for number, turn in enumerate(turns):
            # Who goes first finds other things in the processor's caches.
            for side in sides if number % 2 else reversed(sides):
                side.read(turn)
                progress(len(turn))
        return sides


def _read_alone(turns: Sequence[Sequence[Line]], folder: Path, order: Order, progress: Callable[[int], None]) -> _Side:
    with model(folder, order) as reader:
        side = _Side(reader, folder)
        for turn in turns:
            side.read(turn)
            progress(len(turn))
        return side


def _both_fit(champion: Path, challenger: Path, order: Order) -> bool:
    on_gpu = order.use_gpu and torch.cuda.is_available()
    free = torch.cuda.mem_get_info()[0] if on_gpu else free_here()
    try:
        needed = sum(
            memory_bytes(open_checkpoint(folder), "cuda" if on_gpu else "cpu") for folder in (champion, challenger)
        )
    except CheckpointUnusable as error:
        raise Failed("base_unusable", str(error)) from error
    return free is None or free >= _BOTH_FIT * needed


def _scores(lines: Sequence[Line], read: Sequence[WholeLine]) -> tuple[LineScore, ...]:
    return tuple(
        scoring.line_score(
            sha256=line.sha256,
            page=line.page,
            text=line.text,
            read=found.text,
            confidence=found.confidence,
            cut_short=bool(found.reasons),
        )
        for line, found in zip(lines, read, strict=True)
    )
