"""A watch over one piece of work in this process: it holds the lease, and it stops work that must not go on.

A native library cannot be interrupted from Python, so the one sure way to stop a page is to end the process that reads
it; the pool replaces the process, and the database says what happens to the page. The watch ends its own process when

- the lease is lost: the job was cancelled, or another worker took the page over;
- the present stage (looking into the file, rendering, one engine) takes longer than its limit.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import TracebackType

log = logging.getLogger(__name__)

TICK_S = 1.0
"""Cancelling takes at most about this long."""


def end_this_process() -> None:
    """Stop at once, without cleaning up: the database is in order, and a hanging library would not let us."""
    os.kill(os.getpid(), signal.SIGKILL)


class Watch:
    """Use as a context around the work; call ``stage`` at every step of it.

    ``extend`` holds the lease a while longer and says whether it is still ours. ``overrun`` is told the name of the
    stage that took too long and its limit in seconds, and writes that down before the process ends.
    """

    def __init__(self, *, extend: Callable[[], bool], overrun: Callable[[str, float], None]) -> None:
        self._extend, self._overrun = extend, overrun
        self._stage, self._limit_s, self._since = "start", float("inf"), time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def stage(self, name: str, limit_s: float) -> None:
        """A new stage begins, which may take ``limit_s`` seconds."""
        self._stage, self._limit_s, self._since = name, limit_s, time.monotonic()

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(TICK_S):
            try:
                self._look()
            except Exception as error:  # The database may be away for a moment; the lease outlasts that, or is lost.
                log.warning("the lease could not be extended: %s", type(error).__name__)

    def _look(self) -> None:
        stage, limit_s = self._stage, self._limit_s
        if time.monotonic() - self._since > limit_s:
            log.error("%s took longer than %g s; this process is stopped", stage, limit_s)
            self._overrun(stage, limit_s)
            end_this_process()
        elif not self._extend() and not self._over.is_set():
            log.info("the work in hand was cancelled or taken over; this process is stopped")
            end_this_process()
