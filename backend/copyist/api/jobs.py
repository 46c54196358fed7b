"""``/api/jobs``: submit, list, look, wait, cancel, retry, forget."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated
from uuid import UUID, uuid4

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Response

from copyist import errors
from copyist.api import examples, openapi, uploads
from copyist.api.callers import Asks, Caller, Scope, needs
from copyist.api.cursors import Paging
from copyist.api.problems import InvalidRequest
from copyist.api.ratelimits import count_files, has_a_place, has_a_place_if_it_waits
from copyist.api.schemas import NO_NUL, FieldProblem, JobBody, JobList, Moment
from copyist.api.service import Here, Service
from copyist.api.sources import FETCHES, take_in_named
from copyist.api.submissions import Submission, request_body
from copyist.api.synchronous import wait_for_end
from copyist.api.views import cancel_job, look, shown
from copyist.db import forgetting, idempotency, jobs, listing, pages
from copyist.db.states import JOB_ENDED, JobStatus
from copyist.db.tables import Job
from copyist.errors import AlreadyEnded, Expired, InvalidOption, MissingFile, NotFound, Unavailable

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

POLL_AFTER_S = 1
FIRST_PAGES = 4
"""Pages that a retry sends at once; the sweeper sends more where there are workers for them."""
MAX_IDEMPOTENCY_KEY = 255

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=MAX_IDEMPOTENCY_KEY,
        description="The same key with the same request, within 24 hours, gives the job of the first",
    ),
]
Prefer = Annotated[str | None, Header(description="`wait=10`: answer when the job has ended, or after 10 seconds")]

SUBMITTED = {"headers": openapi.LOCATION | openapi.RETRY_AFTER} | openapi.example(examples.SUBMITTED)
ENDED_AT_ONCE = {"model": JobBody, "description": "`Prefer: wait` was asked for, and the job has ended"}
ETAG = {"ETag": {"description": "Send it as If-None-Match to hear only of changes.", "schema": {"type": "string"}}}
SHOWN = {"headers": {"Retry-After": openapi.RETRY_AFTER["Retry-After"] | {"description": "While it is open."}} | ETAG}
NOT_CHANGED = {"description": "Nothing has changed since the ETag in If-None-Match"}
CANCELLED = openapi.example(examples.CANCELLED)


@router.post(
    "",
    status_code=202,
    response_model=JobBody,
    summary="Submit a file to be read",
    dependencies=[needs(Scope.WRITE), has_a_place],
    responses=openapi.answers(
        *openapi.UPLOAD, *openapi.WEBHOOK, *openapi.FETCH, *openapi.IDEMPOTENCY, NotFound, Expired, Unavailable
    )
    | {202: SUBMITTED, 200: ENDED_AT_ONCE},
    openapi_extra=request_body(),
)
async def submit(
    here: Here,
    caller: Asks,
    response: Response,
    sent: Submission,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> JobBody:
    """Answers 202 with the job and its `Location` once the file is safe; poll there until `status` is an end state."""
    fields = sent.fields
    if len(sent.files) > 1:
        raise InvalidRequest(
            [FieldProblem(pointer="/body/file", detail="One file at a time; see /api/batches.")], fields="file"
        )
    if sent.files and fields.source:
        raise InvalidRequest(
            [FieldProblem(pointer="/body/source", detail="Send a file, or name one by source.")], fields="source"
        )
    if not sent.files and not fields.source:
        raise MissingFile(field="file")

    def take_in(job_id: str) -> None:
        count_files(here, caller, 1, response)
        form = replace(fields.form(fields.batch), job_id=job_id)
        if fields.source:
            take_in_named(here, caller, fields.source, form, filename=fields.filename or "")
        else:
            uploads.submit(here, caller, sent.files[0], form)

    work = partial(once, here, caller, idempotency_key, sent.fingerprint, take_in)
    job_id = await to_thread.run_sync(work, limiter=FETCHES if fields.source else None)
    body = await _wait_as_preferred(here, caller, job_id, prefer, response)
    response.headers["Location"] = body.links.self
    if body.status not in JOB_ENDED:
        response.headers["Retry-After"] = str(POLL_AFTER_S)
    return body


def once(
    service: Service, caller: Caller, key: str | None, fingerprint: Callable[[], str], make: Callable[[str], None]
) -> str:
    """Make something under a new id, and give the id; under an ``Idempotency-Key`` only the first time."""
    new = str(uuid4())
    if key is None:
        make(new)
        return new
    seen = fingerprint()
    with service.db.write() as session:
        known = idempotency.begin(session, caller.owner, key, seen, new)
    if known is not None:
        return known
    try:
        make(new)
    except BaseException:
        with service.db.write() as session:
            idempotency.give_up(session, caller.owner, key, new)
        raise
    with service.db.write() as session:
        idempotency.done(session, caller.owner, key, new)
    return new


async def _wait_as_preferred(
    service: Service, caller: Caller, job_id: str, prefer: str | None, response: Response
) -> JobBody:
    """The job at once, or at its end where the client prefers to wait (RFC 7240)."""
    wish = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})", prefer or "", re.IGNORECASE)
    seconds = min(int(wish[1]), service.settings.wait_max_s) if wish else 0
    body = await wait_for_end(service, caller, job_id, seconds)
    if wish:
        response.headers["Preference-Applied"] = f"wait={seconds:g}"
        if body.status in JOB_ENDED:
            response.status_code = 200
    return body


@router.get(
    "",
    summary="List jobs, newest first",
    dependencies=[needs(Scope.READ)],
    responses=openapi.answers(InvalidOption, InvalidRequest, Unavailable),
)
def newest(
    here: Here,
    caller: Asks,
    paging: Paging,
    status: Annotated[list[JobStatus] | None, Query(description="Any of these states")] = None,
    batch: UUID | None = None,
    created_after: Moment | None = None,
    created_before: Moment | None = None,
    filename: Annotated[str | None, Query(max_length=255, pattern=NO_NUL, description="A part of the name")] = None,
    metadata: Annotated[list[str] | None, Query(examples=["shelf:3"], description="A field and its value")] = None,
) -> JobList:
    """Pages by cursor: pass `next_cursor` back until it is null, or follow the `Link` header."""
    wanted = listing.Filter(
        owner=caller.sees,
        statuses=status or (),
        batch_id=str(batch) if batch else None,
        created_after=created_after,
        created_before=created_before,
        filename=filename,
        labels=dict(_label(text) for text in metadata or ()),
    )
    with here.db.read() as session:
        found = listing.newest(session, wanted, limit=paging.limit, before=paging.before)
        some, following = paging.cut(found)
        return JobList(jobs=shown(here, session, some), next_cursor=following)


def _label(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name or "\0" in text:
        raise InvalidOption(value=text[:40], option="metadata", allowed="field:value")
    return name, value


@router.get(
    "/{job_id}",
    response_model=JobBody,
    summary="Look at a job, or wait for it",
    dependencies=[needs(Scope.READ), has_a_place_if_it_waits],
    responses=openapi.answers(NotFound, Expired, InvalidRequest, errors.TooManyAtOnce, Unavailable)
    | {200: SHOWN, 304: NOT_CHANGED},
)
async def one(
    here: Here,
    caller: Asks,
    job_id: str,
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for the job to end")] = 0,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Answers 200 in every state. With `wait` the answer comes as soon as the job has ended, or when the time is up."""
    body = await wait_for_end(here, caller, job_id, min(wait, here.settings.wait_max_s))
    content = body.model_dump_json()
    # The moment of an estimate moves on all the time; that alone is no change.
    steady = body.model_copy(update={"eta": None}).model_dump_json()
    etag = f'W/"{hashlib.sha256(steady.encode()).hexdigest()[:20]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if body.status not in JOB_ENDED:
        headers["Retry-After"] = str(POLL_AFTER_S)
    if etag_matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)


def etag_matches(if_none_match: str | None, etag: str) -> bool:
    """Whether a client has what ``etag`` names (RFC 9110, weak comparison)."""
    known = [one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")]
    return "*" in known or etag.removeprefix("W/") in known


@router.delete(
    "/{job_id}",
    status_code=202,
    response_model=JobBody,
    response_description="The job is cancelled",
    summary="Cancel a job, or forget one that has ended",
    dependencies=[needs(Scope.WRITE)],
    responses=openapi.answers(NotFound, Expired, errors.NotEnded, Unavailable)
    | {202: CANCELLED, 204: {"description": "The job had ended and is forgotten"}},
)
def cancel(here: Here, caller: Asks, job_id: str) -> Response | JobBody:
    """Open job: 202, it is cancelled; pages read so far are kept. Ended job: 204, the job and its file are deleted, and
    what was corrected in it, which outlives a job that expires: there 204, too, the first time.
    """
    try:
        is_cancelled = cancel_job(here, caller, job_id)
    except (Expired, NotFound):
        is_cancelled = False
    if not is_cancelled:
        with here.db.write() as session:
            forgetting.forget(session, job_id, blobs=here.storage, owner=caller.sees)
        return Response(status_code=204)
    return look(here, caller, job_id)


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    summary="Cancel a job, and never forget it",
    dependencies=[needs(Scope.WRITE)],
    responses=openapi.answers(NotFound, Expired, AlreadyEnded, Unavailable) | {202: CANCELLED},
)
def only_cancel(here: Here, caller: Asks, job_id: str) -> JobBody:
    """202 for an open job; 409 for one that has ended, however short a while ago."""
    if not cancel_job(here, caller, job_id):
        raise AlreadyEnded(status=look(here, caller, job_id).status.value)
    return look(here, caller, job_id)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    summary="Read again what failed",
    dependencies=[needs(Scope.WRITE)],
    responses=openapi.answers(NotFound, Expired, errors.NotEnded, errors.NothingToRetry, Unavailable)
    | {202: openapi.example(examples.SUBMITTED)},
)
def retry(here: Here, caller: Asks, job_id: str) -> JobBody:
    """Only pages that failed, or were skipped when the job was cancelled, are read; those that were read stay."""
    with here.db.write() as session:
        job = jobs.retry(session, job_id, caller.sees)
        numbers = pages.take_to_send(session, job_id, FIRST_PAGES)
    _send(here, job, numbers)
    return look(here, caller, job_id)


def _send(service: Service, job: Job, numbers: list[int]) -> None:
    if job.pages_total is None:
        uploads.send(service, job)
    else:
        service.sender.pages(job.id, numbers, queue=job.queue, priority=job.priority)
