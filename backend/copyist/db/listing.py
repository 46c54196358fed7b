"""Jobs as they are listed: which of them, in what order, and how many wait before each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, Text, case, cast, exists, func, select, tuple_
from sqlalchemy.orm import Session

from copyist.db.states import JobStatus
from copyist.db.tables import Job


@dataclass(frozen=True)
class Filter:
    """Which jobs to list; ``None`` asks for nothing."""

    owner: str | None = None
    statuses: Collection[JobStatus] = ()
    batch_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    filename: str | None = None
    """A part of the name, in any case."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Fields of the metadata, and what they are, as text."""

    def conditions(self, session: Session) -> list[ColumnElement[bool]]:
        """What a row must meet."""
        found = []
        if self.owner is not None:
            found.append(Job.owner == self.owner)
        if self.statuses:
            found.append(Job.status.in_(self.statuses))
        if self.batch_id is not None:
            found.append(Job.batch_id == self.batch_id)
        if self.created_after is not None:
            found.append(Job.created_at > self.created_after)
        if self.created_before is not None:
            found.append(Job.created_at < self.created_before)
        if self.filename is not None:
            found.append(Job.filename.icontains(self.filename, autoescape=True))
        found += [_has_label(session, name, value) for name, value in self.labels.items()]
        return found


def _has_label(session: Session, name: str, value: str) -> ColumnElement[bool]:
    """Whether a field of the metadata is ``value`` as text: ``3`` and ``"3"`` are the same here."""
    if session.get_bind().dialect.name == "postgresql":
        # It cannot take a NUL out of JSON, and would refuse the whole list for one.
        has_nul = cast(Job.labels, Text).contains(r"\u0000", autoescape=True)
        return case((has_nul, False), else_=cast(Job.labels[name].as_string(), Text) == value)
    each = func.json_each(Job.labels).table_valued("key", "value", "type")
    as_text = case((each.c.type.in_(("true", "false")), each.c.type), else_=cast(each.c.value, Text))
    return exists(select(1).select_from(each).where(each.c.key == name, as_text == value))


def newest(
    session: Session, wanted: Filter | None = None, *, limit: int, before: tuple[datetime, str] | None = None
) -> list[Job]:
    """Jobs, newest first, from after the position ``before`` (creation time and id of the last one seen)."""
    query = select(Job).order_by(Job.created_at.desc(), Job.id.desc()).limit(limit)
    if before is not None:
        query = query.where(tuple_(Job.created_at, Job.id) < before)
    return list(session.scalars(query.where(*(wanted or Filter()).conditions(session))))


def queue_positions(session: Session, found: Sequence[Job]) -> dict[str, int]:
    """How many waiting jobs will be taken before each of these, counting from 0; those that have begun are left out."""
    waiting = [job for job in found if job.status == JobStatus.PENDING]
    if len(waiting) == 1:
        job = waiting[0]
        ahead = tuple_(Job.priority, Job.created_at) < (job.priority, job.created_at)
        counted = select(func.count()).where(Job.status == JobStatus.PENDING, Job.queue == job.queue, ahead)
        return {job.id: session.scalar(counted) or 0}
    if not waiting:
        return {}
    place = func.rank().over(partition_by=Job.queue, order_by=(Job.priority, Job.created_at)) - 1
    line = select(Job.id, place.label("place")).where(Job.status == JobStatus.PENDING).subquery()
    rows = session.execute(select(line.c.id, line.c.place).where(line.c.id.in_([job.id for job in waiting])))
    return {row.id: row.place for row in rows}
