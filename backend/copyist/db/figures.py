"""How much there is of everything, counted anew each time it is asked. For whoever watches the service.

All of it is of rows that are held now. Rows are deleted (a job is forgotten, and its pages and readings with it), so no
figure here may be taken for one that only grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from copyist.db.states import JobStatus, PageStatus
from copyist.db.sweep import UNTAKEN
from copyist.db.tables import File, Job, Page, Reading, now

RECENT = 1000
"""So many of the last readings are looked at. To count all would cost more the longer the service runs."""


@dataclass(frozen=True)
class Waiting:
    """What waits on one queue and is in nobody's hands, and since when the oldest of it does (``None``: nothing does).

    A job waits from its upload until its intake is begun. A page waits from when it was sent; one that is behind its
    job's window, from the last sign of life of its job, so that a long document that is being read is not a jam.
    """

    jobs: int = 0
    pages: int = 0
    since: datetime | None = None


@dataclass(frozen=True)
class Figures:
    """Counts of rows: jobs and pages in each state, and what is told of the rest."""

    jobs: Mapping[str, int]
    pages: Mapping[str, int]
    waiting: Mapping[str, Waiting]
    """By queue; a queue on which nothing waits is not named."""
    expired_leases: int
    """Pages in the hands of somebody who has not shown himself in time. The sweeper puts them back within seconds."""
    recent_readings: Mapping[str, int]
    """How many of the last ``RECENT`` readings each engine made."""
    files: int
    files_bytes: int


def take(session: Session) -> Figures:
    """All figures of this moment."""
    files, size = session.execute(select(func.count(), func.coalesce(func.sum(File.size), 0)).select_from(File)).one()
    return Figures(
        jobs=_by_state(session, select(Job.status, func.count()).group_by(Job.status), JobStatus),
        pages=_by_state(session, select(Page.status, func.count()).group_by(Page.status), PageStatus),
        waiting=_waiting(session),
        expired_leases=_expired_leases(session),
        recent_readings=_recent_readings(session),
        files=files,
        files_bytes=int(size),
    )


def _by_state(session: Session, counted: Select[StrEnum, int], states: type[StrEnum]) -> dict[str, int]:
    """Counts of all ``states``, those that nothing is in, too."""
    found = dict(session.execute(counted).all())
    return {state.value: found.get(state, 0) for state in states}


def _waiting(session: Session) -> dict[str, Waiting]:
    untaken = select(Job.queue, func.count(), func.min(Job.created_at)).where(UNTAKEN).group_by(Job.queue)
    jobs = {queue: (count, since) for queue, count, since in session.execute(untaken)}
    since_when = func.min(func.coalesce(Page.sent_at, Job.updated_at))
    pending = (
        select(Job.queue, func.count(), since_when)
        .select_from(Page)
        .join(Job)
        .where(Page.status == PageStatus.PENDING)
        .group_by(Job.queue)
    )
    pages = {queue: (count, since) for queue, count, since in session.execute(pending)}
    found = {}
    for queue in jobs.keys() | pages.keys():
        (job_count, job_since), (page_count, page_since) = jobs.get(queue, (0, None)), pages.get(queue, (0, None))
        oldest = min(moment for moment in (job_since, page_since) if moment is not None)
        found[queue] = Waiting(jobs=job_count, pages=page_count, since=oldest)
    return found


def _expired_leases(session: Session) -> int:
    expired = select(func.count()).where(Page.status == PageStatus.PROCESSING, Page.lease_until < now())
    return session.scalar(expired) or 0


def _recent_readings(session: Session) -> dict[str, int]:
    recent = select(Reading.engine).order_by(Reading.id.desc()).limit(RECENT).subquery()
    counted = select(recent.c.engine, func.count()).group_by(recent.c.engine)
    return dict(session.execute(counted).all())
