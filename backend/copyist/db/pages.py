"""Pages: claimed under a lease, read, written once.

A claim is one statement; it counts the attempt before any engine runs and gives a fresh ``lease_token``. Every later
write carries the token, so a worker that lost its lease cannot overwrite the one that has it now. Where a job and its
pages are written in one transaction, the job's row is locked first, always, so that two of them never wait in a circle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session

from copyist import document
from copyist.db import jobs, readings
from copyist.db.readings import Known
from copyist.db.states import JOB_OPEN, PAGE_OPEN, JobStatus, PageStatus, before_page
from copyist.db.tables import Job, Page, now
from copyist.errors import CopyistError, WorkerCrashed


@dataclass(frozen=True)
class Lease:
    """The right to write one page: held by whoever knows the token."""

    job_id: str
    number: int
    token: str


@dataclass(frozen=True)
class Claim:
    """A page that is ours to read, with what is needed to read it."""

    lease: Lease
    file_sha256: str
    kind: str
    options: Mapping[str, Any]
    attempts: int
    trail: tuple[Mapping[str, Any], ...]
    traceparent: str | None = None
    """The trace of the job (W3C)."""
    until: datetime | None = None
    """When the time for this page is over."""


@dataclass(frozen=True)
class Finished:
    """What came of writing a page: whether its job ended with it, and which pages to send next."""

    job_ended: bool
    send: tuple[int, ...]
    queue: str
    priority: int


def mine(lease: Lease) -> Any:
    """The condition that ``lease`` is still held."""
    return and_(
        Page.job_id == lease.job_id,
        Page.number == lease.number,
        Page.lease_token == lease.token,
        Page.status == PageStatus.PROCESSING,
    )


def touched(result: Any) -> bool:
    """Whether a statement changed a row."""
    assert isinstance(result, CursorResult)
    return result.rowcount > 0


def claim(session: Session, job_id: str, number: int, *, token: str, lease_s: float, max_attempts: int) -> Claim | None:
    """Take the page, if it is free: waiting, or held by somebody whose lease has run out."""
    moment = now()
    abandoned = and_(Page.status == PageStatus.PROCESSING, Page.lease_until < moment, Page.attempts < max_attempts)
    # One that waits has an attempt left, or ``max_attempts`` was lowered: refused, it would wait for ever.
    free = or_(Page.status == PageStatus.PENDING, abandoned)
    open_job = exists().where(Job.id == Page.job_id, Job.status.in_(JOB_OPEN))
    page = session.scalar(
        update(Page)
        .where(Page.job_id == job_id, Page.number == number, free, open_job)
        .values(
            status=PageStatus.PROCESSING,
            attempts=Page.attempts + 1,
            lease_token=token,
            lease_until=moment + timedelta(seconds=lease_s),
            sent_at=func.coalesce(Page.sent_at, moment),
            started_at=func.coalesce(Page.started_at, moment),
        )
        .returning(Page)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    if page is None:
        return None
    _note_end(page, "lost")
    job = session.get_one(Job, job_id)
    limit_s = job.options.get("page_time_limit")
    return Claim(
        lease=Lease(job_id, number, token),
        file_sha256=job.file_sha256,
        kind=jobs.kind_of(session, job),
        options=job.options,
        attempts=page.attempts,
        trail=tuple(page.trail),
        traceparent=job.traceparent,
        until=page.started_at + timedelta(seconds=limit_s) if limit_s and page.started_at else None,
    )


ENDS = {"crashed": "Its process died while it was reading.", "lost": "Its worker was gone before it was done."}


def _note_end(page: Page, outcome: str | None) -> None:
    """Put into the trail how the engine that was reading came to its end, if one was and it is known."""
    if page.engine_running and outcome:
        step = {"engine": page.engine_running, "outcome": outcome, "reason": ENDS[outcome], "seconds": 0.0}
        page.trail = [*page.trail, {**step, "confidence": None}]
    page.engine_running = None


def extend(session: Session, lease: Lease, lease_s: float) -> bool:
    """Hold the page for another ``lease_s`` seconds; ``False`` when it is ours no more (cancelled, or taken over)."""
    until = now() + timedelta(seconds=lease_s)
    return touched(session.execute(update(Page).where(mine(lease)).values(lease_until=until)))


def note_engine(session: Session, lease: Lease, engine: str | None) -> None:
    """Write down which engine is about to read, so that a crash can be laid at its door."""
    session.execute(update(Page).where(mine(lease)).values(engine_running=engine))


def give_up_engine(session: Session, lease: Lease, attempt: Mapping[str, Any]) -> None:
    """An engine hangs: put that in the trail and the page back, before the process that hangs is killed.

    The attempt is not counted: the next one leaves this engine out, so there are at most as many as engines.
    """
    page = _lock_page(session, lease)
    if page is not None:
        page.trail = [*page.trail, dict(attempt)]
        page.attempts -= 1
        _put_back(page)
        page.engine_running = None


def give_back(session: Session, lease: Lease) -> None:
    """Put the page back as if it had not been begun: its worker stops in good order."""
    page = _lock_page(session, lease)
    if page is not None:
        page.attempts -= 1
        _put_back(page)
        page.engine_running = None


def _lock_page(session: Session, lease: Lease) -> Page | None:
    """The page, its row and its job's locked, if the lease is still held."""
    if _lock(session, lease) is None:
        return None
    return session.scalar(select(Page).where(mine(lease)).with_for_update())


def _put_back(page: Page) -> None:
    page.status, page.lease_token, page.lease_until, page.sent_at = PageStatus.PENDING, None, None, None


def attempts(session: Session, job_id: str, number: int) -> int:
    """How often the page was taken by somebody."""
    return session.scalar(select(Page.attempts).where(Page.job_id == job_id, Page.number == number)) or 0


def finish(
    session: Session,
    lease: Lease,
    page: document.Page,
    *,
    trail: Sequence[Mapping[str, Any]],
    degraded: bool,
    cache_key: str | None,
) -> Finished | None:
    """Write the page's one result; ``None`` when the lease was lost and nothing was written."""
    job = _lock(session, lease)
    if job is None:
        return None
    kept = readings.store(session, page, cache_key)
    return _end_page(session, job, lease, status=PageStatus.DONE, trail=list(trail), degraded=degraded, reading_id=kept)


def finish_with(
    session: Session, lease: Lease, reading: Known, *, earlier: Sequence[Mapping[str, Any]]
) -> Finished | None:
    """Give the page a reading that is there already; ``None`` when the lease was lost or the reading is gone."""
    job = _lock(session, lease)
    if job is None or not readings.hold(session, reading.id):
        return None
    trail = [*earlier, _cached(reading)]
    return _end_page(session, job, lease, status=PageStatus.DONE, trail=trail, reading_id=reading.id)


def _cached(reading: Known) -> dict[str, Any]:
    return {
        "engine": reading.engine,
        "outcome": "cached",
        "reason": "",
        "seconds": 0.0,
        "confidence": reading.confidence,
    }


def fail(
    session: Session, lease: Lease, error: CopyistError, *, trail: Sequence[Mapping[str, Any]] | None = None
) -> Finished | None:
    """The page cannot be read; the rest of the document goes on."""
    job = _lock(session, lease)
    if job is None:
        return None
    values: dict[str, Any] = {} if trail is None else {"trail": list(trail)}
    return _end_page(
        session, job, lease, status=PageStatus.FAILED, error_code=error.code, error_detail=error.detail, **values
    )


def _lock(session: Session, lease: Lease) -> Job | None:
    """Lock the job's row, if the lease is still held."""
    job = session.get(Job, lease.job_id, with_for_update=True)
    return job if job is not None and session.scalar(select(exists().where(mine(lease)))) else None


def _end_page(session: Session, job: Job, lease: Lease, *, status: PageStatus, **values: Any) -> Finished | None:
    ending = update(Page).where(mine(lease), Page.status.in_(before_page(status)))
    row = {"status": status, "finished_at": now(), "lease_token": None, "engine_running": None, **values}
    # The job is written once, afterwards.
    if not touched(session.execute(ending.values(row | {"change": job.changes + 1}))):
        return None
    job.changes, job.updated_at = job.changes + 1, now()
    ended = jobs.close_if_read(session, job)
    send = () if ended or job.pages_total == 1 else tuple(take_to_send(session, job.id, 1))
    return Finished(ended, send, job.queue, job.priority)


def serve_from_cache(session: Session, job: Job, found: Mapping[int, Known]) -> None:
    """Finish at once those pages of a job (its row locked) whose readings are already there."""
    for number, reading in found.items():
        job.changes += 1
        session.execute(
            update(Page)
            .where(Page.job_id == job.id, Page.number == number, Page.status == PageStatus.PENDING)
            .values(
                status=PageStatus.DONE,
                reading_id=reading.id,
                started_at=now(),
                finished_at=now(),
                trail=[_cached(reading)],
                change=job.changes,
            )
        )


def take_to_send(session: Session, job_id: str, count: int) -> list[int]:
    """Choose up to ``count`` waiting pages of a job, lowest numbers first, and mark them as sent."""
    if count <= 0:
        return []
    waiting = (
        select(Page.number)
        .where(Page.job_id == job_id, Page.status == PageStatus.PENDING, Page.sent_at.is_(None))
        .order_by(Page.number)
        .limit(count)
        .with_for_update(skip_locked=True)
    )
    numbers = list(session.scalars(waiting))
    if numbers:
        session.execute(update(Page).where(Page.job_id == job_id, Page.number.in_(numbers)).values(sent_at=now()))
    return numbers


def in_flight(session: Session, job_id: str) -> int:
    """How many pages of a job are sent or being read."""
    counted = select(func.count()).where(Page.job_id == job_id, Page.status.in_(PAGE_OPEN), Page.sent_at.is_not(None))
    return session.scalar(counted) or 0


def recover(session: Session, lease: Lease, *, outcome: str | None, max_attempts: int) -> bool:
    """A page whose reader is gone: put it back, or give it up after ``max_attempts``. ``True`` if its job ended.

    ``outcome`` says what is known of the engine that was reading: ``crashed`` where its process alone died, ``lost``
    where the whole worker did, ``None`` where it is not to blame.
    """
    page = _lock_page(session, lease)
    if page is None:
        return False
    job = session.get_one(Job, lease.job_id)
    _note_end(page, outcome)
    if job.status == JobStatus.PROCESSING and page.attempts < max_attempts:
        _put_back(page)
        return False
    session.flush()
    error = WorkerCrashed(attempts=page.attempts) if outcome else CopyistError()
    finished = fail(session, lease, error)
    return finished is not None and finished.job_ended


def expired(session: Session, limit: int = 200) -> list[Lease]:
    """Leases that ran out."""
    found = session.execute(
        select(Page.job_id, Page.number, Page.lease_token)
        .where(Page.status == PageStatus.PROCESSING, Page.lease_until < now())
        .limit(limit)
    )
    return [Lease(job_id, number, token or "") for job_id, number, token in found]


def held_by_task(session: Session, task_id: str) -> list[Lease]:
    """Leases taken by the Celery task ``task_id`` (a token begins with the task's id)."""
    found = session.execute(
        select(Page.job_id, Page.number, Page.lease_token).where(
            Page.status == PageStatus.PROCESSING, Page.lease_token.startswith(f"{task_id}.", autoescape=True)
        )
    )
    return [Lease(job_id, number, token or "") for job_id, number, token in found]
