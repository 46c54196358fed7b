"""How much is waiting, for the door: whether there is room for another job."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from copyist.db.states import JOB_OPEN
from copyist.db.tables import Job


def is_full(session: Session, most: int) -> bool:
    """Whether ``most`` jobs or more are open. It reads an index, and no more of it than it must."""
    open_jobs = select(Job.status).where(Job.status.in_(JOB_OPEN))
    return session.execute(open_jobs.offset(most - 1).limit(1)).first() is not None
