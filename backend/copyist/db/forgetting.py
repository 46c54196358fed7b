"""Jobs that are deleted, with all that is theirs alone: by somebody, or because their time is over."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import delete, exists, select, tuple_
from sqlalchemy.orm import Session

from copyist.db import corrections, readings
from copyist.db.jobs import get
from copyist.db.states import JOB_OPEN
from copyist.db.tables import Delivery, File, GoneJob, Job, Page, now
from copyist.errors import Expired, NotEnded, NotFound


def over_since(
    session: Session, moment: datetime, *, limit: int, after: tuple[datetime, str] | None = None
) -> list[tuple[datetime, str]]:
    """Creation time and id of jobs that had ended by ``moment``, oldest first, from after the last one seen.

    Those that have a time of their own are not among them: see ``over_by_themselves``.
    """
    # No job ends before it was made: the first condition keeps the search to the old end of an index.
    over = select(Job.created_at, Job.id).where(Job.created_at < moment, Job.finished_at < moment)
    query = over.where(Job.keep_days.is_(None)).order_by(Job.created_at, Job.id).limit(limit)
    if after is not None:
        query = query.where(tuple_(Job.created_at, Job.id) > after)
    return [(created_at, job_id) for created_at, job_id in session.execute(query)]


def over_by_themselves(
    session: Session, *, limit: int, after: tuple[datetime, str] | None = None
) -> list[tuple[datetime, str]]:
    """The same of jobs whose own time is over: when that was, and their ids."""
    query = select(Job.delete_at, Job.id).where(Job.delete_at < now()).order_by(Job.delete_at, Job.id).limit(limit)
    if after is not None:
        query = query.where(tuple_(Job.delete_at, Job.id) > after)
    return [(moment, job_id) for moment, job_id in session.execute(query) if moment is not None]


class Blobs(Protocol):
    """Where the bytes are that belong to rows."""

    def delete_file(self, sha256: str) -> None:
        """Delete a file that is nobody's now."""

    def delete_results(self, job_id: str) -> None:
        """Delete what was made of a job's readings."""

    def delete_lines(self, *sha256: str) -> None:
        """Delete pictures of lines that are nobody's now."""


def forget(session: Session, job_id: str, *, blobs: Blobs, owner: str | None = None) -> None:
    """Delete an ended job with all that is its own, also what people corrected in it; of one that expired that is left.

    Raises ``NotFound``, ``Expired`` and ``NotEnded``.
    """
    try:
        job = get(session, job_id, owner, lock=True)
    except (Expired, NotFound):
        # Even the id of an expired job is forgotten some day; corrections say themselves whose they are.
        if not corrections.are_left(session, job_id, owner):
            raise
    else:
        if job.status in JOB_OPEN:
            raise NotEnded(status=job.status.value)
        _drop(session, job, blobs)
    if pictures := corrections.forget(session, job_id):
        blobs.delete_lines(*pictures)


def expire(session: Session, job_id: str, keep: timedelta | None, *, blobs: Blobs) -> bool:
    """Forget a job but for its id, so that who asks hears that it expired; what was corrected in it is learned from.

    ``False`` if its time is not over: it may have been read again since somebody saw that it was.
    """
    job = session.get(Job, job_id, with_for_update=True)
    if job is None or job.finished_at is None:
        return False
    over_at = job.delete_at if job.keep_days is not None else job.finished_at + keep if keep else None
    if over_at is None or over_at > now():
        return False
    session.add(GoneJob(id=job.id, owner=job.owner))
    _drop(session, job, blobs)
    return True


def _drop(session: Session, job: Job, blobs: Blobs) -> None:
    """Delete a job (its row locked), its pages, its results, and readings nobody else uses.

    The bytes are deleted inside of the transaction: an upload of the same bytes waits for that, and then stores them
    again; where it fails, the job stays.
    """
    job_id = job.id
    session.execute(delete(Delivery).where(Delivery.job_id == job_id))
    # Of several jobs with one file, forgotten at once, each would see the others: so one waits for the other here.
    file = session.get_one(File, job.file_sha256, with_for_update=True)
    ids = list(session.scalars(select(Page.reading_id).where(Page.job_id == job_id, Page.reading_id.is_not(None))))
    session.execute(delete(Page).where(Page.job_id == job_id))
    session.delete(job)
    session.flush()
    readings.drop_unused(session, [found for found in ids if found is not None])
    if not session.scalar(select(exists().where(Job.file_sha256 == file.sha256))):
        session.delete(file)
        session.flush()
        blobs.delete_file(file.sha256)
    blobs.delete_results(job_id)


def forget_gone(session: Session, before: datetime) -> None:
    """Forget even the ids of jobs that expired long ago."""
    session.execute(delete(GoneJob).where(GoneJob.gone_at < before))
