"""What somebody at a terminal sees of a training: a bar that moves, or a line now and then where nobody watches."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

_LINE_S = 30.0
_RECENT = 0.98
"""How much of the mean of losses and times stays in a step."""


class Display:
    """Shows how a training goes on the standard error. To be used in a ``with``."""

    def __init__(self, *, every_s: float = _LINE_S) -> None:
        """Without a terminal there is a line every ``every_s`` seconds."""
        self._every_s = every_s
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._loss: float | None = None
        self._last = self._spoken = time.monotonic()
        self._began: tuple[float, float] | None = None
        self._seconds = self._lessons = 0.0

    def __enter__(self) -> Display:
        """Take the terminal, if there is one."""
        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = Progress(BarColumn(), TextColumn("{task.description}"), console=console)
            self._bar.start()
            self._task = self._bar.add_task("loading", total=1.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back."""
        if self._bar:
            self._bar.stop()

    def step(self, *, epoch: int, step: int, loss: float, lessons: int, share: float) -> None:
        """One step was done; ``share`` of the training is, 0 to 1."""
        now = time.monotonic()
        self._loss = loss if self._loss is None else _RECENT * self._loss + (1 - _RECENT) * loss
        self._seconds = _RECENT * self._seconds + now - self._last
        self._lessons = _RECENT * self._lessons + lessons
        self._last = now
        self._began = self._began or (now, share)
        text = f"epoch {epoch}, step {step}: loss {self._loss:.3f}, {self._lessons / self._seconds:.0f} formulas/s"
        text += f", {self._left(now, share)} left"
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=share, description=text)
        elif now - self._spoken >= self._every_s:
            self._spoken = now
            self.say(text)

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
            sys.stderr.flush()

    def _left(self, now: float, share: float) -> str:
        began, before = self._began or (now, share)
        if share <= before:
            return "?"
        minutes = round((now - began) * (1 - share) / (share - before) / 60)
        return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
