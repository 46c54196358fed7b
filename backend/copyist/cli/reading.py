"""Many files, page by page, over a few reading processes: who reads what next, and what becomes of it."""

from __future__ import annotations

import tempfile
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from copyist.cli.reader import (
    Failed,
    Lost,
    Opened,
    OpenFile,
    PageRead,
    Reader,
    ReadPage,
    Refused,
    Setup,
    Task,
    first_heard,
)
from copyist.document import Document, Page


class SetupRefused(Exception):
    """Nothing can be read in the way that was asked for; the text says why."""


@dataclass(frozen=True)
class PagesFound:
    """A file was opened and has so many pages to read."""

    file: Path
    pages: int


@dataclass(frozen=True)
class PageEnded:
    """A page was read, or was not; ``notes`` tell what broke on the way."""

    file: Path
    number: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class FileEnded:
    """A file has ended. ``document`` holds the pages that were read; it is ``None`` when there are none.

    ``failures`` are the pages that were not, by the reason; a file that could not be opened has one without pages.
    ``opened`` says what was opened, with all pages asked for; its content is there until the reading ends.
    """

    file: Path
    document: Document | None
    failures: Mapping[str, tuple[int, ...]]
    degraded: tuple[int, ...] = ()
    opened: Opened | None = None


Event = PagesFound | PageEnded | FileEnded


@dataclass
class _Progress:
    """What is known of one file while it is read."""

    open: int = 0
    opened: Opened | None = None
    pages: dict[int, Page] = field(default_factory=dict)
    degraded: list[int] = field(default_factory=list)
    failures: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


class Reading:
    """Use as a context; iterate ``events``. Files are opened first, so that the number of pages is known early."""

    def __init__(self, files: Sequence[Path], setup: Setup, processes: int) -> None:
        self._setup, self._limit = setup, processes
        self._folder = tempfile.TemporaryDirectory(prefix="copyist-read-")
        self._files: dict[Path, _Progress] = {file: _Progress() for file in files}
        self._waiting: deque[Task] = deque(OpenFile(file, self._folder_of(place)) for place, file in enumerate(files))
        self._readers: list[Reader] = []

    def _folder_of(self, place: int) -> Path:
        folder = Path(self._folder.name) / str(place)
        folder.mkdir()
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reader in self._readers:
            reader.end()
        self._folder.cleanup()

    def events(self) -> Iterator[Event]:
        """Everything that happens, until the last file has ended.

        Raises ``SetupRefused`` for an engine or a language that there is not, and ``ReaderBroken``.
        """
        while True:
            self._share_out()
            busy = [reader for reader in self._readers if reader.task is not None]
            if not busy:
                return
            for reader, answer in first_heard(busy):
                yield from self._ended(reader, answer)

    def _share_out(self) -> None:
        while self._waiting:
            reader = next((one for one in self._readers if one.task is None), None)
            if reader is None:
                if len(self._readers) == self._limit:
                    return
                reader = Reader(self._setup)
                self._readers.append(reader)
            reader.give(self._waiting.popleft())

    def _ended(self, reader: Reader, answer: Refused | Opened | PageRead | Failed | Lost) -> Iterator[Event]:
        task, reader.task = reader.task, None
        if isinstance(answer, Refused):
            raise SetupRefused(answer.reason)
        if isinstance(answer, Lost):
            self._readers.remove(reader)
        if isinstance(task, OpenFile):
            yield from self._opened(task, answer)
        elif isinstance(task, ReadPage):
            yield from self._read(task, answer)

    def _opened(self, task: OpenFile, answer: Opened | PageRead | Failed | Lost) -> Iterator[Event]:
        if isinstance(answer, Opened):
            progress = self._files[task.file]
            progress.open, progress.opened = len(answer.numbers), answer
            pages = (ReadPage(task.file, answer.content, answer.kind, number) for number in answer.numbers)
            self._waiting.extend(pages)
            yield PagesFound(task.file, len(answer.numbers))
        else:
            reason = answer.reason if isinstance(answer, Failed) else f"Looking into it {_how_lost(answer)}."
            yield FileEnded(task.file, None, {reason: ()})

    def _read(self, task: ReadPage, answer: Opened | PageRead | Failed | Lost) -> Iterator[Event]:
        progress = self._files[task.file]
        if isinstance(answer, Lost):
            again = _without_the_engine(task, answer)
            if again is not None:
                self._waiting.appendleft(again)
                return
            answer = Failed(f"Reading it {_how_lost(answer)}.", tuple(f"{name}: {why}" for name, _, why in task.skip))
        if isinstance(answer, PageRead):
            progress.pages[task.number] = answer.page
            progress.degraded += [task.number] if answer.degraded else []
        elif isinstance(answer, Failed):
            progress.failures[answer.reason].append(task.number)
        yield PageEnded(task.file, task.number, answer.notes if isinstance(answer, PageRead | Failed) else ())
        progress.open -= 1
        if progress.open == 0:
            yield self._closed(task.file)

    def _closed(self, file: Path) -> FileEnded:
        progress = self._files.pop(file)
        document = Document(pages=tuple(page for _, page in sorted(progress.pages.items())))
        failures = {reason: tuple(sorted(numbers)) for reason, numbers in progress.failures.items()}
        read = document if document.pages else None
        return FileEnded(file, read, failures, tuple(sorted(progress.degraded)), progress.opened)


def _how_lost(answer: object) -> str:
    if isinstance(answer, Lost) and answer.timed_out:
        return f"took longer than {answer.stage.limit_s:g} s"
    return "stopped the process that did it"


def _without_the_engine(task: ReadPage, lost: Lost) -> ReadPage | None:
    """The same page for the engines that are left; ``None`` when it was no engine's turn."""
    engine = lost.stage.engine
    if engine is None or any(engine == name for name, _, _ in task.skip):
        return None
    if lost.timed_out:
        reason = ("timed_out", f"It did not finish within {lost.stage.limit_s:g} s.")
    else:
        reason = ("crashed", "It stopped its process.")
    return replace(task, skip=(*task.skip, (engine, *reason)))
