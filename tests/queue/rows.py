"""Rows as an upload and its intake leave them, without a file behind them."""

from __future__ import annotations

from uuid import uuid4

from copyist.db import jobs
from copyist.queue.context import Context


def make_job(
    context: Context,
    count: int = 0,
    *,
    job_id: str | None = None,
    kind: str = "pdf",
    queue: str = "cpu",
    sha256: str = "b" * 64,
) -> str:
    """Write down a job, and with ``count`` its pages, as if intake were over; gives the job's id."""
    job_id = job_id or str(uuid4())
    with context.db.write() as session:
        jobs.create(
            session,
            job_id=job_id,
            filename="f",
            sha256=sha256,
            size=1,
            kind=kind,
            options={},
            labels={},
            priority=3,
            queue=queue,
        )
    if count:
        with context.db.write() as session:
            job = jobs.claim_intake(session, job_id, token="t", lease_s=30, max_attempts=3)
            assert job is not None
            jobs.open_pages(session, job, range(1, count + 1))
    return job_id
