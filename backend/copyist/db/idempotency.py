"""``Idempotency-Key``: the same request again has the answer of the first, and does nothing a second time.

The row is written before the work begins, with the id that the job will have; where the work fails it goes away, so the
same key may be tried again. A process that died in between leaves a row: if its job is there, that is the answer for as
long as any; if not, the key is held for ``IN_FLIGHT`` and no longer. A job that somebody deletes frees its key.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, exists, not_, or_, select, update
from sqlalchemy.orm import Session

from copyist.db.insert import insert
from copyist.db.tables import Batch, GoneJob, IdempotencyKey, Job, now
from copyist.errors import IdempotencyConflict, IdempotencyInFlight

KEPT = timedelta(hours=24)
IN_FLIGHT = timedelta(minutes=10)


def begin(session: Session, owner: str, key: str, fingerprint: str, resource: str) -> str | None:
    """Take the key for work that makes ``resource``. ``None``: do it; else the id of what the first request made.

    Raises ``IdempotencyConflict`` when the key came with something else, ``IdempotencyInFlight`` while the first is at
    work.
    """
    moment = now()
    session.execute(delete(IdempotencyKey).where(*_row(owner, key), _is_free(moment)))
    row = {"owner": owner, "key": key, "fingerprint": fingerprint, "resource": resource, "done": False}
    ours = insert(session, IdempotencyKey).values(row | {"until": moment + KEPT}).on_conflict_do_nothing()
    if session.execute(ours.returning(IdempotencyKey.key)).first() is not None:
        return None
    first = session.scalar(select(IdempotencyKey).where(*_row(owner, key)))
    if first is None:
        raise IdempotencyInFlight
    if first.fingerprint != fingerprint:
        raise IdempotencyConflict
    if not first.done and not session.scalar(select(exists().where(Job.id == first.resource))):
        raise IdempotencyInFlight
    return first.resource


def _is_free(moment: datetime) -> ColumnElement[bool]:
    """Whether a row says nothing any more: it is old, its process died before it made a job, or that was deleted."""
    no_job = ~exists().where(Job.id == IdempotencyKey.resource)
    died = and_(not_(IdempotencyKey.done), IdempotencyKey.until < moment + KEPT - IN_FLIGHT)
    deleted = and_(
        IdempotencyKey.done,
        ~exists().where(Batch.id == IdempotencyKey.resource),
        ~exists().where(GoneJob.id == IdempotencyKey.resource),
    )
    return or_(IdempotencyKey.until < moment, and_(no_job, or_(died, deleted)))


def done(session: Session, owner: str, key: str, resource: str) -> None:
    """The work is done: who comes with the key again gets what it made."""
    ours = (*_row(owner, key), IdempotencyKey.resource == resource)
    session.execute(update(IdempotencyKey).where(*ours).values(done=True))


def give_up(session: Session, owner: str, key: str, resource: str) -> None:
    """The work failed: the key is free again, unless the job was made all the same and only the answer failed."""
    ours = (*_row(owner, key), IdempotencyKey.resource == resource, IdempotencyKey.done.is_(False))
    session.execute(delete(IdempotencyKey).where(*ours, ~exists().where(Job.id == resource)))


def forget_old(session: Session) -> None:
    """Delete keys whose time is over."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.until < now()))


def _row(owner: str, key: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return IdempotencyKey.owner == owner, IdempotencyKey.key == key
