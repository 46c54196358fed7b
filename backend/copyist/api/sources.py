"""Files that are named instead of sent: by URL, data URI, or the path of one of this server's own."""

from __future__ import annotations

from pathlib import Path

from anyio import CapacityLimiter

from copyist import fetch
from copyist.api import uploads
from copyist.api.callers import Caller
from copyist.api.service import Service
from copyist.api.uploads import Form
from copyist.db.tables import Job

FETCHES = CapacityLimiter(8)
"""Threads that fetch: a slow web server must not take those that answer everybody else."""


def take_in_named(service: Service, caller: Caller, source: str, form: Form, *, filename: str = "") -> Job:
    """Fetch the file and make a job of it, in a thread under ``FETCHES``; raises what ``fetch`` and ``uploads`` do."""
    settings = service.settings
    allowed = fetch.Sources(
        folders=tuple(Path(folder) for folder in settings.fetch_folders),
        urls=settings.fetch_urls,
        max_bytes=settings.max_bytes,
    )
    with fetch.fetched(source.strip(), allowed) as file:
        return uploads.take_in(service, caller, file.content, filename or file.name, form)
