"""What a request handler works with, one per process: settings, database, storage, the broker and the bell."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from copyist.api.waiting import Bell
from copyist.db import presence
from copyist.db.session import Database
from copyist.queue.routing import Sender
from copyist.settings import Settings
from copyist.storage import Storage


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


@dataclass(frozen=True)
class Service:
    """Made when the application starts, handed to every handler."""

    settings: Settings
    db: Database
    storage: Storage
    sender: Sender
    bell: Bell
    engines: KnownEngines


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Here = Annotated[Service, Depends(_service)]
