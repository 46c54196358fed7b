"""A Copyist server from Python::

    from copyist import Client

    with Client("http://localhost:8000") as client:
        job = client.submit("letter.pdf", languages="eng+deu")
        job.wait(on_page=lambda page: print(page.number, page.status))
        print(job.result("txt"))
        job.save("letter.searchable.pdf")

A connection that is lost while a file is sent is no reason to read it twice: each upload carries a key of its own
(``Idempotency-Key``) and may be sent again. A server that is busy is asked again when it says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack
from uuid import uuid4

from copyist.client.batches import Batch, list_jobs
from copyist.client.corrections import content_of, list_corrections
from copyist.client.events import PageEvent
from copyist.client.files import Options, Upload, fields_of, is_source, part_of
from copyist.client.jobs import Job
from copyist.client.transport import CopyistClientError, NotOver, Transport, Unreachable, body_of

__all__ = ["Batch", "Client", "CopyistClientError", "Job", "NotOver", "Options", "PageEvent", "Unreachable", "Upload"]


class Client:
    """The server at ``url``. Close it, or use it as a context. Everything may raise ``CopyistClientError``.

    ``api_key`` is needed where the server is not on loopback. ``patience_s`` is how long the server may be away or busy
    before that is an error.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8000", api_key: str | None = None, *, patience_s: float = 60.0
    ) -> None:
        self._transport = Transport(url, api_key, patience_s=patience_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def submit(
        self,
        file: Upload,
        *,
        filename: str | None = None,
        batch: str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Send one file to be read: a path, bytes, an open file, or an address that the server is to fetch.

        ``batch`` is the id of a batch that the job is to belong to. The same ``idempotency_key`` with the same file and
        options, within a day, gives the job of the first time. Raises ``OSError`` for a file that cannot be opened.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        fields = fields_of({**options, "batch": batch})
        if is_source(file):
            named = {**fields, "source": file, **({"filename": filename} if filename else {})}
            return Job(self._transport, body_of(self._post("/api/jobs", headers=headers, json=named)))
        part = part_of(file, filename)
        with part.opened() as content:
            answer = self._post("/api/jobs", headers=headers, data=fields, files={"file": content})
        return Job(self._transport, body_of(answer))

    def submit_batch(
        self, files: Sequence[Upload], *, idempotency_key: str | None = None, **options: Unpack[Options]
    ) -> Batch:
        """Send up to 1,000 files in one request. What cannot be taken is listed in ``refused`` and holds up no other.

        More can be added later: ``submit(file, batch=batch.id)``.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        with ExitStack() as opened:
            parts = [("files", opened.enter_context(part_of(file).opened())) for file in files]
            answer = self._post("/api/batches", headers=headers, data=fields_of(options), files=parts)
        return Batch(self._transport, body_of(answer))

    def _post(self, path: str, **request: Any) -> Any:
        return self._transport.ask("POST", path, again=True, **request)

    def job(self, job_id: str) -> Job:
        """A job by its id."""
        return Job(self._transport, body_of(self._transport.ask("GET", f"/api/jobs/{job_id}")))

    def batch(self, batch_id: str) -> Batch:
        """A batch by its id."""
        return Batch(self._transport, body_of(self._transport.ask("GET", f"/api/batches/{batch_id}")))

    def jobs(
        self,
        *,
        status: str | Sequence[str] | None = None,
        batch: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        filename: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Iterator[Job]:
        """All jobs that meet the filters, newest first, fetched as they are asked for.

        ``filename`` is a part of the name; ``metadata`` are fields of what was sent with the upload.
        """
        wanted: dict[str, Any] = {"batch": batch, "filename": filename}
        wanted["status"] = [status] if isinstance(status, str) else list(status or ())
        for name, moment in (("created_after", created_after), ("created_before", created_before)):
            wanted[name] = None if moment is None else moment.astimezone().isoformat()
        wanted["metadata"] = [f"{name}:{value}" for name, value in (metadata or {}).items()]
        return list_jobs(self._transport, {name: value for name, value in wanted.items() if value})

    def line(self, line_id: str) -> dict[str, Any]:
        """One line: its text, where it stands, what was read, its revisions. ``Job.page`` tells the ids of lines."""
        return body_of(self._transport.ask("GET", f"/api/lines/{line_id}"))

    def correct(self, line_id: str, text: str, *, parent: int | None = None) -> dict[str, Any]:
        """Say what stands on a line; the text that is shown says that it is right. Gives the line.

        ``parent`` is the revision that was looked at (0: none). Where somebody has corrected the line since then, it is
        refused with the code ``stale_correction``.
        """
        return self._put_line(line_id, {"text": text, "parent": parent})

    def confirm(self, line_id: str, *, parent: int | None = None) -> dict[str, Any]:
        """Say that a line is right as it is shown."""
        return self._put_line(line_id, {"confirm": True, "parent": parent})

    def nothing(self, line_id: str, *, parent: int | None = None) -> dict[str, Any]:
        """Say that nothing stands on a line, whatever was read there: it is in no result any more."""
        return self._put_line(line_id, {"nothing": True, "parent": parent})

    def _put_line(self, line_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        # Said twice it is the same, so it may be sent again.
        return body_of(self._transport.ask("PUT", f"/api/lines/{line_id}", again=True, json=body))

    def confirm_page(self, job_id: str, page: int) -> dict[str, Any]:
        """Say that all lines of a page are right that nobody has looked at yet."""
        return body_of(self._post(f"/api/jobs/{job_id}/pages/{page}/confirm"))

    def correct_text(
        self, job_id: str, text: str | bytes | Path, *, pages: str | None = None, confirm_unchanged: bool = True
    ) -> dict[str, Any]:
        """Send the text of a job back as somebody edited it: ``result.txt`` or ``page.xml``, as a path or as it is.

        Gives what came of it: how many lines were ``corrected`` and ``confirmed``, and which stay as they are:
        ``unmatched``, or ``outdated`` where they were corrected after the text was downloaded. Refused with the code
        ``lines_do_not_match``, and nothing is changed, where it is not the text of these ``pages``.
        """
        params = {"confirm_unchanged": "true" if confirm_unchanged else "false", **({"pages": pages} if pages else {})}
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        path, content = f"/api/jobs/{job_id}/corrections", content_of(text)
        return body_of(self._post(path, content=content, params=params, headers=headers))

    def corrections(self, job_id: str) -> Iterator[dict[str, Any]]:
        """All revisions of a job's lines in the order they were made, fetched as they are asked for."""
        return list_corrections(self._transport, job_id)

    def training(self) -> dict[str, Any]:
        """How it stands with learning: counts of corrections, what serves, and when the next run begins."""
        return body_of(self._transport.ask("GET", "/api/training"))

    def train(self, **parameters: float) -> dict[str, Any]:
        """Start a run of training, such as ``train(epochs=5)``; gives the run.

        Refused with the codes ``run_active``, ``too_few_lines`` or ``training_off``.
        """
        return body_of(self._transport.ask("POST", "/api/training/runs", json={"parameters": parameters}))
