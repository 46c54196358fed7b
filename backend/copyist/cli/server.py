"""A Copyist server, seen from the command line."""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

PATIENCE_S = 60.0
"""How long a server may be away, or ask to be left in peace, before it is given up."""
_BUSY = (429, 503)
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)


class ServerError(Exception):
    """The server refused, or cannot be reached; the text is for a person. ``refused``: it was this one request."""

    def __init__(self, detail: str, *, refused: bool = False) -> None:
        super().__init__(detail)
        self.refused = refused


@dataclass(frozen=True)
class RemoteJob:
    """What the server tells of a job."""

    id: str
    status: str
    done: int
    failed: int
    total: int | None
    queue_position: int | None
    warnings: tuple[str, ...]
    error: str | None

    @property
    def is_open(self) -> bool:
        """Whether it has not ended yet."""
        return self.status in ("pending", "processing")


class Server:
    """The server at ``url``. Use it as a context. Everything may raise ``ServerError``."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        # A proxy that the environment names has no way to this machine's own addresses.
        self._client = httpx.Client(timeout=_TIMEOUT, trust_env=not _is_loopback(self.url))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def job_url(self, job_id: str) -> str:
        """Where to look at a job."""
        return f"{self.url}/api/jobs/{job_id}"

    def submit(self, file: Path, fields: dict[str, str]) -> RemoteJob:
        """Upload a file; raises ``OSError`` if it cannot be opened."""
        until = time.monotonic() + PATIENCE_S
        while True:
            with file.open("rb") as content:
                # A lost connection is no reason to send it again: the job may be there already.
                answer = self._ask("POST", f"{self.url}/api/jobs", data=fields, files={"file": (file.name, content)})
            if answer.status_code not in _BUSY or time.monotonic() > until:
                return _job(_checked(answer))
            time.sleep(_pause_s(answer))

    def look(self, job_id: str, *, wait_s: float = 0) -> RemoteJob:
        """A job as it is, at the latest after ``wait_s`` seconds; a server that restarts is waited for."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = self._ask("GET", self.job_url(job_id), params={"wait": wait_s})
                if answer.status_code not in _BUSY or time.monotonic() > until:
                    return _job(_checked(answer))
                time.sleep(_pause_s(answer))
            except ServerError as error:
                if error.refused or time.monotonic() > until:
                    raise
                time.sleep(1)

    def result(self, job_id: str, extension: str) -> bytes:
        """What was read, in one format."""
        return _checked(self._ask("GET", f"{self.job_url(job_id)}/result.{extension}")).content

    def cancel(self, job_id: str) -> bool:
        """Cancel a job, and say whether it was still open."""
        answer = self._ask("POST", f"{self.job_url(job_id)}/cancel")
        return answer.status_code != httpx.codes.CONFLICT and _checked(answer).is_success

    def _ask(self, method: str, url: str, **request: Any) -> httpx.Response:
        try:
            return self._client.request(method, url, **request)
        except httpx.InvalidURL as error:
            raise ServerError(f'"{url}" is no address of a server.', refused=True) from error
        except httpx.UnsupportedProtocol as error:
            raise ServerError(f"The address {self.url} must begin with http:// or https://.", refused=True) from error
        except httpx.TransportError as error:
            reason = "does not answer in time" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
            raise ServerError(f"The server at {self.url} {reason}. Is it running? Name it with --url.") from error


def _checked(answer: httpx.Response) -> httpx.Response:
    """The answer, or what it complains about (RFC 9457, ``detail``)."""
    if answer.is_success:
        return answer
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = None
    if not isinstance(detail, str):
        detail = f"The server answered {answer.status_code} {answer.reason_phrase}. Is it Copyist?"
    raise ServerError(detail, refused=True)


def _job(answer: httpx.Response) -> RemoteJob:
    try:
        body = answer.json()
        progress = body["progress"]
        return RemoteJob(
            id=body["id"],
            status=body["status"],
            done=progress["pages_done"],
            failed=progress["pages_failed"],
            total=progress["pages_total"],
            queue_position=body["queue_position"],
            warnings=tuple(body["warnings"]),
            error=body["error"]["detail"] if body["error"] else None,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ServerError("The server answered what is no job. Is it Copyist?", refused=True) from error


def _pause_s(answer: httpx.Response) -> float:
    try:
        return min(max(float(answer.headers["Retry-After"]), 0.2), 10.0)
    except (KeyError, ValueError):
        return 1.0


def _is_loopback(url: str) -> bool:
    try:
        host = httpx.URL(url).host
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except (httpx.InvalidURL, ValueError):
        return False
