"""What an export is made of: pages one by one, and the file they were read from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from copyist.document import Document, Page
from copyist.media import MediaKind


@dataclass(frozen=True)
class Material:
    """One job's reading. Nothing here holds more than a page at a time, and no export should."""

    pages: Callable[[], Iterable[Page]]
    """The pages that were read, in order; a fresh walk with each call."""
    numbers: Sequence[int]
    """All pages of the result, in order, also those that could not be read: 1 is the first page of the file."""
    filename: str
    """The client's name for the file: for showing only, never a path."""
    uploaded: date
    """The day from which dates without a year count."""
    kind: MediaKind
    original: Callable[[], AbstractContextManager[Path]]
    """The file itself, for as long as the context lasts."""

    def document(self) -> Document:
        """All pages at once. For what cannot be made page by page."""
        return Document(pages=tuple(self.pages()))
