"""Jobs: made, claimed by intake, closed by their last page, cancelled, given up, read again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, exists, func, or_, select, update
from sqlalchemy.orm import Session

from copyist.db import webhooks
from copyist.db.insert import insert
from copyist.db.progress import Progress, progress_of
from copyist.db.states import JOB_ENDED, JOB_OPEN, PAGE_OPEN, JobStatus, PageStatus, before_job
from copyist.db.tables import File, GoneJob, Job, Page, now
from copyist.errors import (
    CopyistError,
    Expired,
    IntakeCrashed,
    NoPageRead,
    NotEnded,
    NotFound,
    NothingToRetry,
    TimeLimit,
)


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
    owner: str = "",
    batch_id: str | None = None,
    callback_url: str | None = None,
    keep_days: float | None = None,
    traceparent: str | None = None,
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
        owner=owner,
        batch_id=batch_id,
        callback_url=callback_url,
        keep_days=keep_days,
        traceparent=traceparent,
        sent_at=now(),
    )
    session.add(job)
    session.flush()
    return job


def unsent(session: Session, job_id: str) -> None:
    """The message for a job's intake did not go out: the sweeper sends it."""
    session.execute(update(Job).where(Job.id == job_id).values(sent_at=None))


LONGEST_S = 366 * 24 * 3600.0
"""No time limit ends later than that: moments far off are more than a database holds."""


def is_id(text: str) -> bool:
    """Whether ``text`` is an id as jobs have them: databases differ in how they take other things."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def get(session: Session, job_id: str, owner: str | None = None, *, lock: bool = False) -> Job:
    """The job; raises ``NotFound``, also for what cannot be an id and for somebody else's, and ``Expired``.

    ``owner`` is who asks; ``None`` may see everybody's.
    """
    job = session.get(Job, job_id, with_for_update=lock or None) if is_id(job_id) else None
    if job is not None and owner in (None, job.owner):
        return job
    gone = session.get(GoneJob, job_id) if job is None and is_id(job_id) else None
    if gone is not None and owner in (None, gone.owner):
        raise Expired
    raise NotFound(what="job")


def kind_of(session: Session, job: Job) -> str:
    """The media kind of the job's file."""
    return session.scalars(select(File.kind).where(File.sha256 == job.file_sha256)).one()


def size_of(session: Session, job: Job) -> int:
    """The length of the job's file in bytes."""
    return session.scalars(select(File.size).where(File.sha256 == job.file_sha256)).one()


def claim_intake(session: Session, job_id: str, *, token: str, lease_s: float, max_attempts: int) -> Job | None:
    """Take a job whose file nobody has looked into yet."""
    moment = now()
    # What was put back is free at once, whatever the clock of who did that says.
    put_back = Job.lease_token.is_(None)
    abandoned = and_(Job.lease_until < moment, Job.attempts < max_attempts)
    begun = and_(Job.status == JobStatus.PROCESSING, Job.pages_total.is_(None), or_(put_back, abandoned))
    job = session.scalar(
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
            changes=Job.changes + 1,
        )
        .returning(Job)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    if job is not None and job.deadline is None:
        job.deadline = _deadline(job, moment)
    return job


def _deadline(job: Job, start: datetime) -> datetime | None:
    """When the time of a job that is begun at ``start`` is over."""
    limit_s = min(job.options.get("time_limit") or 0, LONGEST_S)
    return start + timedelta(seconds=limit_s) if limit_s else None


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
    """Move an open job to an end state, and put what is to be told of it into the queue of messages."""
    if job.status not in before_job(status) or status not in JOB_ENDED:
        return False
    moment = now()
    job.status, job.finished_at, job.updated_at, job.changes = status, moment, moment, job.changes + 1
    job.lease_token, job.lease_until, job.deadline = None, None, None
    job.delete_at = moment + timedelta(days=job.keep_days) if job.keep_days else None
    if error is not None:
        job.error_code, job.error_detail = error.code, error.detail
    session.flush()
    webhooks.job_ended(session, job)
    return True


def close_if_read(session: Session, job: Job) -> bool:
    """Close the job (its row locked) if no page of it is open any more."""
    if job.status != JobStatus.PROCESSING or job.pages_total is None:
        return False
    is_open = exists().where(Page.job_id == job.id, Page.status.in_(PAGE_OPEN))
    is_read = exists().where(Page.job_id == job.id, Page.status == PageStatus.DONE)
    # What is changed of the job itself is written together with its end.
    with session.no_autoflush:
        any_open, any_read = session.execute(select(is_open, is_read)).one()
    if any_open:
        return False
    if any_read:
        return end(session, job, JobStatus.COMPLETED)
    job.error_code, job.error_detail = _blame(session, job)
    return end(session, job, JobStatus.FAILED)


def _blame(session: Session, job: Job) -> tuple[str, str]:
    """Why no page was read: where all failed for the same reason, that one."""
    reasons = session.execute(
        select(Page.error_code, func.min(Page.error_detail)).where(Page.job_id == job.id).group_by(Page.error_code)
    ).all()
    if len(reasons) == 1 and reasons[0][0]:
        return reasons[0][0], reasons[0][1] or ""
    unread = NoPageRead(pages=job.pages_total)
    return unread.code, unread.detail


def cancel(session: Session, job_id: str, owner: str | None = None) -> bool:
    """Cancel an open job: no page of it starts any more, a running one loses its lease and is stopped by that."""
    job = get(session, job_id, owner, lock=True)
    if not end(session, job, JobStatus.CANCELLED):
        return False
    _settle_open_pages(session, job, PageStatus.SKIPPED)
    return True


def _settle_open_pages(session: Session, job: Job, status: PageStatus, error: CopyistError | None = None) -> None:
    """Take the pages of a job (its row locked) that are not read away from whoever is at them."""
    values: dict[str, Any] = {"error_code": error.code, "error_detail": error.detail} if error else {}
    settled = session.scalars(
        update(Page)
        .where(Page.job_id == job.id, Page.status.in_(PAGE_OPEN))
        .values(
            status=status,
            lease_token=None,
            finished_at=now(),
            engine_running=None,
            # Each is a change of its own, in one statement: so whoever follows the job can stop between any two.
            change=job.changes + Page.number,
            **values,
        )
        .returning(Page.change)
        .execution_options(synchronize_session=False)
    )
    job.changes = 1 + max((change for change in settled if change), default=job.changes)


def overdue(session: Session, limit: int = 200) -> list[str]:
    """Open jobs whose time is over."""
    query = select(Job.id).where(Job.status == JobStatus.PROCESSING, Job.deadline < now()).limit(limit)
    return list(session.scalars(query))


def give_up(session: Session, job_id: str) -> bool:
    """End a job whose time is over, with what was read of it; ``False`` if it has ended meanwhile."""
    job = session.get(Job, job_id, with_for_update=True)
    if job is None or job.status != JobStatus.PROCESSING or job.deadline is None or job.deadline > now():
        return False
    late = TimeLimit(seconds=f"{job.options.get('time_limit'):g}")
    if job.pages_total is None:
        return end(session, job, JobStatus.FAILED, late)
    _settle_open_pages(session, job, PageStatus.FAILED, late)
    return close_if_read(session, job)


def retry(session: Session, job_id: str, owner: str | None = None) -> Job:
    """Open an ended job again for its pages that failed or were skipped; what was read stays.

    A job whose file was never looked into is taken in anew. Nothing is sent: the caller does that. Raises ``NotFound``,
    ``NotEnded`` for an open job, and ``NothingToRetry``.
    """
    job = get(session, job_id, owner, lock=True)
    if job.status in JOB_OPEN:
        raise NotEnded(status=job.status.value)
    unread = and_(Page.job_id == job.id, Page.status.in_((PageStatus.FAILED, PageStatus.SKIPPED)))
    again = update(Page).where(unread)
    fresh = {"status": PageStatus.PENDING, "attempts": 0, "trail": [], "change": None, "degraded": False}
    none = dict.fromkeys(("error_code", "error_detail", "sent_at", "started_at", "finished_at", "lease_until"))
    count = session.execute(again.values(fresh | none).returning(Page.number)).all()
    if job.pages_total is not None and not count:
        raise NothingToRetry(status=job.status.value)
    job.status = JobStatus.PENDING if job.pages_total is None else JobStatus.PROCESSING
    job.error_code, job.error_detail, job.finished_at, job.delete_at = None, None, None, None
    job.attempts, job.updated_at, job.changes = 0, now(), job.changes + 1
    job.sent_at = now() if job.pages_total is None else job.sent_at
    job.deadline = None if job.pages_total is None else _deadline(job, now())
    session.flush()
    return job


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


def progress(session: Session, ids: Iterable[str]) -> dict[str, Progress]:
    """Counts of pages, engines and confidence of several jobs, from their pages."""
    return progress_of(session, list(ids))
