"""Processes that end with the one that started them, however that one ended."""

from __future__ import annotations

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that this process gets when its parent dies."""


def end_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """Call in a fresh child: it gets the signal ``how`` when its parent is gone. Does nothing where Linux is not."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, how)
