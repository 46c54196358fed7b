"""What a reading process of ``copyist read`` does: open files, read pages, one task after the other.

Started as ``python -m copyist.cli.reader_process FD``; ``FD`` is its end of a ``multiprocessing`` pipe.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from copyist import log as logs
from copyist import media, pdflock
from copyist.cli.reader import Answer, Failed, Opened, OpenFile, PageRead, ReadPage, Ready, Refused, Setup, Stage, Task
from copyist.engines.base import FAULTS, Mode, Outcome, ReadOptions, Try
from copyist.engines.registry import Registry
from copyist.engines.setup import engine_settings, formula_chain, make_chain
from copyist.errors import CopyistError, Encrypted, WrongPassword
from copyist.languages import language_codes
from copyist.media import MediaKind
from copyist.pageranges import parse_pages
from copyist.pipeline.flow import PageReading, read_page
from copyist.pipeline.intake import inspect
from copyist.pipeline.render import PageSource

log = logging.getLogger(__name__)

LOCKED = "The PDF is protected. Give its password with --password."


class Desk:
    """Does the tasks of one setup."""

    def __init__(self, setup: Setup, channel: Connection) -> None:
        """Raises ``InvalidOption`` or ``ConfigurationError`` for an engine or language that there is not."""
        self.setup, self.settings, self._channel = setup, setup.settings, channel
        settings = self.settings
        registry = Registry(engine_settings(settings.model_dump()), settings.ocr_plugins)
        self.chain = make_chain(
            registry,
            setup.engine,
            backend=settings.ocr_backend,
            fallback=settings.ocr_fallback,
            strategy=settings.ocr_strategy,
            climb_below=settings.ocr_climb_threshold,
        )
        survey = {name: {"ready": it.ready, "languages": it.languages} for name, it in registry.survey().items()}
        languages = tuple(language_codes(setup.languages, survey)) or settings.ocr_languages
        mode = setup.mode or _implied(registry, setup.engine)
        self.options = ReadOptions(mode=mode, languages=languages, decoding=setup.decoding)

    def do(self, task: Task) -> Answer:
        """Do one task; whatever goes wrong is an answer, too."""
        try:
            return self._open(task) if isinstance(task, OpenFile) else self._read(task)
        except CopyistError as error:
            return Failed(_sentence(error))
        except OSError as error:
            return Failed(f"It cannot be opened: {error.strerror or type(error).__name__}.")
        except Exception as error:
            log.debug("%s could not be read", task.file, exc_info=True)
            return Failed(f"Something went wrong ({type(error).__name__}). With LOG_LEVEL=debug there is more to see.")

    def _open(self, task: OpenFile) -> Opened:
        self._channel.send(Stage(self.settings.intake_timeout_s))
        kind = media.check_header(task.file, self.settings.max_pixels)
        content = self._unlocked(task, kind)
        found = inspect(content, kind, max_pages=self.settings.max_pages, max_pixels=self.settings.max_pixels)
        wanted = self.setup.pages
        return Opened(content, kind, parse_pages(wanted, found.pages) if wanted else tuple(range(1, found.pages + 1)))

    def _unlocked(self, task: OpenFile, kind: MediaKind) -> Path:
        if kind is not MediaKind.PDF or not self.setup.password or not pdflock.is_locked(task.file):
            return task.file
        opened = task.folder / "opened.pdf"
        pdflock.decrypt(task.file, opened, self.setup.password)
        return opened

    def _read(self, task: ReadPage) -> PageRead | Failed:
        self._channel.send(Stage(self.settings.intake_timeout_s))
        with PageSource(task.content, task.kind, max_pixels=self.settings.max_pixels) as source:
            reading = read_page(
                source,
                task.number,
                chain=self.chain,
                options=self.options,
                text=self.setup.text,
                formulas=lambda: formula_chain(self.chain),
                skip={name: Try(name, Outcome(outcome), reason) for name, outcome, reason in task.skip},
                on_start=lambda name: self._channel.send(Stage(self.settings.engine_timeout_s, engine=name)),
            )
        notes = (*_notes(reading), *(_doubts(reading) if self.options.mode is Mode.FORMULA else ()))
        if reading.page is None:
            tried = ", ".join(dict.fromkeys(step.engine for step in reading.trail))
            return Failed(f"No engine could read it ({tried}).", notes)
        return PageRead(reading.page, reading.degraded, notes)


def _implied(registry: Registry, engine: str | None) -> Mode:
    """The only mode of the engine that was asked for; documents are what everybody else means."""
    modes = registry.engine_class(engine).modes if engine else frozenset()
    return next(iter(modes)) if len(modes) == 1 else Mode.DOCUMENT


def _sentence(error: CopyistError) -> str:
    return LOCKED if isinstance(error, Encrypted) and not isinstance(error, WrongPassword) else error.detail


def _notes(reading: PageReading) -> tuple[str, ...]:
    """What broke; where no engine read the page at all, also why each was passed over."""
    no_engine = reading.degraded or reading.page is None
    told = {*FAULTS, Outcome.NOT_READY} if no_engine else FAULTS
    return tuple(f"{step.engine}: {step.reason}" for step in reading.trail if step.outcome in told)


def _doubts(reading: PageReading) -> tuple[str, ...]:
    """What who read a formula wrote down: why there is none, or may be none."""
    return tuple(
        f"{step.engine}: {note}" for step in reading.trail if step.outcome is Outcome.READ for note in step.notes
    )


def _end_with(parent: int) -> None:
    """End this process when the command is gone, even if an engine never comes back."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    """Do tasks from the pipe until its other end is closed."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    channel: Connection[Answer, Setup | Task] = Connection(int(sys.argv[1]))
    setup = channel.recv()
    assert isinstance(setup, Setup)
    logs.setup("debug" if setup.settings.log_level == "debug" else "error")
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # The command is gone, and nobody waits for more.
        _serve(setup, channel)


def _serve(setup: Setup, channel: Connection[Answer, Setup | Task]) -> None:
    try:
        desk = Desk(setup, channel)
    except CopyistError as error:
        channel.send(Refused(error.detail))
        return
    channel.send(Ready())
    while True:
        task = channel.recv()
        assert not isinstance(task, Setup)
        channel.send(desk.do(task))


if __name__ == "__main__":
    main()
