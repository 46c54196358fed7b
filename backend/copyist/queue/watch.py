"""A watch over one piece of work in this process: it holds the lease, and it stops work that must not go on.

The watch stops the work when

- the lease is lost: the job was cancelled, or another worker took the page over;
- the present stage (looking into the file, rendering, one engine) takes longer than its limit.

An engine that heeds ``Stop`` is asked to leave, and its process lives on. A native library cannot be interrupted from
Python, so the one sure way to stop any other work is to end the process that does it; the pool replaces the process,
and the database says what happens to the page. What else the process had in hand is given back first.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from copyist.engines.base import Stop, TimedOut

log = logging.getLogger(__name__)

TICK_S = 1.0
"""Cancelling takes at most about this long, and the same again where the process must be ended."""
GRACE_S = 1.0
"""An engine that was asked to stop, and has not by then, is stopped with its process."""


class Cancelled(Exception):
    """The page is ours no more: its job was cancelled, or another worker has it."""


@dataclass(frozen=True)
class Stage:
    """One step of the work: its name, its limit, whether it heeds ``Stop``, and when it began."""

    name: str
    limit_s: float
    stops: bool
    since: float


class Watch:
    """Use as a context around the work; call ``stage`` at every step of it.

    ``extend`` holds the lease a while longer and says whether it is still ours. ``overrun`` is told the name of the
    stage that took too long and its limit in seconds, and writes that down before the process ends. ``give_back`` puts
    the work back uncounted when the process has to end for the sake of other work in it, unless it is as late.
    """

    _running: set[Watch] = set()  # noqa: RUF012 - all the watches of this process
    _ending = threading.Lock()

    def __init__(
        self,
        *,
        extend: Callable[[], bool],
        overrun: Callable[[str, float], None],
        give_back: Callable[[], None],
    ) -> None:
        self.stop = Stop()
        self._extend, self._overrun, self._give_back = extend, overrun, give_back
        self._stage = Stage("start", float("inf"), stops=False, since=time.monotonic())
        self._asked_at: float | None = None
        self._lost = False
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def stage(self, name: str, limit_s: float, *, stops: bool = False) -> None:
        """A new stage begins, which may take ``limit_s`` seconds; ``stops`` says whether it heeds ``self.stop``.

        Raises ``Cancelled`` when the page was found to be ours no more: no further stage of it begins.
        """
        with self._lock:
            if self._lost:
                raise Cancelled
            self._stage = Stage(name, limit_s, stops, time.monotonic())
            if self._asked_at is not None:
                self._asked_at = None
                self.stop.withdraw()

    def __enter__(self) -> Watch:
        Watch._running.add(self)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        Watch._running.discard(self)

    def _run(self) -> None:
        while not self._over.wait(TICK_S):
            try:
                self._look()
            except Exception as error:  # The database may be away for a moment; the lease outlasts that, or is lost.
                log.warning("the lease could not be extended: %s", type(error).__name__)

    def _look(self) -> None:
        is_ours = self._extend()
        with self._lock:
            stage, now = self._stage, time.monotonic()
            if self._over.is_set() or (is_ours and now - stage.since <= stage.limit_s):
                return
            if stage.stops and self._asked_at is None:
                why = TimedOut(f"It did not finish within {stage.limit_s:g} s.") if is_ours else Cancelled()
                log.info("%s is asked to stop: %s", stage.name, why or "the page is ours no more")
                self._asked_at, self._lost = now, not is_ours
                self.stop.ask(why)
            if stage.stops and now - (self._asked_at or now) <= GRACE_S:
                return
            # The stage cannot change any more: whoever is in it would wait for the lock, and the process ends.
            self._end(stage, is_ours=is_ours)

    def _is_late(self, like: Stage) -> bool:
        """Whether this one is in the same stage as ``like``, and has used up half of its time."""
        mine = self._stage
        return (mine.name, mine.limit_s) == (
            like.name,
            like.limit_s,
        ) and time.monotonic() - mine.since > mine.limit_s / 2

    def _end(self, stage: Stage, *, is_ours: bool) -> None:
        if is_ours:
            log.error("%s took longer than %g s; this process is stopped", stage.name, stage.limit_s)
            self._overrun(stage.name, stage.limit_s)
        else:
            log.info("the work in hand was cancelled or taken over; this process is stopped")
        with Watch._ending:
            for other in Watch._running - {self}:
                if is_ours and other._is_late(stage):
                    continue  # It may be the one that holds this one up: its attempt counts, so the next is made alone.
                try:
                    other._give_back()
                except Exception as error:  # Its lease runs out, then.
                    log.warning("what else was in hand could not be given back: %s", type(error).__name__)
            end_this_process()


def end_this_process() -> None:
    """Stop at once, without cleaning up: the database is in order, and a hanging library would not let us."""
    os.kill(os.getpid(), signal.SIGKILL)
