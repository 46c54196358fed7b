"""What owners want to be told, and the messages that tell it: rows that wait until they are delivered."""

from __future__ import annotations

from sqlalchemy.orm import Session

from copyist.db.tables import Job


def job_ended(session: Session, job: Job) -> None:
    """Put into the queue what is to be told of a job that has just ended, in the transaction that ends it."""
