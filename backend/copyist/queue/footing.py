"""What every process of the queue stands on: settings, database, storage, the broker. It has no engine."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache

from copyist import settings as configuration
from copyist.db.session import Database
from copyist.queue.routing import Sender, celery_app
from copyist.settings import Settings
from copyist.storage import Storage


@dataclass
class Footing:
    """One per process. Beat has this and no more; a worker's ``Context`` adds engines."""

    settings: Settings
    db: Database
    storage: Storage
    sender: Sender
    holder: str
    """Under this name the process takes locks."""


def connect(settings: Settings) -> Footing:
    """Connect everything for ``settings``; the database is at its newest revision by now."""
    return Footing(
        settings=settings,
        db=Database(settings.database),
        storage=Storage(settings.storage),
        sender=Sender(celery_app(settings.redis_url), settings.redis_url),
        holder=f"{socket.gethostname()}:{os.getpid()}",
    )


@cache
def footing() -> Footing:
    """The footing of this process, where it reads no pages."""
    return connect(configuration.load())
