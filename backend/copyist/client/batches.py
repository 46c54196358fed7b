"""Several files that were sent together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from copyist.client.jobs import Job, download
from copyist.client.transport import NotOver, Transport, body_of, no_answer_of_ours

LOOK_FIRST_S, LOOK_LATER_S = 0.2, 2.0


class Batch:
    """A batch as it was when it was last asked for. Everything may raise ``CopyistClientError``."""

    def __init__(self, transport: Transport, body: Mapping[str, Any]) -> None:
        self._transport = transport
        self._take(body)

    def _take(self, body: Mapping[str, Any]) -> None:
        try:
            self.id: str = body["id"]
            self.status: str = body["status"]
            self.counts: dict[str, int] = dict(body["jobs"])
        except (KeyError, TypeError, ValueError) as error:
            raise no_answer_of_ours("batch") from error
        self.body = body

    def __repr__(self) -> str:
        return f"<Batch {self.id} {self.status}, {self.counts}>"

    @property
    def _path(self) -> str:
        return f"/api/batches/{self.id}"

    @property
    def is_open(self) -> bool:
        """Whether any job of it has not ended yet."""
        return self.status == "processing"

    @property
    def refused(self) -> list[Mapping[str, str]]:
        """Files that became no job: ``filename``, ``code``, ``detail``."""
        return list(self.body.get("refused", ()))

    def refresh(self) -> Batch:
        """Ask how it is."""
        self._take(body_of(self._transport.ask("GET", self._path)))
        return self

    def wait(self, timeout: float | None = None) -> Batch:
        """Wait until all of its jobs have ended; ``NotOver`` is raised when the ``timeout`` (seconds) is up."""
        until, pause_s = None if timeout is None else time.monotonic() + timeout, LOOK_FIRST_S
        while self.refresh().is_open:
            if until is not None and time.monotonic() >= until:
                raise NotOver("batch", timeout or 0)
            time.sleep(pause_s)
            pause_s = min(1.5 * pause_s, LOOK_LATER_S)
        return self

    def jobs(self) -> Iterator[Job]:
        """Its jobs, newest first."""
        return list_jobs(self._transport, {"batch": self.id})

    def save_zip(self, path: str | Path, formats: Sequence[str] = ("txt",)) -> Path:
        """Write the results of all its jobs into one ZIP, with a ``manifest.json`` that names every job."""
        return download(self._transport, f"{self._path}/result.zip", Path(path), {"formats": ",".join(formats)})

    def delete(self) -> None:
        """Delete it with its jobs and their files; open ones are cancelled first."""
        if self._transport.ask("DELETE", self._path).status_code != httpx.codes.NO_CONTENT:
            self._transport.ask("DELETE", self._path)


def list_jobs(transport: Transport, wanted: Mapping[str, Any]) -> Iterator[Job]:
    """All jobs that meet the query ``wanted``, page by page of the list."""
    cursor: str | None = None
    while True:
        params = {**wanted, **({"cursor": cursor} if cursor else {})}
        body = body_of(transport.ask("GET", "/api/jobs", params=params))
        yield from (Job(transport, one) for one in body.get("jobs", ()))
        cursor = body.get("next_cursor")
        if not cursor:
            return
