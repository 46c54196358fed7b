"""Routes that answer when the file is read: the job is made all the same, and the route waits for it."""

from __future__ import annotations

import time
from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from copyist.api.callers import Caller
from copyist.api.jobs import cancel_job, listen, look
from copyist.api.schemas import JobBody
from copyist.api.service import Service
from copyist.db.states import JOB_ENDED
from copyist.errors import CopyistError
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
    until = time.monotonic() + seconds
    while True:
        body = await wait_for_end(service, caller, job_id, min(1.0, max(0.0, until - time.monotonic())))
        if body.status in JOB_ENDED or time.monotonic() >= until:
            return body
        if await request.is_disconnected():
            with suppress(CopyistError):
                await run_in_threadpool(cancel_job, service, caller, job_id)
            return None
