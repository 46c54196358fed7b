"""Blobs by content: uploads under their SHA-256, page pictures under the file they show.

One interface over a local folder (``file://``) and an S3-compatible store (``s3://bucket/prefix``), by obstore. Every
key is built here, from hashes and numbers only, so no name that a client sent ever becomes a path.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from copyist.errors import ConfigurationError, StorageFull, Unavailable
from copyist.reasons import is_full

CHUNK_BYTES = 1 << 20
PART = "part-"
ABANDONED_S = 3600.0
"""A part that nobody has written to for so long is of a process that was killed while it fetched."""
RETRY_WITHIN = timedelta(seconds=20)
"""How long a remote store is asked again; the last time may take obstore's 30 s. That it is away has to be found out
within ``INTAKE_TIMEOUT_S``: whoever still waits for it then is taken for hung, which is laid at the page's door."""
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
    return f"{_pictures(sha256)}{page}.jpg"


def _pictures(sha256: str) -> str:
    return f"pictures/{sha256[:2]}/{sha256}/"


def line_key(sha256: str) -> str:
    """The key of the picture (PNG) of one line that somebody corrected, under its own hash."""
    return f"lines/{sha256[:2]}/{sha256}.png"


def dataset_key(sha256: str) -> str:
    """The key of the manifest of a dataset, under its own hash."""
    return f"datasets/{sha256}.jsonl"


def model_key(version: int, name: str) -> str:
    """The key of a file of a model that was trained here; ``name`` is one that the trainer wrote."""
    return f"models/{version}/{name}"


def result_key(job_id: str, changes: int, extension: str) -> str:
    """The key of a result that is kept, made when the job had seen so many changes."""
    return f"{_results(job_id)}{changes}.{extension}"


def _results(job_id: str) -> str:
    return f"results/{job_id}/"


class Storage:
    """A blob store. Keys come from the functions above.

    Whatever it is asked for, it raises ``StorageFull`` where there is no room and ``Unavailable`` where the store is
    away or refuses; the cause has its own words. Made without asking anything of the store, so it may be away then;
    raises ``ConfigurationError`` for an address that is none.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._url = url
        self._root = Path(unquote(parts.path)) if parts.scheme == "file" else None
        if self._root is None:
            try:
                self._store = from_url(url, retry_config={"retry_timeout": RETRY_WITHIN})
            except (BaseError, ValueError) as error:
                problem = "STORAGE_URL names no store. Use file:///folder or s3://bucket/prefix."
                raise ConfigurationError(problem=problem) from error

    @cached_property
    def _store(self) -> ObjectStore:
        """The local folder, made when it is first needed: before that it may be on a disk that is not there yet."""
        assert self._root is not None
        self._root.mkdir(parents=True, exist_ok=True)
        return LocalStore(self._root)

    def put(self, key: str, content: IO[bytes] | bytes) -> None:
        """Store ``content`` under ``key``, whole or not at all; what is there already is replaced."""
        with _in_our_words(but=()):
            obstore.put(self._store, key, content)

    def get(self, key: str) -> bytes | None:
        """The bytes under ``key``, or ``None``."""
        with suppress(*NOT_THERE), _in_our_words():
            return bytes(obstore.get(self._store, key).bytes())
        return None

    def open(self, key: str) -> tuple[int, Generator[bytes]] | None:
        """The size of the blob under ``key`` and its bytes, some at a time, or ``None``."""
        with suppress(*NOT_THERE), _in_our_words():
            found = obstore.get(self._store, key)
            return found.meta["size"], (bytes(chunk) for chunk in found.stream(min_chunk_size=CHUNK_BYTES))
        return None

    def exists(self, key: str) -> bool:
        """Whether there is a blob under ``key``."""
        with suppress(*NOT_THERE), _in_our_words():
            obstore.head(self._store, key)
            return True
        return False

    def delete(self, *keys: str) -> None:
        """Delete blobs; those that are not there are no error."""
        for key in keys:
            with suppress(*NOT_THERE), _in_our_words():
                obstore.delete(self._store, key)

    def delete_file(self, sha256: str) -> None:
        """Delete an uploaded file and all pictures of its pages."""
        self.delete(file_key(sha256), *self.pictures_of(sha256))
        self._drop_folder(_pictures(sha256))

    def pictures_of(self, sha256: str) -> list[str]:
        """Keys of all page pictures of one file."""
        return self._under(_pictures(sha256))

    def delete_lines(self, *sha256: str) -> None:
        """Delete pictures of lines that are nobody's now."""
        self.delete(*map(line_key, sha256))

    def delete_results(self, job_id: str, *, but: int | None = None) -> None:
        """Delete all results that are kept of a job, ``but`` those made when it had seen so many changes."""
        stay = None if but is None else result_key(job_id, but, "")
        self.delete(*(key for key in self._under(_results(job_id)) if stay is None or not key.startswith(stay)))
        self._drop_folder(_results(job_id))

    def _drop_folder(self, prefix: str) -> None:
        """Of a local store, drop a folder in which nothing is left; obstore leaves one behind for each job."""
        if self._root is not None:
            with suppress(OSError):
                (self._root / prefix).rmdir()

    def _under(self, prefix: str) -> list[str]:
        with _in_our_words():
            return [item["path"] for batch in obstore.list(self._store, prefix) for item in batch]

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        """A local file with the blob's bytes, for libraries that want a path; raises ``FileNotFoundError``.

        A local store hands out its own file. From a remote store the blob is fetched into a cache folder of this
        machine, once, so that the pages of one document do not fetch it again and again.
        """
        with _in_our_words():
            path = self._fetched(key) if self._root is None else self._own(self._root, key)
        yield path

    @staticmethod
    def _own(root: Path, key: str) -> Path:
        path = root / key
        if path.is_file():
            return path
        if not root.is_dir():
            # Its disk is not there: that says nothing about one file of it.
            raise NotADirectoryError(root)
        raise FileNotFoundError(key)

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
        _trim(folder)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=PART, delete=False) as part:
            try:
                for chunk in stream:
                    part.write(chunk)
                part.flush()
            except BaseException:
                # It is fetched again and again while the disk is full, which it must not be for that.
                Path(part.name).unlink(missing_ok=True)
                raise
        return Path(part.name).replace(path)

    def check(self) -> None:
        """Write and read a small blob; raises whatever stands in the way.

        Of a remote store it says soon that nobody is there, where other calls try again for a while.
        """
        with _in_our_words(but=()):
            store = self._store if self._root is not None else self._in_a_hurry
            obstore.put(store, "check", b"ok")
            if bytes(obstore.get(store, "check").bytes()) != b"ok":
                raise OSError("the blob store does not give back what was stored")

    @cached_property
    def _in_a_hurry(self) -> ObjectStore:
        if urlsplit(self._url).scheme == "memory":
            return self._store
        # Client options would take the place of those in the environment, and with them ``AWS_ALLOW_HTTP``.
        return from_url(self._url, retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=5)})


@contextmanager
def _in_our_words(*, but: tuple[type[Exception], ...] = NOT_THERE) -> Iterator[None]:
    """A failing store as an error that a person may see; ``but`` those that say something about one blob."""
    try:
        yield
    except but as error:
        if "NoSuchBucket" in f"{error} {error.__cause__}":  # Which is told as if it were one blob that is not there.
            raise Unavailable(what="The storage") from error
        raise
    except (BaseError, OSError) as error:
        raise (StorageFull() if is_full(error) else Unavailable(what="The storage")) from error


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
            elif time.time() - path.stat().st_mtime > ABANDONED_S:
                path.unlink()
    for path in sorted(used, key=lambda path: used[path], reverse=True)[keep:]:
        path.unlink(missing_ok=True)
