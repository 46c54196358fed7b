"""One file over HTTP, continued where it was cut, and hashed while it comes."""

from __future__ import annotations

import errno
import fcntl
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import httpx

from copyist.engines.weights import Unreachable, WeightsError
from copyist.engines.weights.wanted import CHUNK_BYTES, Hasher, Progress, Wanted, tell_nobody

log = logging.getLogger(__name__)

_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that another try may better."""


class _TryAgain(Exception):
    """It did not work this time; after ``pause_s`` seconds it may."""

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


@dataclass(frozen=True)
class Patience:
    """How often a download that gets no further is tried, with a pause in seconds that grows each time."""

    tries: int = 5
    pause_s: float = 1.0
    longest_s: float = 30.0


@dataclass(frozen=True)
class Request:
    """What is asked for: a file, with which headers, and who hears of the progress."""

    wanted: Wanted
    headers: Mapping[str, str] = field(default_factory=dict)
    watch: Progress = tell_nobody


def download(client: httpx.Client, request: Request, part: Path, patience: Patience = Patience()) -> str:
    """Bring the file to ``part``, going on with what is there, and return its SHA-256.

    A file that turns out to be wrong is fetched once more from its beginning when a part of it was there before;
    then it is deleted. Raises ``WeightsError`` for that, for an answer that no new try betters and for a disk that is
    full, ``Unreachable`` for a connection that fails ``patience.tries`` times without a byte more. What was fetched
    stays in ``part`` otherwise, for the next time.
    """
    continued = part.exists() and part.stat().st_size > 0
    with _opened(part) as file:
        hasher = _persist(client, request, file, patience)
        if not hasher.fits() and continued:
            file.truncate(0)
            hasher = _persist(client, request, file, patience)
    if hasher.fits():
        return hasher.sha256
    part.unlink()
    raise WeightsError(
        f"{request.wanted.name} arrived whole, but it is not the file it should be: it does not have the "
        f"{request.wanted.digest}. It was deleted. Pull again; if that does not help, {_host(request)} serves another."
    )


def _opened(part: Path) -> BinaryIO:
    part.parent.mkdir(parents=True, exist_ok=True)
    file = part.open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise WeightsError(f"{part.name} is being pulled already, by another process. Wait for it.") from error
    except OSError:
        # Some network file systems have no locks; then the hash finds what two at once have spoiled.
        log.debug("%s cannot be locked", part, exc_info=True)
    return file


def _persist(client: httpx.Client, request: Request, file: BinaryIO, patience: Patience) -> Hasher:
    failures = 0
    while True:
        before = file.seek(0, 2)
        try:
            return _fetch(client, request, file)
        except (httpx.RequestError, _TryAgain) as error:
            failures = 1 if file.seek(0, 2) > before else failures + 1
            # A host that nobody can talk to, on the first try as on the second, is no passing trouble.
            offline = isinstance(error, httpx.ConnectError) and failures > 1 and not file.tell()
            if offline or failures >= patience.tries:
                raise Unreachable(_given_up(request, file.tell(), error)) from error
            wish = error.pause_s if isinstance(error, _TryAgain) else None
            time.sleep(min(wish or patience.pause_s * 2 ** (failures - 1), patience.longest_s))
        except OSError as error:
            raise WeightsError(_disk(request, error)) from error


def _fetch(client: httpx.Client, request: Request, file: BinaryIO) -> Hasher:
    wanted = request.wanted
    hasher = _so_far(request, file)
    have = file.tell()
    if have and have == wanted.size:
        return hasher
    # Compressed on the way, a range would count other bytes than the file's.
    headers = {**request.headers, "Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with client.stream("GET", wanted.url, headers=headers) as answer:
        if answer.status_code == 416:
            file.truncate(0)
            raise _TryAgain("it has less of the file than is here")
        total = _accept(answer, request, have)
        if answer.status_code != 206:
            file.truncate(0)
            hasher, have = Hasher(wanted.digest, wanted.size), 0
        size = wanted.size if wanted.size is not None else total
        for data in answer.iter_bytes():
            file.write(data)
            hasher.update(data)
            have += len(data)
            request.watch(wanted.name, have, size)
        file.flush()
    if size is not None and have != size:
        if have > size:
            file.truncate(0)
        raise _TryAgain(f"{have} of {size} bytes came")
    return hasher


def _so_far(request: Request, file: BinaryIO) -> Hasher:
    """Hash what is there; a part that is longer than the whole is none of it."""
    wanted = request.wanted
    if wanted.size is not None and file.seek(0, 2) > wanted.size:
        file.truncate(0)
    hasher, done = Hasher(wanted.digest, wanted.size), 0
    file.seek(0)
    while data := file.read(CHUNK_BYTES):
        hasher.update(data)
        done += len(data)
        request.watch(wanted.name, done, wanted.size)
    return hasher


def _accept(answer: httpx.Response, request: Request, have: int) -> int | None:
    """Look at the head of an answer: the size of the whole file where it tells it."""
    status, host, name = answer.status_code, answer.url.host, request.wanted.name
    if status == 200:
        length = answer.headers.get("Content-Length", "")
        return int(length) if length.isdigit() and "Content-Encoding" not in answer.headers else None
    if status == 206:
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if told is None or int(told[1]) != have:
            raise WeightsError(
                f"{host} sends another part of {name} than it was asked for. Delete what is there of it."
            )
        return int(told[2]) if told[2] != "*" else None
    if status in _PASSING:
        wait = answer.headers.get("Retry-After", "")
        raise _TryAgain(f"it answers {status}", float(wait) if wait.isdigit() else None)
    if status in (401, 403):
        raise WeightsError(f"{host} does not give {name} to everybody ({status}). Set HF_TOKEN to a token that may.")
    raise WeightsError(f"{host} has no {name} ({status}) at {answer.url.copy_with(query=None)}.")


def _given_up(request: Request, have: int, error: Exception) -> str:
    reason = str(error) if isinstance(error, _TryAgain) else type(error).__name__
    kept = "" if not have else f" The {have:,} bytes that came are kept: the same command goes on from there."
    return f"{request.wanted.name} cannot be fetched from {_host(request)} ({reason}).{kept}"


def _disk(request: Request, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk is full before {request.wanted.name} is there. Make room; the same command goes on from there."
        )
    return f"{request.wanted.name} cannot be written: {error.strerror}."


def _host(request: Request) -> str:
    return httpx.URL(request.wanted.url).host
