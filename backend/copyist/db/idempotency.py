"""``Idempotency-Key``: the same request again has the answer of the first, and does nothing a second time.

The row is written before the work begins, with the id that the job will have; where the work fails it goes away, so the
same key may be tried again. A process that died in between leaves a row: if its job is there, that is the answer; if
not, the key is held for ``IN_FLIGHT`` and no longer.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import Session

from copyist.db.insert import insert
from copyist.db.tables import IdempotencyKey, Job, now
from copyist.errors import IdempotencyConflict, IdempotencyInFlight

KEPT = timedelta(hours=24)
IN_FLIGHT = timedelta(minutes=10)


def begin(session: Session, owner: str, key: str, fingerprint: str, resource: str) -> str | None:
    """Take the key for work that makes ``resource``. ``None``: do it; else the id of what the first request made.

    Raises ``IdempotencyConflict`` when the key came with something else, ``IdempotencyInFlight`` while the first is at
    work.
    """
    moment = now()
    session.execute(delete(IdempotencyKey).where(*_row(owner, key), IdempotencyKey.until < moment))
    row = {"owner": owner, "key": key, "fingerprint": fingerprint, "resource": resource, "done": False}
    ours = insert(session, IdempotencyKey).values(row | {"until": moment + IN_FLIGHT}).on_conflict_do_nothing()
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


def done(session: Session, owner: str, key: str) -> None:
    """The work is done: who comes with the key again gets what it made."""
    session.execute(update(IdempotencyKey).where(*_row(owner, key)).values(done=True, until=now() + KEPT))


def give_up(session: Session, owner: str, key: str) -> None:
    """The work failed: the key is free again."""
    session.execute(delete(IdempotencyKey).where(*_row(owner, key), IdempotencyKey.done.is_(False)))


def forget_old(session: Session) -> None:
    """Delete keys whose time is over."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.until < now()))


def _row(owner: str, key: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return IdempotencyKey.owner == owner, IdempotencyKey.key == key
