"""How fast pages are read, as measured: what an estimate of a job's end is made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from statistics import fmean

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from copyist.db import presence
from copyist.db.states import PAGE_OPEN, JobStatus
from copyist.db.tables import Job, Page, Reading, now

RECENT = 100
"""Readings that are looked at."""
FEWEST = 3
"""With fewer on a queue nothing can be said."""
FRESH = timedelta(hours=24)
"""What was read earlier than that says nothing about today's machines."""
BUSY_JOBS = 200
"""Jobs under way whose pages are counted; behind more of them an estimate is too early, and never too late."""


@dataclass(frozen=True)
class Pace:
    """One queue: pages a second while all of its workers read, and the pages that are open of each job under way."""

    pages_per_s: float
    pages_per_job: float
    """Of the jobs that came last: what a job that nobody has looked into is taken for."""
    busy: Mapping[str, int]

    def seconds(self, job_id: str, own: int | None, jobs_ahead: int) -> float:
        """How long until the ``own`` open pages of a job are read (``None``: nobody knows how many they are).

        Jobs that wait before it are read before it. Those under way take turns with it, page by page, so none of them
        takes longer than it does itself.
        """
        mine = self.pages_per_job if own is None else own
        beside = sum(min(pages, mine) for other, pages in self.busy.items() if other != job_id)
        return (mine + beside + jobs_ahead * self.pages_per_job) / self.pages_per_s


def measure(session: Session) -> dict[str, Pace]:
    """The pace of each queue on which enough was read lately and somebody reads now."""
    capacity = presence.capacity(session)
    durations = _durations(session)
    measured = [queue for queue in durations.keys() & capacity.keys() if len(durations[queue]) >= FEWEST]
    if not measured:
        return {}
    per_job, busy = _pages_per_job(session), _busy(session)
    return {
        queue: Pace(capacity[queue] / max(fmean(durations[queue]), 1e-3), per_job, busy.get(queue, {}))
        for queue in measured
    }


def _durations(session: Session) -> Mapping[str, list[float]]:
    """Seconds from claim to end of the pages that were read last, by queue; those that were only looked up left out."""
    recent = select(Reading.id).order_by(Reading.id.desc()).limit(RECENT).subquery()
    rows = session.execute(
        select(Page.reading_id, Job.queue, Page.started_at, Page.finished_at)
        .join(recent, recent.c.id == Page.reading_id)
        .join(Job, Job.id == Page.job_id)
        .where(Page.finished_at > now() - FRESH, Page.started_at.is_not(None))
    )
    longest: dict[tuple[str, int | None], float] = {}
    for reading, queue, start, end in rows:
        took = (end - start).total_seconds() if start and end else 0.0
        longest[queue, reading] = max(took, longest.get((queue, reading), 0.0))
    found = defaultdict(list)
    for (queue, _), took in longest.items():
        found[queue].append(took)
    return found


def _pages_per_job(session: Session) -> float:
    last = select(Job.pages_total).where(Job.pages_total.is_not(None)).order_by(Job.created_at.desc()).limit(RECENT)
    return float(session.scalar(select(func.avg(last.subquery().c.pages_total))) or 1.0)


def _busy(session: Session) -> Mapping[str, dict[str, int]]:
    rows = session.execute(
        select(Job.queue, Job.id, func.count())
        .join(Page, Page.job_id == Job.id)
        .where(Job.status == JobStatus.PROCESSING, Page.status.in_(PAGE_OPEN))
        .group_by(Job.queue, Job.id)
        .limit(BUSY_JOBS)
    )
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for queue, job_id, pages in rows:
        found[queue][job_id] = pages
    return found
