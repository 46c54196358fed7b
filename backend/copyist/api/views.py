"""Jobs as callers see them, whatever route they ask by."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from copyist.api.callers import Caller
from copyist.api.schemas import JobBody, job_body
from copyist.api.service import Service
from copyist.db import jobs, listing
from copyist.db.progress import Progress
from copyist.db.tables import Job
from copyist.queue.routing import News


def shown(service: Service, session: Session, found: Sequence[Job]) -> list[JobBody]:
    """Jobs with their progress."""
    keep = service.settings.keep_jobs
    progress = jobs.progress(session, [job.id for job in found if job.pages_total is not None])
    positions = listing.queue_positions(session, found)

    def body(job: Job) -> JobBody:
        done, position = progress.get(job.id, Progress()), positions.get(job.id)
        return job_body(job, done, position, service.paces.eta(session, job, done, position), keep)

    return [body(job) for job in found]


def look(service: Service, caller: Caller, job_id: str) -> JobBody:
    """One job; raises ``NotFound`` or ``Expired``."""
    with service.db.read() as session:
        return shown(service, session, [jobs.get(session, job_id, caller.sees)])[0]


def cancel_job(service: Service, caller: Caller, job_id: str) -> bool:
    """Cancel a job; ``False`` if it has ended. Raises ``NotFound`` or ``Expired``."""
    with service.db.write() as session:
        cancelled = jobs.cancel(session, job_id, caller.sees)
    if cancelled:
        service.sender.ring(job_id, News.ENDED)
    return cancelled
