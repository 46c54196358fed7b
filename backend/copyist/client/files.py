"""What is sent: files however they are at hand, and the options beside them as fields of a form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, TypedDict

SOURCES = ("http://", "https://", "file://", "data:")
Upload = str | Path | bytes | IO[bytes]
"""A path; the bytes; an open file, which is read from its beginning; or an address, which the server fetches."""


class Options(TypedDict, total=False):
    """How a file is to be read; what is left out is the server's choice. See ``/docs`` of the server."""

    mode: Literal["document", "handwriting", "formula", "paper"] | None
    engine: str | None
    languages: str | Sequence[str] | None
    text: Literal["auto", "force", "only"]
    pages: str | None
    """As in ``1-3,5``."""
    priority: Literal["interactive", "normal", "batch"]
    password: str | None
    metadata: Mapping[str, Any] | None
    callback_url: str | None
    keep_days: float | None
    time_limit: float | None
    """Seconds from its start; what is not read by then is given up."""
    page_time_limit: float | None


def fields_of(options: Mapping[str, Any]) -> dict[str, str]:
    """Options as a form has them."""
    return {name: _as_text(name, value) for name, value in options.items() if value is not None}


def _as_text(name: str, value: Any) -> str:
    if name == "metadata":
        return json.dumps(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "+".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_source(file: Upload) -> bool:
    """Whether ``file`` is an address that the server fetches."""
    return isinstance(file, str) and file.lower().startswith(SOURCES)


@dataclass(frozen=True)
class Part:
    """A file as it is sent, each time from its beginning."""

    file: str | Path | bytes | IO[bytes]
    name: str

    @contextmanager
    def opened(self) -> Iterator[tuple[str, bytes | IO[bytes]]]:
        """Name and content; raises ``OSError`` where there is no such file."""
        if isinstance(self.file, str | Path):
            with Path(self.file).open("rb") as content:
                yield self.name, content
        else:
            yield self.name, self.file


def part_of(file: Upload, name: str | None = None) -> Part:
    """``file`` in a form that can be sent more than once; a stream that cannot go back is read into memory."""
    if isinstance(file, str | Path):
        return Part(file, name or Path(file).name)
    if isinstance(file, bytes | bytearray | memoryview):
        return Part(bytes(file), name or "upload")
    own = getattr(file, "name", None)
    name = name or (Path(own).name if isinstance(own, str) else "upload")
    if not (hasattr(file, "seekable") and file.seekable()):
        return Part(file.read(), name)
    file.seek(0)
    return Part(file, name)
