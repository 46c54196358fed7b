"""One process of a machine at a time, in a folder that several share: the others wait until it is done."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from copyist.engines.base import Stop

LOOK_S = 0.2


@contextmanager
def alone(lock: Path, stop: Stop) -> Iterator[None]:
    """Hold ``lock``, a file that is made; ``stop`` ends the waiting. The kernel lets go of it when a process dies."""
    with lock.open("w") as file:
        while not _is_taken(file.fileno()):
            stop.check()
            time.sleep(LOOK_S)
        yield


def _is_taken(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
