"""Waiting for what a part stands on, the database and the storage, instead of falling over and being started again.

What stands in the way is said once, not at every try, and again when it changes.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from obstore.exceptions import BaseError
from sqlalchemy.exc import InterfaceError, OperationalError

from copyist import pulse
from copyist.db import migrate
from copyist.errors import ConfigurationError
from copyist.reasons import Trouble, known
from copyist.settings import Settings
from copyist.storage import Storage

log = logging.getLogger(__name__)

AGAIN_S = 2.0
"""Between two tries."""
PULSE_S = 5.0
AWAY = (OSError, OperationalError, InterfaceError, BaseError)
"""What drivers raise for a server that is away, or that wants something else of us."""

T = TypeVar("T")


class GaveUp(Exception):
    """It did not answer in the time that was given; the text says why, for a person."""


def newest_database(settings: Settings, *, part: str = "", seconds: float = float("inf")) -> tuple[str | None, str]:
    """Bring the database to the newest revision once it answers; gives the revision before and after.

    Raises ``ConfigurationError`` where no waiting helps, ``GaveUp`` after ``seconds``, and what a migration raises that
    is at fault itself. While ``part`` waits, its pulse tells for what.
    """

    def attempt() -> tuple[str | None, str]:
        return migrate.upgrade(settings.database), migrate.newest()

    return _patiently("database", attempt, part=part, seconds=seconds)


def writable_storage(settings: Settings, *, part: str) -> None:
    """Come back once the storage takes a small blob and gives it back."""

    def attempt() -> None:
        try:
            storage = Storage(settings.storage)
        except OSError:
            raise
        except Exception as error:
            problem = "STORAGE_URL names no storage that can be used here; docs/settings.md says how it is written."
            raise ConfigurationError(problem=problem) from error
        storage.check()

    _patiently("storage", attempt, part=part, seconds=float("inf"))


def starting(part: str) -> None:
    """Let the pulse of ``part`` say that what it waited for is there, and that it begins."""
    pulse.beat(part, "It is starting.")


def _patiently(name: str, attempt: Callable[[], T], *, part: str, seconds: float) -> T:
    """What ``attempt`` returns, once it does; while what it needs is away, it is made again."""
    until, trouble = time.monotonic() + seconds, Trouble(log, f"the {name}")
    problem = f"The {name} has not answered yet."
    with _ending_at_once():
        while True:
            try:
                return _beating(attempt, part, problem, until)
            except (ConfigurationError, GaveUp):
                raise
            except Exception as error:
                if not isinstance(error, AWAY) and known(error) is None:
                    raise
                problem = f"The {name} does not answer: {trouble.met(error)}."
            if time.monotonic() + AGAIN_S > until:
                raise GaveUp(problem)
            time.sleep(AGAIN_S)


def _beating(attempt: Callable[[], T], part: str, problem: str, until: float) -> T:
    """Make the attempt in a thread, since a driver that waits for a network hears no signal, and show ``problem``."""
    outcome: Future[T] = Future()
    threading.Thread(target=_run, args=(attempt, outcome), daemon=True).start()
    while True:
        if part:
            pulse.beat(part, problem)
        if wait([outcome], timeout=min(PULSE_S, max(0.0, until - time.monotonic()))).done:
            return outcome.result()
        if time.monotonic() >= until:
            raise GaveUp(problem)


def _run(attempt: Callable[[], T], outcome: Future[T]) -> None:
    try:
        outcome.set_result(attempt())
    except BaseException as error:
        outcome.set_exception(error)


@contextmanager
def _ending_at_once() -> Iterator[None]:
    """Let SIGTERM end this process, which the kernel does not do by itself for the first process of a container."""

    def end(number: int, _frame: FrameType | None) -> None:
        sys.stderr.flush()
        os._exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
