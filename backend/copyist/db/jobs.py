"""Jobs: made, claimed by intake, closed by their last page, cancelled, forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, exists, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from copyist.db import readings
from copyist.db.insert import insert
from copyist.db.progress import Progress, progress_of
from copyist.db.states import PAGE_OPEN, JobStatus, PageStatus, before_job
from copyist.db.tables import File, Job, Page, now
from copyist.errors import CopyistError, IntakeCrashed, NoPageRead, NotFound


def create(
    session: Session,
    *,
    job_id: str,
    filename: str,
    sha256: str,
    size: int,
    kind: str,
    options: Mapping[str, Any],
    labels: Mapping[str, Any],
    priority: int,
    queue: str,
    home_queue: str = "",
    warnings: Sequence[str] = (),
) -> Job:
    """Write down an upload. The file's row is shared by all jobs with the same bytes.

    ``home_queue`` is where its pages belong, when that is not the queue that they are sent to now.
    """
    file = insert(session, File).values(sha256=sha256, size=size, kind=kind)
    # Written even where it is there: so this waits for whoever is just forgetting the last job with the same bytes.
    session.execute(file.on_conflict_do_update(index_elements=[File.sha256], set_={"size": size}))
    job = Job(
        id=job_id,
        filename=filename,
        file_sha256=sha256,
        options=dict(options),
        labels=dict(labels),
        priority=priority,
        queue=queue,
        home_queue=home_queue or queue,
        warnings=list(warnings),
        sent_at=now(),
    )
    session.add(job)
    session.flush()
    return job


def is_id(text: str) -> bool:
    """Whether ``text`` is an id as jobs have them: databases differ in how they take other things."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def get(session: Session, job_id: str) -> Job:
    """The job; raises ``NotFound``, also for what cannot be an id."""
    job = session.get(Job, job_id) if is_id(job_id) else None
    if job is None:
        raise NotFound(what="job")
    return job


def kind_of(session: Session, job: Job) -> str:
    """The media kind of the job's file."""
    return session.scalars(select(File.kind).where(File.sha256 == job.file_sha256)).one()


def size_of(session: Session, job: Job) -> int:
    """The length of the job's file in bytes."""
    return session.scalars(select(File.size).where(File.sha256 == job.file_sha256)).one()


def newest(
    session: Session, *, limit: int, before: tuple[datetime, str] | None = None, status: JobStatus | None = None
) -> list[Job]:
    """Jobs, newest first, from after the position ``before`` (creation time and id of the last one seen)."""
    query = select(Job).order_by(Job.created_at.desc(), Job.id.desc()).limit(limit)
    if before is not None:
        query = query.where(tuple_(Job.created_at, Job.id) < before)
    if status is not None:
        query = query.where(Job.status == status)
    return list(session.scalars(query))


def over_since(
    session: Session, moment: datetime, *, limit: int, after: tuple[datetime, str] | None = None
) -> list[tuple[datetime, str]]:
    """Creation time and id of jobs that had ended by ``moment``, oldest first, from after the last one seen."""
    # No job ends before it was made: the first condition keeps the search to the old end of an index.
    over = select(Job.created_at, Job.id).where(Job.created_at < moment, Job.finished_at < moment)
    query = over.order_by(Job.created_at, Job.id).limit(limit)
    if after is not None:
        query = query.where(tuple_(Job.created_at, Job.id) > after)
    return [(created_at, job_id) for created_at, job_id in session.execute(query)]


def claim_intake(session: Session, job_id: str, *, token: str, lease_s: float, max_attempts: int) -> Job | None:
    """Take a job whose file nobody has looked into yet."""
    moment = now()
    # What was put back is free at once, whatever the clock of who did that says.
    put_back = Job.lease_token.is_(None)
    abandoned = and_(Job.lease_until < moment, Job.attempts < max_attempts)
    begun = and_(Job.status == JobStatus.PROCESSING, Job.pages_total.is_(None), or_(put_back, abandoned))
    return session.scalar(
        update(Job)
        .where(Job.id == job_id, or_(Job.status == JobStatus.PENDING, begun))
        .values(
            status=JobStatus.PROCESSING,
            attempts=Job.attempts + 1,
            lease_token=token,
            lease_until=moment + timedelta(seconds=lease_s),
            started_at=func.coalesce(Job.started_at, moment),
            sent_at=func.coalesce(Job.sent_at, moment),
            updated_at=moment,
        )
        .returning(Job)
        .execution_options(synchronize_session=False, populate_existing=True)
    )


def held(session: Session, job_id: str, token: str) -> Job | None:
    """The job, its row locked, if intake under ``token`` still has it."""
    job = session.get(Job, job_id, with_for_update=True)
    ours = job is not None and job.lease_token == token and job.status == JobStatus.PROCESSING
    return job if ours else None


def extend(session: Session, job_id: str, token: str, lease_s: float) -> bool:
    """Hold the job's intake for longer; ``False`` when it is ours no more."""
    until = now() + timedelta(seconds=lease_s)
    kept = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.lease_token == token, Job.status == JobStatus.PROCESSING)
        .values(lease_until=until)
        .returning(Job.id)
    )
    return kept.first() is not None


def open_pages(session: Session, job: Job, numbers: Sequence[int]) -> None:
    """Make the page rows of a job (its row locked); intake is over."""
    job.pages_total, job.lease_token, job.lease_until = len(numbers), None, None
    session.flush()
    new = {"job_id": job.id, "status": PageStatus.PENDING, "trail": [], "degraded": False, "attempts": 0}
    session.execute(insert(session, Page), [{**new, "number": number} for number in numbers])


def end(session: Session, job: Job, status: JobStatus, error: CopyistError | None = None) -> bool:
    """Move a job to an end state, if it may go there."""
    if job.status not in before_job(status):
        return False
    job.status, job.finished_at, job.updated_at = status, now(), now()
    job.lease_token, job.lease_until = None, None
    if error is not None:
        job.error_code, job.error_detail = error.code, error.detail
    session.flush()
    return True


def close_if_read(session: Session, job: Job) -> bool:
    """Close the job (its row locked) if no page of it is open any more."""
    if job.status != JobStatus.PROCESSING or job.pages_total is None:
        return False
    session.flush()
    if session.scalar(select(exists().where(Page.job_id == job.id, Page.status.in_(PAGE_OPEN)))):
        return False
    if session.scalar(select(exists().where(Page.job_id == job.id, Page.status == PageStatus.DONE))):
        return end(session, job, JobStatus.COMPLETED)
    ended = end(session, job, JobStatus.FAILED, NoPageRead(pages=job.pages_total))
    _blame(session, job)
    return ended


def _blame(session: Session, job: Job) -> None:
    """Where all pages failed for the same reason, the job says that one."""
    reasons = session.execute(
        select(Page.error_code, func.min(Page.error_detail)).where(Page.job_id == job.id).group_by(Page.error_code)
    ).all()
    if len(reasons) == 1:
        job.error_code, job.error_detail = reasons[0]


def cancel(session: Session, job_id: str) -> bool:
    """Cancel an open job: no page of it starts any more, a running one loses its lease and is stopped by that."""
    job = session.get(Job, job_id, with_for_update=True) if is_id(job_id) else None
    if job is None:
        raise NotFound(what="job")
    if not end(session, job, JobStatus.CANCELLED):
        return False
    session.execute(
        update(Page)
        .where(Page.job_id == job_id, Page.status.in_(PAGE_OPEN))
        .values(status=PageStatus.SKIPPED, lease_token=None, finished_at=now(), engine_running=None)
    )
    return True


def forget(session: Session, job_id: str, *, drop_file: Callable[[str], None]) -> None:
    """Delete an ended job, its pages, and readings nobody else uses; raises ``NotFound``.

    ``drop_file`` is given the hash of a file that is nobody's now, to delete its bytes. It is called inside of the
    transaction: an upload of the same bytes waits for that, and then stores them again; where it fails, the job stays.
    """
    job = session.get(Job, job_id, with_for_update=True)
    if job is None:
        raise NotFound(what="job")
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
        drop_file(file.sha256)


def recover_intake(session: Session, job_id: str, token: str, *, max_attempts: int) -> bool:
    """Intake of a job under ``token`` died: send it again, or give the job up. ``True`` if the job ended."""
    job = held(session, job_id, token)
    if job is None or job.pages_total is not None:
        return False
    if job.attempts >= max_attempts:
        return end(session, job, JobStatus.FAILED, IntakeCrashed(attempts=job.attempts))
    job.lease_until, job.lease_token, job.sent_at = now(), None, None
    return False


def give_back_intake(session: Session, job_id: str, token: str) -> None:
    """Put a job back as if its intake had not been begun."""
    job = held(session, job_id, token)
    if job is not None and job.pages_total is None:
        job.attempts -= 1
        job.lease_until, job.lease_token, job.sent_at = now(), None, None


def queue_position(session: Session, job: Job) -> int | None:
    """How many open jobs will be taken before this one, counting from 0; ``None`` once it has begun."""
    if job.status != JobStatus.PENDING:
        return None
    ahead = or_(Job.priority < job.priority, and_(Job.priority == job.priority, Job.created_at < job.created_at))
    counted = select(func.count()).where(Job.status == JobStatus.PENDING, Job.queue == job.queue, ahead)
    return session.scalar(counted) or 0


def progress(session: Session, ids: Iterable[str]) -> dict[str, Progress]:
    """Counts of pages, engines and confidence of several jobs, from their pages."""
    return progress_of(session, list(ids))
