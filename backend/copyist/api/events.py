"""``/api/jobs/{id}/events``: a job as it goes, as server-sent events that can be taken up again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from starlette.concurrency import run_in_threadpool

from copyist.api import callers, examples, openapi
from copyist.api.callers import Asks, Caller, Scope, needs
from copyist.api.problems import InvalidRequest
from copyist.api.ratelimits import has_a_place
from copyist.api.schemas import JobBody, JobError, PageEvent
from copyist.api.service import Here, Service
from copyist.api.views import shown
from copyist.api.waiting import listen
from copyist.db import jobs
from copyist.db.events import Settled, changes_of, settled_since
from copyist.db.states import JOB_ENDED
from copyist.errors import CopyistError, Expired, NotFound, TooManyAtOnce, Unavailable
from copyist.queue.routing import News

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

KEEP_ALIVE_S = 15.0
MOST_AT_ONCE = 200
LAST_CHANGE = 2**31 - 1
EVENT = {
    "type": "object",
    "description": "One event of the stream; `data` is a JobBody or a PageEvent as JSON.",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["job", "page"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string"},
    },
}
STREAM = {
    "description": "Events `job` (the whole job, at first, with each change of its status, and at the end) and `page` "
    "(one page that was settled). After a lost connection send the last `id` as Last-Event-ID.",
    "content": {"text/event-stream": {"schema": EVENT, "example": examples.EVENTS}},
}
OVER = {"description": "The job has ended, and Last-Event-ID was the last event: do not connect again"}


@dataclass(frozen=True)
class _Heard:
    """A job as it is, and what was settled of it since ``change``."""

    body: JobBody
    changes: int
    settled: list[Settled]


@router.get(
    "/{job_id}/events",
    response_class=Response,
    summary="Follow a job",
    dependencies=[needs(Scope.READ), has_a_place],
    responses=openapi.answers(NotFound, Expired, InvalidRequest, TooManyAtOnce, Unavailable) | {200: STREAM, 204: OVER},
)
async def events(
    here: Here, caller: Asks, request: Request, job_id: str, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Server-sent events until the job has ended. Each page comes once, in the order they were settled."""
    seen = (
        min(int(last_event_id), LAST_CHANGE)
        if last_event_id and last_event_id.isascii() and last_event_id.isdigit()
        else 0
    )
    first = await run_in_threadpool(_hear, here, caller, job_id, seen)
    if first.body.status in JOB_ENDED and 0 < first.changes <= seen:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return EventSourceResponse(_stream(here, caller, request, first, seen), headers=headers)


def _hear(service: Service, caller: Caller, job_id: str, change: int) -> _Heard:
    """The job, and what was settled after ``change``."""
    with service.db.read() as session:
        job = jobs.get(session, job_id, caller.sees)
        settled = settled_since(session, job_id, change, limit=MOST_AT_ONCE)
        return _Heard(shown(service, session, [job])[0], job.changes, settled)


def _hear_more(service: Service, caller: Caller, heard: _Heard, change: int) -> _Heard:
    """The same after ``heard``: mostly nothing, which costs one look at a primary key."""
    with service.db.read() as session:
        changes = changes_of(session, heard.body.id)
    if changes == heard.changes and len(heard.settled) < MOST_AT_ONCE:
        return replace(heard, settled=[])
    return _hear(service, caller, heard.body.id, change)


async def _stream(service: Service, caller: Caller, request: Request, heard: _Heard, seen: int) -> AsyncIterator[bytes]:
    job_id, status, quiet_since = heard.body.id, None, time.monotonic()
    async with service.bell.hears(job_id, News.PAGE, News.ENDED) as news:
        while True:
            news.clear()
            over = heard.body.status in JOB_ENDED and len(heard.settled) < MOST_AT_ONCE
            if heard.body.status is not status and not over:
                status = heard.body.status
                yield _job_event(heard.body)
            for page in heard.settled:
                seen = page.change
                yield _page_event(page)
                quiet_since = time.monotonic()
            if over:
                yield _job_event(heard.body, heard.changes)
                return
            if time.monotonic() - quiet_since > KEEP_ALIVE_S:
                yield KEEPALIVE_COMMENT
                quiet_since = time.monotonic()
            if len(heard.settled) < MOST_AT_ONCE:
                await listen(news, KEEP_ALIVE_S)
            try:
                await callers.still_good(service, request)
                heard = await run_in_threadpool(_hear_more, service, caller, heard, seen)
            except (CopyistError, DBAPIError, NoConnectionFree):
                # The job is forgotten, the key revoked, or the database away: who connects again is told which.
                return


def _job_event(body: JobBody, change: int | None = None) -> bytes:
    return format_sse_event(event="job", data_str=body.model_dump_json(), id=None if change is None else str(change))


def _page_event(page: Settled) -> bytes:
    error = JobError(code=page.error_code, detail=page.error_detail or "") if page.error_code else None
    event = PageEvent(
        number=page.number, status=page.status, engine=page.engine, confidence=page.confidence, error=error
    )
    return format_sse_event(event="page", data_str=event.model_dump_json(), id=str(page.change))
