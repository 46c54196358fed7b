"""What the processes of a run tell on their way: ``order.Event`` by ``Event`` on the standard output, and nothing else.

Libraries that print do so on the standard error from ``own_output`` on.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from copyist.training.order import Event

log = logging.getLogger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FULL_WORDS = ("os error 28", "os error 122", "os error 27", "file write failed")
"""What safetensors and torch say in place of an ``OSError``."""
_OUT_OF_MEMORY = (
    "The memory ran out while it trained. Free some, take a smaller batch, or let a machine with more memory train."
)
_DISK_FULL = "The disk is full. Free some space in the data folder and start the run again."
_BROKEN = "It stopped with an error ({kind}); the trainer's log has the details."
_out: TextIO | None = None


class Failed(Exception):
    """The run cannot go on. ``code`` is one of those of ``Event.code``, ``detail`` is for a person."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class Stopped(Exception):
    """Somebody asked for an end (SIGTERM); what was done so far is saved."""


def own_output() -> None:
    """Keep the standard output for events: whatever else is printed in this process goes to the standard error."""
    global _out
    _out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr


def tell(event: Event) -> None:
    """Write one event, as one line, at once."""
    out = _out or sys.stdout
    out.write(event.model_dump_json(exclude_none=True) + "\n")
    out.flush()


def reported(work: Callable[[], None]) -> int:
    """Do ``work`` and return the exit code of its process: 0, or 1 after an event ``failed`` that says why.

    Where somebody asked for an end it is 143, as a shell counts a SIGTERM, and no event.
    """
    try:
        work()
    except Stopped:
        log.info("stopped when asked to")
        return 128 + signal.SIGTERM
    except BrokenPipeError:
        log.warning("nobody listens any more")
        return 1
    except Exception as error:
        failure = as_failure(error)
        log.error("failed as %s: %s", failure.code, failure.detail, exc_info=error)
        with suppress(BrokenPipeError):
            tell(Event(event="failed", code=failure.code, detail=failure.detail))
        return 1
    return 0


def as_failure(error: BaseException) -> Failed:
    """``error`` as a failure that people can read."""
    if isinstance(error, Failed):
        return error
    if isinstance(error, MemoryError) or out_of_memory(error):
        return Failed("out_of_memory", _OUT_OF_MEMORY)
    if _disk_full(error):
        return Failed("disk_full", _DISK_FULL)
    return Failed("broken", _BROKEN.format(kind=type(error).__name__))


def out_of_memory(error: BaseException) -> bool:
    """Whether torch ran out of memory: it has a class for a GPU's, and only words for the machine's own."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def _disk_full(error: BaseException | None) -> bool:
    """Whether ``error``, or what it came from, says that nothing more fits on the disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if any(words in str(error) for words in _FULL_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
