"""Named leases in the database: one process at a time sweeps, and one does what is due once in a while.

Works alike on PostgreSQL and SQLite, which has no advisory locks; a holder that dies is replaced when its time is up.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, false, or_, update
from sqlalchemy.orm import Session

from copyist.db.insert import insert
from copyist.db.tables import Lock, now


def acquire(session: Session, name: str, holder: str, seconds: float) -> bool:
    """Take the lock ``name`` for ``seconds``, or keep it if it is already ours; ``False`` while another holds it."""
    return _take(session, name, holder, seconds, Lock.holder == holder)


def once(session: Session, name: str, holder: str, seconds: float) -> bool:
    """``True`` for one caller within ``seconds``, however many there are and however often they start anew.

    ``release`` ends the period early.
    """
    return _take(session, name, holder, seconds, false())


def _take(session: Session, name: str, holder: str, seconds: float, ours: ColumnElement[bool]) -> bool:
    moment, length = now(), timedelta(seconds=seconds)
    until = moment + length
    # Twice as far ahead nobody can have meant it: a clock was wrong then, or the period was longer.
    free = or_(ours, Lock.until <= moment, Lock.until > until + length)
    taken = session.execute(
        update(Lock).where(Lock.name == name, free).values(holder=holder, until=until).returning(Lock.name)
    ).first()
    if taken:
        return True
    made = insert(session, Lock).values(name=name, holder=holder, until=until).on_conflict_do_nothing()
    return session.execute(made.returning(Lock.name)).first() is not None


def release(session: Session, name: str, holder: str) -> None:
    """Let the lock go, if it is ours."""
    session.execute(update(Lock).where(Lock.name == name, Lock.holder == holder).values(until=now()))
