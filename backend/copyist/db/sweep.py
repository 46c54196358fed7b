"""What the sweeper asks: what was never sent, what was sent and may be lost, whose lease ran out."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, exists, func, or_, select, update
from sqlalchemy.orm import Session

from copyist.db.states import JOB_OPEN, PAGE_OPEN, JobStatus, PageStatus
from copyist.db.tables import Job, Page, now

BATCH = 500


def unsent_jobs(session: Session) -> list[Job]:
    """Jobs whose intake was never sent, oldest of the most urgent first, their rows locked; marks them as sent."""
    waiting = or_(Job.status == JobStatus.PENDING, and_(Job.status == JobStatus.PROCESSING, Job.pages_total.is_(None)))
    found = session.scalars(
        select(Job)
        .where(waiting, Job.sent_at.is_(None))
        .order_by(Job.priority, Job.created_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    for job in found:
        job.sent_at = now()
    return list(found)


UNTAKEN = or_(
    Job.status == JobStatus.PENDING,
    and_(Job.status == JobStatus.PROCESSING, Job.pages_total.is_(None), Job.lease_token.is_(None)),
)
"""Jobs whose intake nobody has in hand: new ones, and those whose intake died and was put back."""


def sent_waiting(session: Session, queue: str, before: datetime) -> int:
    """How many messages of ``queue`` were sent before ``before`` and not taken by anybody yet."""
    jobs = select(func.count()).where(UNTAKEN, Job.queue == queue, Job.sent_at < before)
    pages = (
        select(func.count())
        .select_from(Page)
        .join(Job)
        .where(Page.status == PageStatus.PENDING, Page.sent_at < before, Job.queue == queue)
    )
    return (session.scalar(jobs) or 0) + (session.scalar(pages) or 0)


def unsend_oldest(session: Session, queue: str, before: datetime, count: int) -> None:
    """Take back the mark "sent" of the ``count`` jobs and the ``count`` pages of ``queue`` that wait longest."""
    jobs = (
        select(Job.id)
        .where(UNTAKEN, Job.queue == queue, Job.sent_at < before)
        .order_by(Job.sent_at)
        .limit(min(count, BATCH))
        .with_for_update(skip_locked=True)
    )
    session.execute(
        update(Job).where(Job.id.in_(jobs)).values(sent_at=None).execution_options(synchronize_session=False)
    )
    pages = session.execute(
        select(Page.job_id, Page.number)
        .join(Job)
        .where(Page.status == PageStatus.PENDING, Page.sent_at < before, Job.queue == queue)
        .order_by(Page.sent_at)
        .limit(min(count, BATCH))
        .with_for_update(skip_locked=True, of=Page)
    ).all()
    for job_id, number in pages:
        session.execute(
            update(Page)
            .where(Page.job_id == job_id, Page.number == number, Page.status == PageStatus.PENDING)
            .values(sent_at=None)
        )


def jobs_with_room(session: Session) -> list[Job]:
    """Jobs in the works that have a waiting page which was not sent, or no open page at all."""
    waiting = exists().where(Page.job_id == Job.id, Page.status == PageStatus.PENDING, Page.sent_at.is_(None))
    any_open = exists().where(Page.job_id == Job.id, Page.status.in_(PAGE_OPEN))
    query = (
        select(Job)
        .where(Job.status == JobStatus.PROCESSING, Job.pages_total.is_not(None), or_(waiting, ~any_open))
        .order_by(Job.priority, Job.created_at)
        .limit(BATCH)
    )
    return list(session.scalars(query))


def expired_intakes(session: Session) -> list[tuple[str, str]]:
    """Jobs whose intake was begun and whose lease ran out, each with its token."""
    found = session.execute(
        select(Job.id, Job.lease_token)
        .where(Job.status == JobStatus.PROCESSING, Job.pages_total.is_(None), Job.lease_until < now())
        .where(Job.lease_token.is_not(None))
        .limit(BATCH)
    )
    return [(job_id, token or "") for job_id, token in found]


def intakes_of_task(session: Session, task_id: str) -> list[tuple[str, str]]:
    """Jobs whose intake the Celery task ``task_id`` has in hand, each with its token."""
    mine = Job.lease_token.startswith(f"{task_id}.", autoescape=True)
    found = session.execute(select(Job.id, Job.lease_token).where(Job.status == JobStatus.PROCESSING, mine))
    return [(job_id, token or "") for job_id, token in found]


def waiting_jobs(session: Session, queue: str, limit: int) -> list[str]:
    """Ids of jobs of ``queue`` whose intake was sent and nobody has taken, the most urgent and oldest first."""
    found = select(Job.id).where(UNTAKEN, Job.queue == queue, Job.attempts == 0, Job.sent_at.is_not(None))
    return list(session.scalars(found.order_by(Job.priority, Job.sent_at).limit(limit)))


def waiting_pages(session: Session, queue: str, limit: int) -> list[tuple[str, int]]:
    """Pages of ``queue`` that were sent and that nobody has tried yet, the most urgent and oldest first."""
    found = (
        select(Page.job_id, Page.number)
        .join(Job)
        .where(Page.status == PageStatus.PENDING, Page.sent_at.is_not(None), Page.attempts == 0, Job.queue == queue)
        .where(Job.status == JobStatus.PROCESSING)
    )
    return [
        (job, number)
        for job, number in session.execute(found.order_by(Job.priority, Page.sent_at, Page.number).limit(limit))
    ]


def open_queues(session: Session) -> set[str]:
    """Queues that open jobs wait on."""
    return set(session.scalars(select(Job.queue).where(Job.status.in_(JOB_OPEN)).distinct()))


def strangers(session: Session) -> set[tuple[str, str]]:
    """Open jobs that are not where they belong, as pairs of the queue they wait on and the one they belong to."""
    away = select(Job.queue, Job.home_queue).where(Job.status.in_(JOB_OPEN), Job.queue != Job.home_queue).distinct()
    return {(queue, home) for queue, home in session.execute(away)}


def reroute(session: Session, from_queue: str, to_queue: str, *, home: str | None = None) -> None:
    """Move what waits on one queue to another; with ``home`` only jobs that belong there.

    What is being read is finished where it is, and a page that was sent is sent again: who takes it first reads it.
    """
    here = Job.queue == from_queue if home is None else and_(Job.queue == from_queue, Job.home_queue == home)
    moved = list(session.scalars(select(Job.id).where(here, Job.status.in_(JOB_OPEN)).limit(BATCH)))
    moving = Job.id.in_(moved)
    session.execute(update(Job).where(moving).values(queue=to_queue).execution_options(synchronize_session=False))
    session.execute(
        update(Job)
        .where(moving, Job.status == JobStatus.PENDING)
        .values(sent_at=None)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(Page)
        .where(Page.job_id.in_(moved), Page.status == PageStatus.PENDING)
        .values(sent_at=None)
        .execution_options(synchronize_session=False)
    )
