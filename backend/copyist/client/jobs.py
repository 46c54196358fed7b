"""One job on the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Literal, get_args, overload
from uuid import uuid4

import httpx

from copyist.client.events import PageEvent, events_of
from copyist.client.transport import (
    PAUSE_S,
    CopyistClientError,
    NotOver,
    Transport,
    Unreachable,
    body_of,
    no_answer_of_ours,
)

TextFormat = Literal["txt", "md", "json", "hocr", "alto.xml", "page.xml", "todo.json"]
BinaryFormat = Literal["pdf", "docx", "zip"]
POLL_S = 20.0
"""How long one request waits for the end of a job."""
QUIET_S = 60.0
"""A stream of events in which nothing came for so long is taken up anew; the server writes something every 15 s."""


class Job:
    """A job as it was when it was last asked for; ``refresh()`` asks again.

    Everything may raise ``CopyistClientError``. ``body`` is all that the server told; the attributes are what is
    wanted most of it.
    """

    def __init__(self, transport: Transport, body: Mapping[str, Any]) -> None:
        self._transport = transport
        self._take(body)

    def _take(self, body: Mapping[str, Any]) -> None:
        try:
            self.id: str = body["id"]
            self.status: str = body["status"]
            progress = body["progress"]
            self.pages_done: int = progress["pages_done"]
            self.pages_failed: int = progress["pages_failed"]
            self.pages_total: int | None = progress["pages_total"]
        except (KeyError, TypeError) as error:
            raise no_answer_of_ours("job") from error
        self.body = body

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.status}, {self.pages_done} of {self.pages_total} pages>"

    @property
    def url(self) -> str:
        """Where to look at it."""
        return f"{self._transport.url}{self._path}"

    @property
    def _path(self) -> str:
        return f"/api/jobs/{self.id}"

    @property
    def filename(self) -> str:
        """The name of the file."""
        return str(self.body.get("filename", ""))

    @property
    def is_open(self) -> bool:
        """Whether it has not ended yet."""
        return self.status in ("pending", "processing")

    @property
    def queue_position(self) -> int | None:
        """How many jobs are ahead; ``None`` once it has begun."""
        return self.body.get("queue_position")

    @property
    def confidence(self) -> float | None:
        """How sure the engines were, 0 to 1, the mean of the pages."""
        return self.body.get("confidence")

    @property
    def degraded(self) -> bool:
        """Whether the text of any page is only a placeholder."""
        return bool(self.body.get("degraded"))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth knowing of it, in sentences."""
        return tuple(self.body.get("warnings", ()))

    @property
    def error(self) -> str | None:
        """Why it failed, in a sentence."""
        return (self.body.get("error") or {}).get("detail")

    def refresh(self, wait_s: float = 0) -> Job:
        """Ask how it is, at the latest after ``wait_s`` seconds, or as soon as it has ended."""
        patience = httpx.Timeout(wait_s + QUIET_S, connect=10.0)
        self._take(body_of(self._transport.ask("GET", self._path, params={"wait": f"{wait_s:g}"}, timeout=patience)))
        return self

    def wait(self, timeout: float | None = None, on_page: Callable[[PageEvent], object] | None = None) -> Job:
        """Wait until it has ended, however it does; ``on_page`` is called with each page as it is settled.

        Without a ``timeout`` (seconds) it takes as long as it takes; ``NotOver`` is raised when one is up. A server
        that is away is waited for as long as the client has patience, and a stream that broke goes on where it was.
        """
        until = None if timeout is None else time.monotonic() + timeout
        if on_page is not None:
            return self._follow(on_page, until, timeout)
        while self.refresh(min(POLL_S, _left_s(until))).is_open:
            self._check(until, timeout)
        return self

    def _check(self, until: float | None, timeout: float | None) -> None:
        if until is not None and time.monotonic() >= until:
            raise NotOver("job", timeout or 0)

    def _follow(self, on_page: Callable[[PageEvent], object], until: float | None, timeout: float | None) -> Job:
        last_id: str | None = None
        gone_since: float | None = None
        while True:
            headers = {"Last-Event-ID": last_id} if last_id else {}
            quiet_s = max(0.1, min(QUIET_S, _left_s(until)))
            try:
                with self._transport.stream(f"{self._path}/events", timeout=quiet_s, headers=headers) as answer:
                    for event in events_of(answer.iter_lines()):
                        gone_since = None
                        if event is not None:
                            last_id = event.id or last_id
                            if event.name == "page":
                                on_page(PageEvent.of(event.data))
                            elif event.name == "job":
                                self._take(event.data)
                        self._check(until, timeout)
            except CopyistClientError as error:
                if not (isinstance(error, Unreachable) or error.status in (429, 502, 503, 504)):
                    raise
                self._check(until, timeout)
                gone_since = gone_since or time.monotonic()
                pause_s = error.retry_after or PAUSE_S
                if time.monotonic() + pause_s - gone_since > self._transport.patience_s:
                    raise
                time.sleep(pause_s)
                continue
            # The server ends the stream with the job, or where it cannot go on with it.
            if not self.is_open or not self.refresh().is_open:
                return self
            time.sleep(PAUSE_S)

    @overload
    def result(self, format: BinaryFormat, *, pages: str | None = None) -> bytes: ...

    @overload
    def result(self, format: TextFormat = "txt", *, pages: str | None = None) -> str: ...

    def result(self, format: TextFormat | BinaryFormat = "txt", *, pages: str | None = None) -> str | bytes:  # noqa: A002
        """What was read, in one format, as text or bytes; ``pages`` picks some (``1-3,5``)."""
        content = self.content(format, pages=pages)
        return content if format in get_args(BinaryFormat) else content.decode()

    def content(self, format: str = "txt", *, pages: str | None = None) -> bytes:  # noqa: A002
        """The same as it comes: the bytes of the file."""
        return self._transport.ask("GET", f"{self._path}/result.{format}", params=_pages(pages)).content

    def write(self, into: IO[bytes], format: str = "txt", *, pages: str | None = None) -> None:  # noqa: A002
        """Write a result into an open file; it is never held in memory as a whole."""
        self._transport.download(f"{self._path}/result.{format}", into, _pages(pages))

    def save(self, path: str | Path, format: str | None = None, *, pages: str | None = None) -> Path:  # noqa: A002
        """Write a result to ``path``, whole or not at all; without ``format`` the ending of its name says which."""
        path = Path(path)
        wanted = format or _format_of(path.name)
        return download(self._transport, f"{self._path}/result.{wanted}", path, _pages(pages))

    def page(self, number: int) -> dict[str, Any]:
        """One page: its state, which engines tried, its text, and its blocks, lines and words with their boxes."""
        return body_of(self._transport.ask("GET", f"{self._path}/pages/{number}"))

    def cancel(self) -> bool:
        """Cancel it, and say whether it was still open."""
        try:
            self._take(body_of(self._transport.ask("POST", f"{self._path}/cancel")))
        except CopyistClientError as error:
            if error.code != "already_ended":
                raise
            return False
        return True

    def retry(self) -> Job:
        """Read again what failed or was skipped; pages that were read stay."""
        self._take(body_of(self._transport.ask("POST", f"{self._path}/retry")))
        return self

    def delete(self) -> None:
        """Delete it from the server with its file and results; an open one is cancelled first."""
        if self._transport.ask("DELETE", self._path).status_code != httpx.codes.NO_CONTENT:
            self._transport.ask("DELETE", self._path)


def _pages(pages: str | None) -> dict[str, str]:
    return {"pages": pages} if pages else {}


def _left_s(until: float | None) -> float:
    return float("inf") if until is None else max(0.0, until - time.monotonic())


def _format_of(name: str) -> str:
    """``scan.alto.xml`` is ``alto.xml``, ``scan.v2.txt`` is ``txt``."""
    parts = name.lower().split(".")
    if len(parts) < 2:
        raise ValueError(f'"{name}" does not say in which format: name one, or end the name with it.')
    two = ".".join(parts[-2:])
    return two if len(parts) > 2 and two in ("alto.xml", "page.xml", "todo.json") else parts[-1]


def download(transport: Transport, path: str, into: Path, params: Mapping[str, str]) -> Path:
    """Write an answer to the file ``into``, which is replaced once all of it is there."""
    into.parent.mkdir(parents=True, exist_ok=True)
    part = into.with_name(f".{into.name}.{uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            transport.download(path, file, params)
        part.replace(into)
    finally:
        part.unlink(missing_ok=True)
    return into
