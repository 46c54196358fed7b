"""Taking a file in at the door: looked at by its bytes, kept once by its hash, then a row, then a message.

The order is the promise of the 202: the row and the bytes are safe before the answer leaves, and the message is only a
doorbell, so a broker that is down delays the job and does not lose it.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from starlette.datastructures import UploadFile

from copyist import media, pdflock, storage, tracing
from copyist.api import requests, webhooks
from copyist.api.callers import Caller
from copyist.api.options import Wishes, check
from copyist.api.service import Service
from copyist.db import batches, jobs
from copyist.db.tables import Job
from copyist.document import Decoding
from copyist.errors import FileTooLarge, StorageFull
from copyist.media import MediaKind
from copyist.queue.routing import Priority
from copyist.reasons import is_full

MAX_NAME = 255
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Form:
    """The fields beside the file, as they came."""

    mode: str | None = None
    engine: str | None = None
    languages: str | None = None
    text: str = "auto"
    pages: str | None = None
    priority: str = Priority.NORMAL.value
    metadata: str | None = None
    password: str | None = None
    callback_url: str | None = None
    keep_days: float | None = None
    time_limit: float | None = None
    page_time_limit: float | None = None
    decoding: Decoding = field(default_factory=Decoding)
    batch_id: str | None = None
    job_id: str = field(default_factory=lambda: str(uuid4()))
    unknown: tuple[str, ...] = ()
    """Names of fields that mean nothing here: the job says so, or a slip of the pen would go unseen."""


def submit(service: Service, caller: Caller, upload: UploadFile, form: Form) -> Job:
    """Check, keep and queue one file; raises a ``CopyistError`` for anything a person can mend."""
    return take_in(service, caller, upload.file, upload.filename or "", form)


def take_in(service: Service, caller: Caller, content: IO[bytes], filename: str, form: Form) -> Job:
    """The same for a file however it came, from where ``content`` stands to its end."""
    wishes = wishes_of(service, form)
    beside = {
        "job_id": form.job_id,
        "owner": caller.owner,
        "batch_id": form.batch_id,
        "callback_url": webhooks.checked_url(service, form.callback_url),
        "keep_days": form.keep_days,
        "traceparent": tracing.traceparent(),
        "warnings": (*wishes.warnings, *(f"The field {name} means nothing here." for name in form.unknown)),
    }
    if form.batch_id:
        with service.db.read() as session:
            batches.get(session, form.batch_id, caller.owner)
    with _room_for_it(), _on_disk(content, service.settings.max_bytes) as path:
        kind = media.check_header(path, service.settings.max_pixels)
        with _unlocked(path, kind, form.password) as readable, readable.open("rb") as whole:
            job = _write(service, filename, kind, whole, wishes, beside)
    requests.note(job=job.id)
    send(service, job)
    return job


def wishes_of(service: Service, form: Form) -> Wishes:
    """The form's fields, checked against what the living workers have."""
    return check(
        mode=form.mode or None,
        engine=form.engine or None,
        languages=form.languages,
        text=form.text,
        pages=form.pages or None,
        priority=form.priority,
        metadata=form.metadata,
        time_limit=_shorter(form.time_limit, service.settings.job_time_limit_s),
        page_time_limit=_shorter(form.page_time_limit, service.settings.page_time_limit_s),
        decoding=form.decoding,
        engines=service.engines(),
        backend=service.settings.ocr_backend,
    )


def _shorter(wanted: float | None, most: float) -> float | None:
    """The limit that was asked for, but no longer than the service's own, where it has one."""
    limits = [limit for limit in (wanted, most) if limit]
    return min(limits, default=None)


@contextmanager
def _room_for_it() -> Iterator[None]:
    """A disk that is full is said to be, whichever it is: of temporary files, of the storage or of the database."""
    try:
        yield
    except Exception as error:
        if is_full(error) and not isinstance(error, StorageFull):
            raise StorageFull from error
        raise


@contextmanager
def _on_disk(stream: IO[bytes], max_bytes: int) -> Iterator[Path]:
    """The upload as a file of its own, so that nothing has to hold it in memory."""
    with tempfile.NamedTemporaryFile(prefix="copyist-") as copy:
        shutil.copyfileobj(stream, copy, storage.CHUNK_BYTES)
        copy.flush()
        if copy.tell() > max_bytes:
            raise FileTooLarge(limit_mb=round(max_bytes / 1e6, 1))
        yield Path(copy.name)


@contextmanager
def _unlocked(path: Path, kind: MediaKind, password: str | None) -> Iterator[Path]:
    """A protected PDF without its protection, so that no password is ever kept; anything else as it is."""
    if not password or kind is not MediaKind.PDF or not pdflock.is_locked(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="copyist-") as folder:
        # qpdf takes the whole process with it where it finds no room to write.
        if shutil.disk_usage(folder).free < 2 * path.stat().st_size:
            raise StorageFull
        opened = Path(folder) / "opened.pdf"
        pdflock.decrypt(path, opened, password)
        yield opened


def _write(
    service: Service,
    filename: str,
    kind: MediaKind,
    content: IO[bytes],
    wishes: Wishes,
    beside: Mapping[str, Any],
) -> Job:
    sha256, size = storage.sha256_of(content)
    key = storage.file_key(sha256)
    service.storage.put(key, content)
    with service.db.write() as session:
        job = jobs.create(
            session,
            filename=shown_name(filename, kind),
            sha256=sha256,
            size=size,
            kind=kind.value,
            options=wishes.options,
            labels=wishes.labels,
            priority=wishes.priority.rank,
            queue=wishes.queue.value,
            home_queue=wishes.home_queue.value,
            **beside,
        )
        if job.batch_id is not None:
            # Whoever forgets the batch for having no job waits for this one; if it is gone by now, so is the job.
            batches.get(session, job.batch_id, lock=True)
    # Whoever forgets the last job with these bytes deletes them while holding the file's row, which our row waited for.
    if not service.storage.exists(key):
        content.seek(0)
        service.storage.put(key, content)
    return job


def shown_name(filename: str, kind: MediaKind) -> str:
    """The client's file name, for showing only."""
    return printable(filename) or f"upload{kind.extension}"


def printable(filename: str) -> str:
    """What can be shown of a name: its last part, printable, of bounded length; it may be nothing."""
    last = filename.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(sign for sign in last if sign.isprintable()).strip(". ")[:MAX_NAME]


def send(service: Service, job: Job) -> None:
    """Ring for a job; if the broker is away, leave it to the sweeper."""
    if not service.sender.intake(job.id, queue=job.queue, priority=job.priority):
        with service.db.write() as session:
            jobs.unsent(session, job.id)
