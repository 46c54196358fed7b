"""Getting a file that somebody names instead of sending: ``file://``, ``http(s)://`` or ``data:``.

Whoever may name an address makes this server go there, so every way is shut unless the settings open it. Data URIs ask
nothing of anybody and are always read.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from copyist.errors import FetchingOff, InvalidSource
from copyist.fetch import data, web
from copyist.fetch.files import file_path, open_file
from copyist.fetch.web import MayConnect, is_public


@dataclass(frozen=True)
class Sources:
    """What may be fetched: files in ``folders``, none if there are none; the web if ``urls``; ``max_bytes`` each.

    ``limit_s`` are the seconds that a download may take.
    """

    folders: tuple[Path, ...] = ()
    urls: bool = False
    max_bytes: int = 200_000_000
    limit_s: float = 60.0


@dataclass(frozen=True)
class Fetched:
    """A file at its beginning, and a name for it, which may be empty."""

    content: IO[bytes]
    name: str


@contextmanager
def fetched(source: str, allowed: Sources, *, may_connect: MayConnect = is_public) -> Iterator[Fetched]:
    """The file that ``source`` names, for as long as the context lasts. It blocks: not for the loop of a server.

    Raises ``InvalidSource``, ``FetchingOff``, ``FolderRefused``, ``SourceMissing``, ``AddressRefused``, ``FetchFailed``
    or ``FileTooLarge``.
    """
    scheme = source.partition(":")[0].lower()
    if scheme == "file":
        with open_file(source, allowed.folders, max_bytes=allowed.max_bytes) as content:
            yield Fetched(content, file_path(source).name)
    elif scheme in ("http", "https"):
        if not allowed.urls:
            raise FetchingOff(what="web addresses", setting="FETCH_URLS=true")
        with tempfile.TemporaryFile(prefix="copyist-") as copy:
            loading = web.download(
                source, copy, max_bytes=allowed.max_bytes, limit_s=allowed.limit_s, may_connect=may_connect
            )
            name = asyncio.run(loading)
            copy.seek(0)
            yield Fetched(copy, name)
    elif scheme == "data":
        with tempfile.TemporaryFile(prefix="copyist-") as copy:
            copy.write(data.decoded(source, max_bytes=allowed.max_bytes))
            copy.seek(0)
            yield Fetched(copy, "")
    else:
        raise InvalidSource
