"""A program of a training run: started beside this process, listened to, stopped for a while, ended.

It is the leader of a session of its own, so that all that it starts can be signalled together; it computes only when
nobody else wants the processor, and it does not outlive the process that supervises it.
"""

from __future__ import annotations

import logging
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from pydantic import ValidationError

from copyist.lifeline import end_with_parent
from copyist.training.order import Event

log = logging.getLogger(__name__)

NICE = 19
LOG_BYTES = 5_000_000
"""So much of what a program writes to its standard error is kept."""
TAIL_BYTES = 4000
GRACE_S = 20.0
"""How long a program that is asked to stop has for its checkpoint before it is killed."""
NEEDED = ("PATH", "HOME", "USER", "LANG", "LC_", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_", "PYTHON", "CUDA_", "NVIDIA_")
"""Names in the environment, or how they begin, that a program gets. It needs no password, and gets none."""
SILENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}


class Program:
    """Use as a context: what is still running at its end is killed.

    Its standard output are events (``training.order.Event``), a JSON object a line; its standard error goes to ``log``.
    """

    def __init__(self, command: Sequence[str], folder: Path, log_file: Path, *, threads: int) -> None:
        self._command, self._folder, self._log_file = [*_when_idle(), *command], folder, log_file
        self._environment = environment(os.environ, threads)
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._tail = b""
        self._is_paused = False

    def __enter__(self) -> Self:
        self._log = self._log_file.open("ab", buffering=0)
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_settle,
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read_events, args=(self._process.stdout,), name="events", daemon=True),
            threading.Thread(target=self._read_log, args=(self._process.stderr,), name="log", daemon=True),
        ]
        for thread in self._readers:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Its own end is no reason to leave alone what it has started.
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._await_readers()

    @property
    def pid(self) -> int:
        """Of the program, and of its group."""
        return self._process.pid

    @property
    def tail(self) -> str:
        """The last that it has written to its standard error."""
        return self._tail.decode(errors="replace").strip()

    def events(self) -> Iterator[Event]:
        """What it has told since this was asked last."""
        with suppress(queue.Empty):
            while True:
                yield self._events.get_nowait()

    def status(self) -> int | None:
        """Its exit status once it has ended and all that it told can be had; minus the signal that killed it."""
        if self._process.poll() is None:
            return None
        self._await_readers()
        return self._process.returncode

    def pause(self, wanted: bool) -> None:
        """Let it stand still, or go on."""
        if wanted != self._is_paused:
            self._signal(signal.SIGSTOP if wanted else signal.SIGCONT)
            self._is_paused = wanted

    def stop(self, grace_s: float | None = None) -> None:
        """Ask it to end, and kill it where it has not after ``grace_s`` (``GRACE_S``) seconds."""
        self._signal(signal.SIGTERM)
        # A signal to a process that stands still waits until it goes on.
        self._signal(signal.SIGCONT)
        until = time.monotonic() + (GRACE_S if grace_s is None else grace_s)
        while self._process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _await_readers(self) -> None:
        # A process that it has started and that left its group may hold the pipes open for ever.
        for thread in self._readers:
            thread.join(2)

    def _read_events(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                try:
                    self._events.put(Event.model_validate_json(line))
                except ValidationError:
                    log.warning("training says what is no event: %r", line[:200])

    def _read_log(self, stream: IO[bytes]) -> None:
        written = 0
        with stream, self._log:
            while chunk := os.read(stream.fileno(), 65_536):
                self._tail = (self._tail + chunk)[-TAIL_BYTES:]
                if written < LOG_BYTES:
                    with suppress(OSError):  # A full disk is told of by whoever has something to lose.
                        written += self._log.write(chunk)


def environment(named: Mapping[str, str], threads: int) -> dict[str, str]:
    """The environment of a program: of ``named`` what it needs, and so many threads for each numeric library."""
    numbers = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return {name: value for name, value in named.items() if name.startswith(NEEDED)} | SILENT | numbers


def cores() -> int:
    """How many processors this process may use, as its container limits them, too; or what ``OMP_NUM_THREADS`` says."""
    if (named := os.environ.get("OMP_NUM_THREADS", "")).isdecimal() and int(named):
        return int(named)
    there = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    try:
        quota, _, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").partition(" ")
        return max(1, min(there, round(int(quota) / int(period))))
    except (OSError, ValueError):  # No such limit, or no Linux.
        return there


def _when_idle() -> list[str]:
    """A command's beginning that lets it use the disk only when nobody else does."""
    found = shutil.which("ionice") if sys.platform == "linux" else None
    return [found, "-c", "3", "-t"] if found else []


def _settle() -> None:
    os.nice(NICE)
    end_with_parent()
