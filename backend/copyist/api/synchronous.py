"""Routes that answer when the file is read: the job is made all the same, and the route waits for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from copyist.api import problems
from copyist.api.callers import Caller
from copyist.api.schemas import JobBody
from copyist.api.service import Service
from copyist.api.views import cancel_job, look
from copyist.api.waiting import LOOK_EVERY_S, listen
from copyist.db.states import JOB_ENDED, JOB_OPEN, JobStatus
from copyist.errors import CopyistError, NoResult, OnlyPlaceholder, StillReading
from copyist.queue.routing import News


async def wait_for_end(service: Service, caller: Caller, job_id: str, seconds: float) -> JobBody:
    """The job once it has ended, or as it is after ``seconds``."""
    until = time.monotonic() + seconds
    async with service.bell.hears(job_id, News.ENDED) as news:
        while True:
            news.clear()
            body = await run_in_threadpool(look, service, caller, job_id)
            left = until - time.monotonic()
            if body.status in JOB_ENDED or left <= 0:
                return body
            await listen(news, left)


async def wait_unless_gone(
    service: Service, caller: Caller, request: Request, job_id: str, seconds: float
) -> JobBody | None:
    """The same for a client that knows the job by nothing but this call: where it hangs up, the job is cancelled.

    ``None`` for a client that is gone. The request's body must have been read.
    """
    bodies = await wait_for_all_unless_gone(service, caller, request, [job_id], seconds)
    return bodies[0] if bodies else None


async def wait_for_all_unless_gone(
    service: Service, caller: Caller, request: Request, job_ids: Sequence[str], seconds: float
) -> list[JobBody] | None:
    """The same for several jobs: all of them at their end, or as they are after ``seconds`` in all."""
    until = time.monotonic() + seconds
    bodies = []
    for job_id in job_ids:
        while True:
            left = max(0.0, until - time.monotonic())
            body = await wait_for_end(service, caller, job_id, min(LOOK_EVERY_S, left))
            if body.status in JOB_ENDED or time.monotonic() >= until:
                break
            if await request.is_disconnected():
                await run_in_threadpool(cancel_all, service, caller, job_ids)
                return None
        bodies.append(body)
    return bodies


def cancel_all(service: Service, caller: Caller, job_ids: Sequence[str]) -> None:
    """Cancel those of them that are open."""
    for job_id in job_ids:
        with suppress(CopyistError):
            cancel_job(service, caller, job_id)


def failure(service: Service, job: JobBody) -> JSONResponse | None:
    """The problem of a job that gave no text, with the way to what there is; ``None`` for one that did.

    A text that only the mock engine made is no text.
    """
    if job.status is JobStatus.FAILED and job.error:
        response = problems.of_job(job.error.code, job.error.detail)
    elif job.status in JOB_OPEN:
        seconds = service.settings.wait_max_s
        response = problems.of(StillReading(job=job.id, state=job.status.value, seconds=seconds))
    elif job.status is not JobStatus.COMPLETED:
        response = problems.of(NoResult(status=job.status.value))
    elif job.degraded:
        response = problems.of(OnlyPlaceholder(job=job.id))
    else:
        return None
    response.headers["Location"] = job.links.self
    return response


def nobody_there() -> Response:
    """What is answered to a client that is gone; the number is for the log, as nginx has it."""
    return Response(status_code=499)
