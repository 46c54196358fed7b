"""``Idempotency-Key``: the same request again has the answer of the first, and does nothing a second time.

The row is written before the work begins and says so; it gets the resource when that is there. Where the work fails the
row goes away, so the same key may be tried again. A process that died in between leaves a row that holds the key for
``IN_FLIGHT_S`` and no longer.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from copyist.db.insert import insert
from copyist.db.tables import IdempotencyKey, now
from copyist.errors import IdempotencyConflict, IdempotencyInFlight

KEPT = timedelta(hours=24)
IN_FLIGHT = timedelta(minutes=10)


def begin(session: Session, owner: str, key: str, fingerprint: str) -> str | None:
    """Take the key. ``None``: it is ours, do the work; else the resource that the first request made.

    Raises ``IdempotencyConflict`` when it came with something else, ``IdempotencyInFlight`` while the first is at work.
    """
    moment = now()
    mine = (IdempotencyKey.owner == owner, IdempotencyKey.key == key)
    session.execute(delete(IdempotencyKey).where(*mine, IdempotencyKey.until < moment))
    row = {"owner": owner, "key": key, "fingerprint": fingerprint, "until": moment + IN_FLIGHT}
    ours = insert(session, IdempotencyKey).values(row).on_conflict_do_nothing().returning(IdempotencyKey.key)
    if session.execute(ours).first() is not None:
        return None
    first = session.execute(select(IdempotencyKey.fingerprint, IdempotencyKey.resource).where(*mine)).first()
    if first is None:
        raise IdempotencyInFlight
    if first.fingerprint != fingerprint:
        raise IdempotencyConflict
    if first.resource is None:
        raise IdempotencyInFlight
    return str(first.resource)


def done(session: Session, owner: str, key: str, resource: str) -> None:
    """The work is done: who comes with the key again gets ``resource``."""
    mine = (IdempotencyKey.owner == owner, IdempotencyKey.key == key)
    session.execute(update(IdempotencyKey).where(*mine).values(resource=resource, until=now() + KEPT))


def give_up(session: Session, owner: str, key: str) -> None:
    """The work failed: the key is free again."""
    mine = (IdempotencyKey.owner == owner, IdempotencyKey.key == key)
    session.execute(delete(IdempotencyKey).where(*mine, IdempotencyKey.resource.is_(None)))


def forget_old(session: Session) -> None:
    """Delete keys whose time is over."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.until < now()))
