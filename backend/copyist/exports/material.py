"""What an export is made of: pages one by one, and the file they were read from."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePath

from copyist.document import Document, Page
from copyist.media import MediaKind

MAX_NAME_BYTES = 160
"""Of a name inside an archive, so that what is added to it fits into the 255 bytes that file systems allow."""


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

    @property
    def name(self) -> str:
        """The file's name as it may be written into other files and be unpacked on any system.

        It is never a path and never hidden; it has no control characters, and none that Windows refuses.
        """
        last = self.filename.replace("\\", "/").rsplit("/", 1)[-1]
        plain = "".join("_" if sign in '<>:"|?*' else sign for sign in last if unicodedata.category(sign)[0] != "C")
        suffix = PurePath(plain.strip(" .")).suffix
        stem = plain.strip(" .").removesuffix(suffix)
        short = stem.encode()[: MAX_NAME_BYTES - min(len(suffix.encode()), 20)].decode(errors="ignore").strip(" .")
        return f"{short or 'document'}{suffix if len(suffix.encode()) <= 20 else ''}"

    @property
    def stem(self) -> str:
        """``name`` without its ending: what the names of results begin with."""
        return PurePath(self.name).stem
