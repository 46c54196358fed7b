"""What an engine writes down while it reads a page, for the page's trail: retries, what was left out, what it cost.

The chain opens a page's notes around an engine's ``read``; ``note`` adds to those that are open in the present context.
An engine that reads in threads of its own runs them in a copy of its context (``contextvars.copy_context().run``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MOST = 20
"""More notes than this on one page tell nobody anything."""

_open: ContextVar[list[str] | None] = ContextVar("notes", default=None)


def note(sentence: str) -> None:
    """Add a sentence to the notes of the page that is being read; without one, nothing happens."""
    notes = _open.get()
    if notes is not None and len(notes) < MOST:
        notes.append(sentence)


@contextmanager
def noting() -> Iterator[list[str]]:
    """Open the notes of a page; they are still there after an exception."""
    notes: list[str] = []
    token = _open.set(notes)
    try:
        yield notes
    finally:
        _open.reset(token)
