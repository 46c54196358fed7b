"""What a request handler works with, one per process: settings, database, storage, the broker and the bell."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from copyist.api.keyring import Keyring
from copyist.api.openjobs import OpenJobs
from copyist.api.quotas import Quotas
from copyist.api.waiting import Bell
from copyist.db import migrate, pace, presence
from copyist.db.pace import Pace
from copyist.db.progress import Progress
from copyist.db.session import Database
from copyist.db.states import JOB_ENDED
from copyist.db.tables import Job, now
from copyist.queue.routing import Sender
from copyist.reasons import Trouble
from copyist.settings import Settings
from copyist.storage import Storage

log = logging.getLogger(__name__)

Found = TypeVar("Found")


class Opening:
    """Brings the database to the newest revision, as often as it takes, and opens it: the API starts without it."""

    FIRST_S, LONGEST_S = 0.2, 5.0
    """From a try that failed to the next, at first and in the end."""
    STARTS_WITHOUT_S = 2.0
    """So long the API holds its start for a database that answers soon."""

    def __init__(self, db: Database, url: str) -> None:
        self._db, self._url = db, url
        self._trouble = Trouble(log, "the database")
        self._tried, self._over = threading.Event(), threading.Event()

    @property
    def problem(self) -> str | None:
        """Why nothing can be asked of the database yet; ``None`` once it can."""
        return None if self._db.is_open else self._trouble.reason or "it is being opened"

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Try in the background until it is open or the context ends."""
        # A thread of its own, which nobody waits for: a driver may hang for long in a network that swallows everything.
        thread = threading.Thread(target=self._run, name="opening", daemon=True)
        thread.start()
        await asyncio.to_thread(self._tried.wait, self.STARTS_WITHOUT_S)
        try:
            yield
        finally:
            self._over.set()
            await asyncio.to_thread(thread.join, 1.0)

    def _run(self) -> None:
        pause_s = self.FIRST_S
        while not self._over.is_set():
            try:
                migrate.upgrade(self._url)
            except Exception as error:
                self._trouble.met(error)
            else:
                self._db.is_open = True
                self._trouble.over()
            self._tried.set()
            if self._db.is_open:
                return
            self._over.wait(pause_s)
            pause_s = min(1.5 * pause_s, self.LONGEST_S)


class Looks:
    """Looks after what the API stands on, part by part, each in a thread that no request needs.

    While a look hangs no other is sent after it, so whoever asks often, or many at once, cost no more than one.
    """

    WITHIN_S = 6.0

    def __init__(self, *parts: str) -> None:
        self._pool = ThreadPoolExecutor(len(parts), thread_name_prefix="look")
        self._running: dict[str, Future[Any]] = {}
        self._trouble = {part: Trouble(log, f"the {part}") for part in parts}

    async def at(self, part: str, look: Callable[[], Found]) -> Found | str:
        """What ``look`` finds, or why it finds nothing."""
        running = self._running.get(part)
        if running is None or running.done():
            running = self._running[part] = self._pool.submit(self._look, part, look)
        await asyncio.wait([asyncio.wrap_future(running)], timeout=self.WITHIN_S)
        return running.result() if running.done() else self._trouble[part].met(TimeoutError())

    def _look(self, part: str, look: Callable[[], Found]) -> Found | str:
        try:
            found = look()
        except Exception as error:
            return self._trouble[part].met(error)
        self._trouble[part].over()
        return found

    def close(self) -> None:
        """Send no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class KnownEngines:
    """The engines of the living workers, asked of the database at most every ``FRESH_S`` seconds."""

    FRESH_S = 2.0

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, dict[str, Any]] = {}
        self._until = 0.0

    def __call__(self) -> dict[str, dict[str, Any]]:
        """Engine name to what is known of it."""
        if time.monotonic() > self._until:
            with self._db.read() as session:
                self._known = presence.engines(session)
            self._until = time.monotonic() + (self.FRESH_S if self._known else 0)
        return self._known


class Paces:
    """When jobs will have been read: measured at most every ``FRESH_S`` seconds."""

    FRESH_S = 2.0

    def __init__(self) -> None:
        self._known: dict[str, Pace] = {}
        self._until = 0.0

    def eta(self, session: Session, job: Job, progress: Progress, position: int | None) -> datetime | None:
        """The moment at which the job has probably ended; ``None`` where it has, or where nobody can say."""
        if job.status in JOB_ENDED:
            return None
        here = self._measured(session).get(job.queue)
        if here is None:
            return None
        left = None if job.pages_total is None else job.pages_total - progress.done - progress.failed
        return now() + timedelta(seconds=here.seconds(job.id, left, position or 0))

    def _measured(self, session: Session) -> dict[str, Pace]:
        # By one of those who ask, in the session that it has: each with a second one, they would wait for each other.
        if time.monotonic() > self._until:
            self._until = time.monotonic() + self.FRESH_S
            self._known = pace.measure(session)
        return self._known


@dataclass(frozen=True)
class Service:
    """Made when the application starts, handed to every handler."""

    settings: Settings
    db: Database
    storage: Storage
    sender: Sender
    bell: Bell
    engines: KnownEngines
    opening: Opening
    looks: Looks
    paces: Paces
    keys: Keyring
    quotas: Quotas
    open_jobs: OpenJobs


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Here = Annotated[Service, Depends(_service)]
