"""Backpressure: whether there is room for another job, told without asking the database for every upload."""

from __future__ import annotations

import time

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from starlette.concurrency import run_in_threadpool

from copyist.db import backlog
from copyist.db.session import Database
from copyist.errors import TooManyOpenJobs, Unavailable


class OpenJobs:
    """Whether ``most`` jobs are open, looked up once in ``FRESH_S`` by one of those who ask."""

    FRESH_S = 1.0

    def __init__(self, db: Database, most: int) -> None:
        self._db, self._most = db, most
        self._is_full = False
        self._until = 0.0

    async def check(self) -> None:
        """Raises ``TooManyOpenJobs`` while the queue is full, and ``Unavailable`` while nobody can tell."""
        if time.monotonic() >= self._until:
            self._until = time.monotonic() + self.FRESH_S
            try:
                self._is_full = await run_in_threadpool(self._look)
            except (DBAPIError, NoConnectionFree) as error:
                self._until = 0.0
                raise Unavailable(what="The database") from error
        if self._is_full:
            raise TooManyOpenJobs(limit=self._most)

    def _look(self) -> bool:
        with self._db.read() as session:
            return backlog.is_full(session, self._most)
