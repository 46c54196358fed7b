"""What a request handler works with, one per process: settings, database, storage, the broker and the bell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from copyist.api.waiting import Bell
from copyist.db.session import Database
from copyist.queue.routing import Sender
from copyist.settings import Settings
from copyist.storage import Storage


@dataclass(frozen=True)
class Service:
    """Made when the application starts, handed to every handler."""

    settings: Settings
    db: Database
    storage: Storage
    sender: Sender
    bell: Bell


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Here = Annotated[Service, Depends(_service)]
