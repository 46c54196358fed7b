"""``file://``: a file of this machine, out of listed folders only, and by no link out of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from copyist.errors import FetchingOff, FileTooLarge, FolderRefused, InvalidSource, SourceMissing


def file_path(uri: str) -> Path:
    """The path that a ``file:`` URI (RFC 8089) names on this machine; raises ``InvalidSource``."""
    try:
        parts = urlsplit(uri)
        path = unquote(parts.path, errors="surrogateescape")
        os.fsencode(path)
    except ValueError as error:
        raise InvalidSource from error
    if parts.scheme.lower() != "file" or parts.netloc not in ("", "localhost") or "\0" in path:
        raise InvalidSource
    if not path.startswith("/"):
        raise InvalidSource
    return Path(path)


@contextmanager
def open_file(uri: str, folders: Sequence[Path], *, max_bytes: int) -> Iterator[IO[bytes]]:
    """The file that ``uri`` names, if it is in one of ``folders``, at its beginning.

    Raises ``InvalidSource``, ``FetchingOff``, ``FolderRefused``, ``SourceMissing`` or ``FileTooLarge``.
    """
    path = file_path(uri)
    if not folders:
        raise FetchingOff(what="files of its own", setting="FETCH_FOLDERS")
    real = Path(os.path.realpath(path))
    open_to = (Path(os.path.realpath(folder)) for folder in folders)
    folder = next((one for one in open_to if real.is_relative_to(one)), None)
    if folder is None:
        raise FolderRefused
    try:
        number = _open_inside(folder, real.relative_to(folder).parts)
    except (OSError, ValueError) as error:
        raise SourceMissing from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise SourceMissing
    with os.fdopen(number, "rb") as content:
        if os.fstat(number).st_size > max_bytes:
            raise FileTooLarge(limit_mb=round(max_bytes / 1e6, 1))
        yield content


def _open_inside(folder: Path, parts: tuple[str, ...]) -> int:
    """Open step by step below ``folder``, following no link: one that was put there since is not walked through.

    Without waiting, too: opening a pipe that nobody writes to would take for ever.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in parts:
        try:
            there = os.open(part, flags, dir_fd=here)
        finally:
            os.close(here)
        here = there
    return here
