"""``/api/jobs``: submit, list, look, wait, cancel, forget."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, File, Form, Query, Response, UploadFile
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from copyist.api import examples, openapi, uploads
from copyist.api.problems import InvalidRequest
from copyist.api.schemas import JobBody, JobList, job_body
from copyist.api.service import Here, Service
from copyist.db import jobs
from copyist.db.progress import Progress
from copyist.db.states import JOB_ENDED, JobStatus
from copyist.db.tables import Job
from copyist.errors import AlreadyEnded, InvalidOption, NotFound, Unavailable
from copyist.queue.routing import News

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

POLL_AFTER_S = 1
MAX_LIST = 200


def shown(service: Service, session: Session, found: list[Job]) -> list[JobBody]:
    """Jobs with their progress."""
    keep = service.settings.keep_jobs
    progress = jobs.progress(session, [job.id for job in found if job.pages_total is not None])
    return [job_body(job, progress.get(job.id, Progress()), jobs.queue_position(session, job), keep) for job in found]


def look(service: Service, caller: Caller, job_id: str) -> JobBody:
    """One job; raises ``NotFound`` or ``Expired``."""
    with service.db.read() as session:
        return shown(service, session, [jobs.get(session, job_id, caller.sees)])[0]


SUBMITTED = {"headers": openapi.LOCATION | openapi.RETRY_AFTER} | openapi.example(examples.SUBMITTED)
SHOWN = {"headers": {"Retry-After": openapi.RETRY_AFTER["Retry-After"] | {"description": "While it is open."}}}
CANCELLED = openapi.example(examples.CANCELLED)
NO_JOB = openapi.answers(NotFound, Unavailable)


@router.post(
    "",
    status_code=202,
    summary="Submit a file to be read",
    responses=openapi.answers(*openapi.UPLOAD, Unavailable) | {202: SUBMITTED},
)
def submit(
    here: Here,
    response: Response,
    file: Annotated[
        UploadFile,
        File(
            description="PDF, PNG, JPEG, TIFF, WebP, BMP, GIF, AVIF, HEIC, JPEG 2000",
            json_schema_extra={"format": "binary"},
        ),
    ],
    mode: Annotated[
        str | None,
        Form(examples=["document"], description="document, handwriting, formula or paper; else the engine's own"),
    ] = None,
    engine: Annotated[str | None, Form(description="Start the chain here; see /api/engines")] = None,
    languages: Annotated[str | None, Form(examples=["eng+deu"])] = None,
    text: Annotated[str, Form(description="auto, force (always OCR) or only (never OCR)")] = "auto",
    pages: Annotated[str | None, Form(examples=["1-3,5"])] = None,
    priority: Annotated[str, Form(description="interactive, normal or batch")] = "normal",
    password: Annotated[str | None, Form(description="Opens a protected PDF; it is not kept")] = None,
    metadata: Annotated[str | None, Form(description="A JSON object, echoed with the job")] = None,
) -> JobBody:
    """Answers 202 with the job and its `Location` once the file is safe; poll there until `status` is an end state."""
    form = uploads.Form(
        mode=mode,
        engine=engine,
        languages=languages,
        text=text,
        pages=pages,
        priority=priority,
        password=password,
        metadata=metadata,
    )
    job = uploads.submit(here, file, form)
    response.headers["Location"] = f"/api/jobs/{job.id}"
    response.headers["Retry-After"] = str(POLL_AFTER_S)
    with here.db.read() as session:
        return shown(here, session, [job])[0]


@router.get(
    "",
    summary="List jobs, newest first",
    responses=openapi.answers(InvalidOption, InvalidRequest, Unavailable),
)
def newest(
    here: Here,
    limit: Annotated[int, Query(ge=1, le=MAX_LIST)] = 50,
    cursor: str | None = None,
    status: JobStatus | None = None,
) -> JobList:
    """Pages by cursor: pass `next_cursor` back until it is null."""
    with here.db.read() as session:
        found = jobs.newest(
            session, jobs.Filter(statuses=[status] if status else ()), limit=limit + 1, before=_position(cursor)
        )
        more = found[limit - 1] if len(found) > limit else None
        return JobList(jobs=shown(here, session, found[:limit]), next_cursor=_cursor(more) if more else None)


def _cursor(job: Job) -> str:
    return base64.urlsafe_b64encode(f"{job.created_at.isoformat()}|{job.id}".encode()).decode()


def _position(cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    try:
        moment, job_id = base64.urlsafe_b64decode(cursor).decode().split("|")
        at = datetime.fromisoformat(moment)
        if at.tzinfo is None:
            raise ValueError("a time of no zone")
        return at.astimezone(UTC), str(UUID(job_id))
    except (ValueError, OverflowError, binascii.Error) as error:
        raise InvalidOption(value=cursor[:40], option="cursor", allowed="the next_cursor of a list") from error


@router.get(
    "/{job_id}",
    summary="Look at a job, or wait for it",
    responses=openapi.answers(NotFound, InvalidRequest, Unavailable) | {200: SHOWN},
)
async def one(
    here: Here,
    job_id: str,
    response: Response,
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for the job to end")] = 0,
) -> JobBody:
    """Answers 200 in every state. With `wait` the answer comes as soon as the job has ended, or when the time is up."""
    body = await wait_for_end(here, job_id, min(wait, here.settings.wait_max_s))
    if body.status not in JOB_ENDED:
        response.headers["Retry-After"] = str(POLL_AFTER_S)
    return body


async def listen(news: asyncio.Event, seconds: float) -> None:
    """Wait for news, but no longer than ``seconds`` or a second: the bell may stay silent."""
    try:
        await asyncio.wait_for(news.wait(), min(seconds, 1.0))
    except TimeoutError:
        return


@router.delete(
    "/{job_id}",
    status_code=202,
    response_model=JobBody,
    response_description="The job is cancelled",
    summary="Cancel a job, or forget one that has ended",
    responses=NO_JOB | {202: CANCELLED, 204: {"description": "The job had ended and is forgotten"}},
)
def cancel(here: Here, caller: Asks, job_id: str) -> Response | JobBody:
    """Open job: 202, it is cancelled; pages read so far are kept. Ended job: 204, the job and its file are deleted."""
    if not cancel_job(here, caller, job_id):
        with here.db.write() as session:
            jobs.forget(session, job_id, blobs=here.storage, owner=caller.sees)
        return Response(status_code=204)
    return look(here, caller, job_id)


def cancel_job(service: Service, caller: Caller, job_id: str) -> bool:
    """Cancel a job; ``False`` if it has ended. Raises ``NotFound`` or ``Expired``."""
    with service.db.write() as session:
        cancelled = jobs.cancel(session, job_id, caller.sees)
    if cancelled:
        service.sender.ring(job_id, News.ENDED)
    return cancelled


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    summary="Cancel a job, and never forget it",
    responses=openapi.answers(NotFound, Expired, AlreadyEnded, Unavailable) | {202: CANCELLED},
)
def only_cancel(here: Here, caller: Asks, job_id: str) -> JobBody:
    """202 for an open job; 409 for one that has ended, however short a while ago."""
    if not cancel_job(here, caller, job_id):
        raise AlreadyEnded(status=look(here, caller, job_id).status.value)
    return look(here, caller, job_id)
