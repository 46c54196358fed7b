"""Named leases in the database: one process at a time sweeps, migrates, draws.

Works alike on PostgreSQL and SQLite, which has no advisory locks; a holder that dies is replaced when its time is up.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import or_, update
from sqlalchemy.orm import Session

from copyist.db.insert import insert
from copyist.db.tables import Lock, now


def acquire(session: Session, name: str, holder: str, seconds: float) -> bool:
    """Take the lock ``name`` for ``seconds``, or keep it if it is already ours; ``False`` while another holds it."""
    moment = now()
    until = moment + timedelta(seconds=seconds)
    taken = session.execute(
        update(Lock)
        .where(Lock.name == name, or_(Lock.holder == holder, Lock.until < moment))
        .values(holder=holder, until=until)
        .returning(Lock.name)
    ).first()
    if taken:
        return True
    made = insert(session, Lock).values(name=name, holder=holder, until=until).on_conflict_do_nothing()
    return session.execute(made.returning(Lock.name)).first() is not None


def release(session: Session, name: str, holder: str) -> None:
    """Let the lock go, if it is ours."""
    session.execute(update(Lock).where(Lock.name == name, Lock.holder == holder).values(until=now()))
