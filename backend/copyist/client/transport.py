"""Talking to a Copyist server over HTTP: patience with one that is busy or away, and its errors as exceptions."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, Any, TypeVar

import httpx

BUSY = frozenset({429, 503})
"""The server did not do it, and may a moment later."""
PROXY_TROUBLE = frozenset({502, 504})
"""Nobody knows whether the server did it."""
IN_FLIGHT = "idempotency_in_flight"
PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
"""From a try to the next where the server does not say, at first and in the end."""
TIMEOUT = httpx.Timeout(60.0, connect=10.0)

Done = TypeVar("Done")


class CopyistClientError(Exception):
    """The server refused, or cannot be reached.

    ``detail`` is a sentence for people, ``code`` a stable word for programs (``not_found``, ``encrypted``,
    ``unreachable``, ``timeout``). ``status`` is the HTTP status, ``None`` where there was no answer. ``retry_after`` is
    when it is worth asking again, in seconds, where the server says so.
    """

    def __init__(
        self, detail: str, *, code: str = "error", status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(detail)
        self.detail, self.code, self.status, self.retry_after = detail, code, status, retry_after


class Unreachable(CopyistClientError):
    """There was no answer, for as long as the client has patience."""


class NotOver(CopyistClientError, TimeoutError):
    """What was waited for was not over when the time was up. It goes on."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"The {what} was not over after {seconds:g} s. It goes on.", code="timeout")


def no_answer_of_ours(what: str, *, status: int | None = None) -> CopyistClientError:
    """Something answers, and it is not Copyist: ``what`` was to be expected."""
    detail = f"The server's answer is no {what} of Copyist. Is there another service at this address?"
    return CopyistClientError(detail, code="no_copyist", status=status)


class Transport:
    """One server. ``patience_s`` is how long it may be away, or ask to be left in peace, before it is given up.

    One that was never there is not waited for: its address may be wrong.
    """

    def __init__(self, url: str, api_key: str | None = None, *, patience_s: float = 60.0) -> None:
        self.url, self.patience_s = url.rstrip("/"), patience_s
        headers = {"User-Agent": "copyist-client"}
        if api_key:
            if not (api_key.isascii() and api_key.isprintable()):
                raise ValueError("The API key holds signs that no key has.")
            headers["X-API-Key"] = api_key
        self._was_there = False
        # A proxy that the environment names has no way to this machine's own addresses.
        self._client = httpx.Client(timeout=TIMEOUT, headers=headers, trust_env=not _is_loopback(self.url))

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def ask(self, method: str, path: str, *, again: bool | None = None, **request: Any) -> httpx.Response:
        """The answer, if it is a good one; raises ``CopyistClientError`` for any other.

        A server that is busy is asked again, within its ``Retry-After`` and our patience. ``again`` says that a request
        without an answer may be sent once more: by default, only one that changes nothing.
        """
        repeatable = method == "GET" if again is None else again

        def once() -> httpx.Response:
            with self._reaching():
                answer = self._client.request(method, f"{self.url}{path}", **request)
            if not answer.is_success:
                raise error_of(answer)
            return answer

        return self._patiently(once, lambda: repeatable)

    def download(self, path: str, into: IO[bytes], params: Mapping[str, str]) -> None:
        """Write an answer into an open file as it comes. Nothing is tried again once some of it is there."""
        begun = False

        def once() -> None:
            nonlocal begun
            with self.stream(path, params=params) as answer:
                for chunk in answer.iter_bytes():
                    begun = True
                    into.write(chunk)

        self._patiently(once, lambda: not begun)

    def _patiently(self, once: Callable[[], Done], repeatable: Callable[[], bool]) -> Done:
        until, pause_s = time.monotonic() + self.patience_s, PAUSE_S
        while True:
            try:
                return once()
            except CopyistClientError as error:
                may_help = error.status in BUSY or error.code == IN_FLIGHT
                lost = isinstance(error, Unreachable) and self._was_there
                may_help |= repeatable() and (lost or error.status in PROXY_TROUBLE)
                wait_s = error.retry_after if error.retry_after is not None else pause_s
                if not may_help or time.monotonic() + wait_s > until:
                    raise
            time.sleep(wait_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    @contextmanager
    def stream(self, path: str, *, timeout: float | None = None, **request: Any) -> Iterator[httpx.Response]:
        """An answer that is read as it comes, one try; ``timeout`` is how long nothing may come, in seconds."""
        patience = TIMEOUT if timeout is None else httpx.Timeout(timeout, connect=10.0)
        with self._reaching(), self._client.stream("GET", f"{self.url}{path}", timeout=patience, **request) as answer:
            self._was_there = True
            if not answer.is_success:
                answer.read()
                raise error_of(answer)
            yield answer

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
            self._was_there = True
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            detail = f'"{self.url}" is no address of a server. It must begin with http:// or https://.'
            raise CopyistClientError(detail, code="invalid_url") from error
        except httpx.DecodingError as error:
            raise no_answer_of_ours("message") from error
        except httpx.TransportError as error:
            never_there = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            self._was_there |= not never_there
            reason = "cannot be reached" if never_there else "broke off the connection"
            reason = "does not answer in time" if isinstance(error, httpx.TimeoutException) else reason
            raise Unreachable(f"The server at {self.url} {reason}. Is it running?", code="unreachable") from error


def error_of(answer: httpx.Response) -> CopyistClientError:
    """What an answer complains about (RFC 9457: ``code`` and ``detail``)."""
    try:
        problem = answer.json()
        detail, code = problem["detail"], problem.get("code")
    except (ValueError, KeyError, TypeError, AttributeError):
        detail, code = None, None
    if not isinstance(detail, str):
        there = answer.headers.get("Location") if answer.is_redirect else None
        advice = f"It points to {there}: use the address of that server." if there else "Is it Copyist?"
        detail = f"The server answered {answer.status_code} {answer.reason_phrase}. {advice}"
    code = code if isinstance(code, str) else "error"
    return CopyistClientError(detail, code=code, status=answer.status_code, retry_after=_retry_after_s(answer))


def body_of(answer: httpx.Response) -> dict[str, Any]:
    """An answer that is one JSON object."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise no_answer_of_ours("message", status=answer.status_code)
    return body


def _retry_after_s(answer: httpx.Response) -> float | None:
    """``Retry-After``, which is a number of seconds or a date (RFC 9110)."""
    value = answer.headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _is_loopback(url: str) -> bool:
    try:
        host = httpx.URL(url).host
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except (ValueError, httpx.InvalidURL):
        return False
