"""A process that reads pages for ``copyist read``, seen from the command, and what the two say to each other.

An engine is native code and may take its process down, so it never runs in the command's own. The command starts the
process as a program (``reader_process``) and imports none of its libraries: they are missing where only the API is
installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path

from copyist.document import Decoding, Mode, Page, TextPolicy
from copyist.engines.threads import limit_threads
from copyist.media import MediaKind
from copyist.settings import Settings


@dataclass(frozen=True)
class Setup:
    """How to read, the same for all files.

    ``languages`` as a person wrote them, ``None`` for the configured ones; ``mode`` is ``None`` for the one that
    ``engine`` is made for.
    """

    settings: Settings
    engine: str | None = None
    languages: str | None = None
    mode: Mode | None = None
    text: TextPolicy = TextPolicy.AUTO
    pages: str | None = None
    password: str | None = None
    decoding: Decoding = field(default_factory=Decoding)


@dataclass(frozen=True)
class OpenFile:
    """Asks how many pages a file has. An unprotected copy, where one is needed, goes into ``folder``."""

    file: Path
    folder: Path


@dataclass(frozen=True)
class ReadPage:
    """Asks for a page of ``content``, an opened ``file``; ``skip`` has engines to leave out, outcome and reason."""

    file: Path
    content: Path
    kind: MediaKind
    number: int
    skip: tuple[tuple[str, str, str], ...] = ()


Task = OpenFile | ReadPage


@dataclass(frozen=True)
class Ready:
    """The process has started and can do what the setup asks for."""


@dataclass(frozen=True)
class Refused:
    """The setup asks for what there is not; nothing can be read with it."""

    reason: str


@dataclass(frozen=True)
class Stage:
    """A step has begun that may take ``limit_s`` seconds; ``engine`` is set where it is an engine's turn."""

    limit_s: float
    engine: str | None = None


@dataclass(frozen=True)
class Opened:
    """A file that can be read: where from, and the pages asked for."""

    content: Path
    kind: MediaKind
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class PageRead:
    """A page that was read; ``notes`` say what broke on the way, and what to doubt of a formula."""

    page: Page
    degraded: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """The file or page could not be read, and why, for a person."""

    reason: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lost:
    """The process ended while it did a task: by itself, or because it took longer than ``limit_s``."""

    stage: Stage
    timed_out: bool


Answer = Ready | Refused | Stage | Opened | PageRead | Failed
_START = Stage(limit_s=120)


class ReaderBroken(Exception):
    """Reading processes do not start here; what they wrote to standard error says why."""


@dataclass(eq=False)
class Reader:
    """One reading process; it has at most one ``task`` at a time."""

    setup: Setup
    task: Task | None = None
    stage: Stage = _START
    is_ready: bool = False
    _since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.channel, theirs = Pipe()
        environment = dict(os.environ)
        limit_threads(environment)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "copyist.cli.reader_process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=2,  # Libraries that print must not do so into the result.
                start_new_session=True,  # Ctrl-C is for the command, which then ends its readers.
            )
        self.channel.send(self.setup)

    def give(self, task: Task) -> None:
        """Send a task; a process that is gone is noticed when its answer is awaited."""
        self.task = task
        self._begin(self.stage if not self.is_ready else Stage(self.setup.settings.intake_timeout_s))
        try:
            self.channel.send(task)
        except OSError:
            return

    def _begin(self, stage: Stage) -> None:
        self.stage, self._since = stage, time.monotonic()

    def left_s(self) -> float:
        """Seconds until the present stage has taken too long."""
        return max(0.0, self._since + self.stage.limit_s - time.monotonic())

    def hear(self) -> Refused | Opened | PageRead | Failed | Lost | None:
        """What the process has said, ``None`` if that does not concern the task; call it when there is something."""
        try:
            answer: Answer = self.channel.recv()
        except (EOFError, OSError):
            return self.lose(timed_out=False)
        if isinstance(answer, Ready):
            self.is_ready = True
            self._begin(Stage(self.setup.settings.intake_timeout_s))
            return None
        if isinstance(answer, Stage):
            self._begin(answer)
            return None
        return answer

    def check_time(self) -> Lost | None:
        """Give the process up if the present stage has taken too long."""
        return self.lose(timed_out=True) if self.left_s() == 0 else None

    def lose(self, *, timed_out: bool) -> Lost:
        """Give the process up; raises ``ReaderBroken`` if it has never been ready."""
        self.end()
        if not self.is_ready:
            raise ReaderBroken
        return Lost(self.stage, timed_out)

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        self.channel.close()


def first_heard(readers: Iterable[Reader]) -> Iterator[tuple[Reader, Refused | Opened | PageRead | Failed | Lost]]:
    """Wait until some of ``readers`` answer, end or take too long; give those and what became of their tasks."""
    busy = {reader.channel: reader for reader in readers}
    speaking = wait(list(busy), timeout=min(reader.left_s() for reader in busy.values()))
    for channel, reader in busy.items():
        answer = reader.hear() if channel in speaking else reader.check_time()
        if answer is not None:
            yield reader, answer
