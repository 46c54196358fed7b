"""A file that is to be had, and what proves that it is the right one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

CHUNK_BYTES = 1 << 20

Progress = Callable[[str, int, int | None], object]
"""Hears the name of a file, how many bytes of it are done, and how many there are, where that is known."""


def tell_nobody(_name: str, _done: int, _total: int | None) -> None:
    """Progress for somebody who does not look."""


class Algorithm(StrEnum):
    """How a digest is made."""

    SHA256 = "SHA-256"
    GIT = "git's SHA-1"
    """The hub keeps small files in git, whose name for one is the SHA-1 of ``blob SIZE``, a zero byte and the bytes."""
    MD5 = "MD5"


@dataclass(frozen=True)
class Digest:
    """What a file hashes to, in hex, and who says so."""

    algorithm: Algorithm
    hex: str
    told_by: str

    def __str__(self) -> str:
        return f"{self.algorithm} of {self.told_by}"


@dataclass(frozen=True)
class Wanted:
    """A file: its ``name`` in the model's folder, where it is, its size in bytes where known, and its digest."""

    name: str
    url: str
    size: int | None
    digest: Digest | None

    @property
    def mark(self) -> str:
        """Eight characters that differ for another content, so that nobody continues a download of something else."""
        return hashlib.sha256(f"{self.url} {self.digest}".encode()).hexdigest()[:8]


class Hasher:
    """Hashes what passes by: its own SHA-256, and what ``digest`` asks for."""

    def __init__(self, digest: Digest | None, size: int | None) -> None:
        self._digest = digest
        self._sha256 = hashlib.sha256()
        self._other = None
        if digest is not None and digest.algorithm is Algorithm.MD5:
            self._other = hashlib.md5(usedforsecurity=False)
        elif digest is not None and digest.algorithm is Algorithm.GIT:
            self._other = hashlib.sha1(b"blob %d\0" % (size or 0), usedforsecurity=False)

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self._sha256.update(data)
        if self._other is not None:
            self._other.update(data)

    @property
    def sha256(self) -> str:
        """The SHA-256 so far, in hex."""
        return self._sha256.hexdigest()

    def fits(self) -> bool:
        """Whether what passed by is what the digest says; true without one."""
        found = (self._other or self._sha256).hexdigest()
        return self._digest is None or found == self._digest.hex.lower()


def hashed(path: Path, digest: Digest | None, *, name: str = "", watch: Progress = tell_nobody) -> Hasher:
    """The hasher of a file on the disk."""
    size, done = path.stat().st_size, 0
    hasher = Hasher(digest, size)
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            hasher.update(data)
            done += len(data)
            watch(name or path.name, done, size)
    return hasher
