"""What was read, as a file: made once in each format, kept, and handed out as a stream."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Annotated
from urllib.parse import quote
from weakref import WeakValueDictionary

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Header, Query, Response
from fastapi import Path as InPath
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from copyist import document, exports, storage
from copyist.api import examples, openapi
from copyist.api.callers import Asks, Caller, Scope, needs
from copyist.api.jobs import NOT_CHANGED, etag_matches
from copyist.api.service import Here, Service
from copyist.corrections import reword
from copyist.db import corrections, jobs
from copyist.db.states import JOB_OPEN, PageStatus
from copyist.db.tables import Job, Page, Reading
from copyist.errors import (
    CopyistError,
    DamagedFile,
    Encrypted,
    Expired,
    FileGone,
    InvalidOption,
    NoPages,
    NoResult,
    NotAcceptable,
    NotFound,
    NotReady,
    OnePageOnly,
    PagesOutOfRange,
    Unavailable,
)
from copyist.exports import Export
from copyist.exports.material import Material
from copyist.media import MediaKind
from copyist.pageranges import parse_pages

router = APIRouter(prefix="/api/jobs/{job_id}", tags=["results"], dependencies=[needs(Scope.READ)])

MAKERS = CapacityLimiter(2)
"""Threads that make results: more at once would only be in each other's way, and in that of all other requests."""
PAGES_AT_ONCE = 16
"""Readings that are held at a time."""
SPOOL_BYTES = 4_000_000
"""A result that is larger is made on the disk."""
_TURNS: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
"""Who asks for a result that is being made waits for that one."""
GUARDED = {
    # What somebody wrote on a page must not be taken for a page by a browser.
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}

log = logging.getLogger(__name__)

RESULT = openapi.file(
    "The result",
    {kind: examples.RESULTS.get(kind) for kind in (one.media_type.split(";")[0] for one in exports.EXPORTS.values())},
)
NO_RESULT = openapi.answers(
    NotFound,
    Expired,
    NotReady,
    NoResult,
    NoPages,
    OnePageOnly,
    InvalidOption,
    PagesOutOfRange,
    Encrypted,
    DamagedFile,
    FileGone,
    Unavailable,
)
Pages = Annotated[str | None, Query(examples=["1-3,5"], description="Only these pages")]
IfNoneMatch = Annotated[str | None, Header()]


@router.get(
    "/result.{extension}",
    summary="The whole result in one format",
    response_class=Response,
    responses=NO_RESULT | {200: RESULT, 304: NOT_CHANGED},
)
async def result(
    here: Here,
    caller: Asks,
    job_id: str,
    extension: Annotated[str, InPath(json_schema_extra={"enum": list(exports.EXPORTS)})],
    pages: Pages = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """All pages that were read, in order. It is made when it is first asked for, and then kept with the job."""
    export = exports.find_export(extension)
    return await _answer(_Wish(here, caller, job_id, export, pages, if_none_match))


@router.get(
    "/result",
    summary="The whole result in the format that is accepted",
    response_class=Response,
    responses=NO_RESULT | openapi.answers(NotAcceptable) | {200: RESULT, 304: NOT_CHANGED},
)
async def negotiated(
    here: Here,
    caller: Asks,
    job_id: str,
    pages: Pages = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "*/*",
    if_none_match: IfNoneMatch = None,
) -> Response:
    """By the `Accept` header; plain text where anything is welcome."""
    export = _accepted(accept)
    response = await _answer(_Wish(here, caller, job_id, export, pages, if_none_match))
    response.headers["Vary"] = "Accept"
    return response


def _accepted(accept: str) -> Export:
    """The first format of those the client likes best; raises ``NotAcceptable``."""
    ranges: list[tuple[float, str]] = []
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        try:
            ranges.append((-float(quality), kind))
        except ValueError:
            continue
    for less, wanted in sorted(ranges, key=lambda one: one[0]):
        for export in exports.EXPORTS.values():
            own = export.media_type.split(";")[0]
            if less < 0 and wanted in (own, f"{own.split('/')[0]}/*", "*/*", ""):
                return export
    raise NotAcceptable(allowed=", ".join(dict.fromkeys(one.media_type for one in exports.EXPORTS.values())))


@dataclass(frozen=True)
class _Wish:
    """Which result, for whom, and what the client has of it already."""

    service: Service
    caller: Caller
    job_id: str
    export: Export
    pages: str | None
    if_none_match: str | None


async def _answer(wish: _Wish) -> Response:
    service, export = wish.service, wish.export
    job, numbers = await run_in_threadpool(_ended, service, wish.caller, wish.job_id, wish.pages)
    name = hashlib.sha256(f"{job.id} {job.changes} {export.extension} {wish.pages}".encode()).hexdigest()[:20]
    headers = {
        "ETag": f'"{name}"',
        "Cache-Control": "private, no-cache",
        "Content-Disposition": _disposition(job.filename, export),
        **GUARDED,
    }
    if etag_matches(wish.if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    if wish.pages is None:
        size, content = await _kept(service, job, export, numbers)
    else:
        size, content = await to_thread.run_sync(_made, service, job, export, numbers, limiter=MAKERS)
    return Download(content, size, media_type=export.media_type, headers=headers)


async def _kept(service: Service, job: Job, export: Export, numbers: Sequence[int]) -> tuple[int, Generator[bytes]]:
    """The size of a whole result and its bytes: as it was kept, else made and kept now."""
    key = storage.result_key(job.id, job.changes, export.extension)
    async with _TURNS.setdefault(key, asyncio.Lock()):
        found = await run_in_threadpool(service.storage.open, key)
        if found is None:
            found = await to_thread.run_sync(_made, service, job, export, numbers, key, limiter=MAKERS)
    return found


def _made(
    service: Service, job: Job, export: Export, numbers: Sequence[int], keep_as: str | None = None
) -> tuple[int, Generator[bytes]]:
    made = make(service, job, export, numbers)
    size = made.tell()
    if keep_as is not None:
        made.seek(0)
        _keep(service, job, keep_as, made)
    made.seek(0)
    return size, chunks(made)


def _keep(service: Service, job: Job, key: str, made: IO[bytes]) -> None:
    """Keep a result for the next time. One that cannot be kept is no reason not to hand it out."""
    try:
        service.storage.put(key, made)
        with service.db.write() as session:
            # Behind the lock nobody is just about to forget the job, which would leave this result behind for ever.
            found = session.get(Job, job.id, with_for_update=True)
            changes = found.changes if found is not None else None
        service.storage.delete_results(job.id, but=changes)
    except (CopyistError, DBAPIError) as error:
        log.warning("%s could not be kept: %s", key, error)


class Download(StreamingResponse):
    """Bytes on their way to a client; what they come from is closed as soon as it has gone away."""

    def __init__(self, content: Generator[bytes], size: int, *, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(content, media_type=media_type, headers={**headers, "Content-Length": str(size)})
        self._content = content

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Send it. Left to the garbage collector, what is abandoned would stay open for minutes."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._content.close()


def _disposition(filename: str, export: Export) -> str:
    """A name for the file where it is saved; formats that a browser shows are shown."""
    kind = "inline" if export.is_text else "attachment"
    name = f"{PurePosixPath(filename).stem}.{export.extension}"
    return f"{kind}; filename*=UTF-8''{quote(name, safe='')}"


def chunks(content: IO[bytes]) -> Generator[bytes]:
    """The bytes of a file from where it stands, some at a time; it is closed at the end."""
    with content:
        while chunk := content.read(storage.CHUNK_BYTES):
            yield chunk


def _ended(service: Service, caller: Caller, job_id: str, pages: str | None) -> tuple[Job, list[int]]:
    """The job and the numbers of the pages that were asked for; raises ``NotReady`` or ``NoResult``."""
    with service.db.read() as session:
        job = jobs.get(session, job_id, caller.sees)
    if job.status in JOB_OPEN:
        raise NotReady(status=job.status.value)
    numbers, is_read = numbers_of(service, job, pages)
    if not is_read:
        raise NoResult(status=job.status.value)
    return job, numbers


def numbers_of(service: Service, job: Job, pages: str | None = None) -> tuple[list[int], bool]:
    """The numbers of a job's pages, or of those asked for that it has, and whether any of them was read."""
    with service.db.read() as session:
        query = select(Page.number, Page.status).where(Page.job_id == job.id).order_by(Page.number)
        rows = session.execute(query).all()
    if pages is not None:
        wanted = set(parse_pages(pages, rows[-1].number if rows else 0))
        rows = [row for row in rows if row.number in wanted]
    return [row.number for row in rows], any(row.status == PageStatus.DONE for row in rows)


def make(service: Service, job: Job, export: Export, numbers: Sequence[int]) -> IO[bytes]:
    """A job's result in one format: a file that is open at its end and goes away when it is closed."""
    # Closed by whoever reads it to its end, or with the last reference to it.
    into = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES, prefix="copyist-")  # noqa: SIM115
    try:
        export.write(material(service, job, numbers), into)
    except FileNotFoundError as error:
        into.close()
        # It was there when it was opened: the job was forgotten meanwhile, or this machine's copy had to make room.
        raise Unavailable(what="The storage") from error
    except BaseException:
        into.close()
        raise
    return into


def material(service: Service, job: Job, numbers: Sequence[int]) -> Material:
    """What the exports need to know of a job; readings are fetched some at a time."""
    with service.db.read() as session:
        kind = MediaKind(jobs.kind_of(session, job))
    return Material(
        pages=lambda: read_pages(service, job.id, numbers),
        numbers=numbers,
        filename=job.filename,
        uploaded=job.created_at.date(),
        kind=kind,
        original=lambda: _original(service, job),
    )


def _original(service: Service, job: Job) -> AbstractContextManager[Path]:
    @contextmanager
    def opened() -> Iterator[Path]:
        with ExitStack() as stack:
            try:
                path = stack.enter_context(service.storage.local(storage.file_key(job.file_sha256)))
            except FileNotFoundError as error:
                raise FileGone from error
            yield path

    return opened()


def read_pages(service: Service, job_id: str, numbers: Sequence[int]) -> Iterator[document.Page]:
    """The pages that were read, with the words that people put right, without lines where nothing stands."""
    for page, texts in pages_and_texts(service, job_id, numbers):
        yield reword.shown(page, texts)


def pages_and_texts(
    service: Service, job_id: str, numbers: Sequence[int]
) -> Iterator[tuple[document.Page, Mapping[int, str]]]:
    """The pages as they were read, each with what people say of its lines, by their numbers."""
    read = select(Page.number, Reading.page).join(Page, Page.reading_id == Reading.id)
    for start in range(0, len(numbers), PAGES_AT_ONCE):
        some = numbers[start : start + PAGES_AT_ONCE]
        wanted = read.where(Page.job_id == job_id, Page.status == PageStatus.DONE, Page.number.in_(some))
        try:
            with service.db.read() as session:
                found = list(session.execute(wanted.order_by(Page.number)))
                texts = corrections.texts(session, job_id, [number for number, _ in found])
        except DBAPIError as error:
            # For an archive this is no fault of one format.
            raise Unavailable(what="The database") from error
        for number, page in found:
            yield document.Page.model_validate_json(page), texts.get(number, {})


def read_document(service: Service, caller: Caller, job_id: str, pages: str | None = None) -> document.Document:
    """What was read of an ended job, all at once; raises ``NotFound``, ``Expired``, ``NotReady`` or ``NoResult``."""
    job, numbers = _ended(service, caller, job_id, pages)
    return document.Document(pages=tuple(read_pages(service, job.id, numbers)))
