"""Keeping a handful of processes running, and stopping all of them, in order, with the one that started them."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from copyist.errors import ConfigurationError
from copyist.lifeline import end_with_parent

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0


@dataclass
class Part:
    """One process to run. When it ends by itself it is restarted, after a pause that grows while it keeps failing."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    stop_s: float = 10.0
    orphaned_by: signal.Signals = signal.SIGKILL
    process: subprocess.Popen[bytes] | None = None
    _failures: int = field(default=0, repr=False)
    _started: float = field(default=0.0, repr=False)
    _not_before: float = field(default=0.0, repr=False)

    def start(self) -> None:
        """Start the process, in a session of its own: Ctrl-C in the terminal is for the supervisor alone."""
        self._started = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.environment},
            start_new_session=True,
            preexec_fn=partial(end_with_parent, self.orphaned_by),
            stdin=subprocess.DEVNULL,
        )

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    def tend(self) -> None:
        """Start it again if it ended."""
        if self.process is not None and self.process.poll() is not None:
            if self.process.returncode == os.EX_CONFIG:
                raise ConfigurationError(problem=f"The {self.name} cannot run with these settings; see above.")
            steady = time.monotonic() - self._started > STEADY_S
            self._failures = 1 if steady else self._failures + 1
            pause_s = min(2.0 ** (self._failures - 1), LONGEST_PAUSE_S)
            log.error("%s ended (%d) and is started again in %g s", self.name, self.process.returncode, pause_s)
            self._not_before, self.process = time.monotonic() + pause_s, None
        if self.process is None and time.monotonic() >= self._not_before:
            self.start()

    def stop(self) -> None:
        """Ask it to stop, wait, and end it and its children if it does not."""
        if self.process is None or not self.is_running:
            return
        self.process.terminate()
        try:
            self.process.wait(self.stop_s)
        except subprocess.TimeoutExpired:
            log.warning("%s did not stop within %g s and is killed", self.name, self.stop_s)
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
