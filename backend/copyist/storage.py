"""Blobs by content: uploads under their SHA-256, page pictures under the file they show.

One interface over a local folder (``file://``) and an S3-compatible store (``s3://bucket/prefix``), by obstore. Every
key is built here, from hashes and numbers only, so no name that a client sent ever becomes a path.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

CHUNK_BYTES = 1 << 20
PART = "part-"
NOT_THERE = (NotFoundError, FileNotFoundError)
"""A local store raises the second for what a remote one calls the first."""


def sha256_of(stream: IO[bytes]) -> tuple[str, int]:
    """SHA-256 (hex) and length in bytes of ``stream``, which is read to its end and rewound."""
    digest, size = hashlib.sha256(), 0
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    stream.seek(0)
    return digest.hexdigest(), size


def file_key(sha256: str) -> str:
    """The key of an uploaded file."""
    return f"uploads/{sha256[:2]}/{sha256}"


def picture_key(sha256: str, page: int) -> str:
    """The key of the JPEG of one page."""
    return f"pictures/{sha256[:2]}/{sha256}/{page}.jpg"


class Storage:
    """A blob store. Keys come from the functions above."""

    def __init__(self, url: str) -> None:
        self._root: Path | None = None
        parts = urlsplit(url)
        if parts.scheme == "file":
            self._root = Path(unquote(parts.path))
            self._root.mkdir(parents=True, exist_ok=True)
            self._store: ObjectStore = LocalStore(self._root)
        else:
            self._store = from_url(url)

    def put(self, key: str, content: IO[bytes] | bytes) -> None:
        """Store ``content`` under ``key``, whole or not at all; what is there already is replaced."""
        obstore.put(self._store, key, content)

    def get(self, key: str) -> bytes | None:
        """The bytes under ``key``, or ``None``."""
        try:
            return bytes(obstore.get(self._store, key).bytes())
        except NOT_THERE:
            return None

    def exists(self, key: str) -> bool:
        """Whether there is a blob under ``key``."""
        try:
            obstore.head(self._store, key)
        except NOT_THERE:
            return False
        return True

    def delete(self, *keys: str) -> None:
        """Delete blobs; those that are not there are no error."""
        for key in keys:
            try:
                obstore.delete(self._store, key)
            except NOT_THERE:
                continue

    def pictures_of(self, sha256: str) -> list[str]:
        """Keys of all page pictures of one file."""
        prefix = f"pictures/{sha256[:2]}/{sha256}/"
        return [item["path"] for batch in obstore.list(self._store, prefix) for item in batch]

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        """A local file with the blob's bytes, for libraries that want a path; raises ``FileNotFoundError``.

        A local store hands out its own file. From a remote store the blob is fetched into a cache folder of this
        machine, once, so that the pages of one document do not fetch it again and again.
        """
        if self._root is not None:
            path = self._root / key
            if not path.is_file():
                raise FileNotFoundError(key)
            yield path
            return
        yield self._fetched(key)

    def _fetched(self, key: str) -> Path:
        folder = _cache_folder()
        path = folder / key.replace("/", "-")
        if path.is_file():
            with suppress(FileNotFoundError):
                os.utime(path)
                return path
        try:
            stream = obstore.get(self._store, key).stream(min_chunk_size=CHUNK_BYTES)
        except NOT_THERE as error:
            raise FileNotFoundError(key) from error
        with tempfile.NamedTemporaryFile(dir=folder, prefix=PART, delete=False) as part:
            for chunk in stream:
                part.write(chunk)
        _trim(folder)
        return Path(part.name).replace(path)

    def check(self) -> None:
        """Write and read a small blob; raises whatever stands in the way."""
        self.put("check", b"ok")
        if self.get("check") != b"ok":
            raise OSError("the blob store does not give back what was stored")


def _cache_folder() -> Path:
    """A folder of this user alone for files that were fetched from a remote store."""
    folder = Path(tempfile.gettempdir()) / f"copyist-cache-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError("the folder for fetched files belongs to somebody else")
    return folder


def _trim(folder: Path, keep: int = 64) -> None:
    """Keep the files used last. Other processes fetch and trim at the same time, so any file may be gone."""
    used: dict[Path, float] = {}
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if not path.name.startswith(PART):
                used[path] = path.stat().st_mtime
    for path in sorted(used, key=lambda path: used[path], reverse=True)[keep:]:
        path.unlink(missing_ok=True)
