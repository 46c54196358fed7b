"""What happened to a job since a client last heard of it, from the rows: so no event is lost with a connection."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from copyist.db.states import PageStatus
from copyist.db.tables import Job, Page, Reading


@dataclass(frozen=True)
class Settled:
    """A page that was read, failed or was skipped, by the ``change`` of its job that it was."""

    change: int
    number: int
    status: PageStatus
    engine: str | None
    confidence: float | None
    error_code: str | None
    error_detail: str | None


def changes_of(session: Session, job_id: str) -> int | None:
    """How often the job has changed: as long as that stays, there is nothing to tell. ``None`` if it is gone."""
    return session.scalar(select(Job.changes).where(Job.id == job_id))


def settled_since(session: Session, job_id: str, change: int, *, limit: int) -> list[Settled]:
    """Pages settled after the job's ``change``, in the order they were.

    Changes are numbered under the lock of the job's row, so none turns up later behind one that was seen.
    """
    rows = session.execute(
        select(
            func.coalesce(Page.change, 0),
            Page.number,
            Page.status,
            Reading.engine,
            Reading.confidence,
            Page.error_code,
            Page.error_detail,
        )
        .outerjoin(Reading, Reading.id == Page.reading_id)
        .where(Page.job_id == job_id, Page.change > change)
        .order_by(Page.change, Page.number)
        .limit(limit)
    )
    return [Settled(*row) for row in rows]
