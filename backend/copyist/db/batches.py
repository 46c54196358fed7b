"""Batches: several files sent together. What a batch is, is counted from its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import exists, func, select, tuple_
from sqlalchemy.orm import Session

from copyist.db.jobs import is_id
from copyist.db.states import JobStatus, PageStatus
from copyist.db.tables import Batch, Job, Page, now
from copyist.errors import NotFound

FILLED_WITHIN = timedelta(days=1)
"""So long a batch without a job stays: its files may be just coming, or be sent to it one by one."""
OLD_AT_ONCE = 500


@dataclass
class Counts:
    """The jobs of a batch in each state, and their pages that are settled."""

    jobs: dict[JobStatus, int] = field(default_factory=lambda: dict.fromkeys(JobStatus, 0))
    pages_done: int = 0
    pages_failed: int = 0


def create(session: Session, *, batch_id: str, owner: str, labels: Mapping[str, Any]) -> Batch:
    """An empty batch."""
    batch = Batch(id=batch_id, owner=owner, labels=dict(labels), refused=[])
    session.add(batch)
    session.flush()
    return batch


def get(session: Session, batch_id: str, owner: str | None = None, *, lock: bool = False) -> Batch:
    """The batch; raises ``NotFound``, also for somebody else's. ``owner`` is who asks; ``None`` sees everybody's."""
    batch = session.get(Batch, batch_id, with_for_update=lock or None) if is_id(batch_id) else None
    if batch is None or owner not in (None, batch.owner):
        raise NotFound(what="batch")
    return batch


def refuse(session: Session, batch_id: str, refused: Sequence[Mapping[str, str]]) -> None:
    """Write down files that became no job."""
    batch = session.get(Batch, batch_id, with_for_update=True)
    if batch is not None and refused:
        batch.refused = [*batch.refused, *map(dict, refused)]


def newest(
    session: Session, *, owner: str | None, limit: int, before: tuple[datetime, str] | None = None
) -> list[Batch]:
    """Batches, newest first, from after the position ``before`` (creation time and id of the last one seen)."""
    query = select(Batch).order_by(Batch.created_at.desc(), Batch.id.desc()).limit(limit)
    if owner is not None:
        query = query.where(Batch.owner == owner)
    if before is not None:
        query = query.where(tuple_(Batch.created_at, Batch.id) < before)
    return list(session.scalars(query))


def counts(session: Session, ids: Sequence[str]) -> dict[str, Counts]:
    """Counts of these batches."""
    found = {batch_id: Counts() for batch_id in ids}
    if not ids:
        return found
    by_status = select(Job.batch_id, Job.status, func.count()).where(Job.batch_id.in_(ids))
    for batch_id, status, count in session.execute(by_status.group_by(Job.batch_id, Job.status)):
        found[str(batch_id)].jobs[status] = count
    settled = (
        select(Job.batch_id, Page.status, func.count())
        .join(Page, Page.job_id == Job.id)
        .where(Job.batch_id.in_(ids), Page.status.in_((PageStatus.DONE, PageStatus.FAILED)))
        .group_by(Job.batch_id, Page.status)
    )
    for batch_id, page_status, count in session.execute(settled):
        if page_status == PageStatus.DONE:
            found[str(batch_id)].pages_done = count
        else:
            found[str(batch_id)].pages_failed = count
    return found


def jobs_of(session: Session, batch_id: str, *, limit: int, after: tuple[datetime, str] | None = None) -> list[Job]:
    """Jobs of a batch in the order they came, from after the position ``after``."""
    query = select(Job).where(Job.batch_id == batch_id).order_by(Job.created_at, Job.id).limit(limit)
    if after is not None:
        query = query.where(tuple_(Job.created_at, Job.id) > after)
    return list(session.scalars(query))


def forget_empty(session: Session, batch_id: str) -> bool:
    """Delete a batch that has no job left; ``False`` if it has one."""
    batch = session.get(Batch, batch_id, with_for_update=True)
    if batch is not None and session.scalar(select(exists().where(Job.batch_id == batch_id))):
        return False
    if batch is not None:
        session.delete(batch)
    return True


def forget_old(session: Session) -> None:
    """Delete batches that have had time enough to get a job, and have none."""
    old = select(Batch.id).where(Batch.created_at < now() - FILLED_WITHIN, ~exists().where(Job.batch_id == Batch.id))
    for batch_id in session.scalars(old.limit(OLD_AT_ONCE)).all():
        forget_empty(session, batch_id)
