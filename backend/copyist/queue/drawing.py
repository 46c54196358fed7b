"""Pictures of pages, drawn when somebody looks at them and kept beside the file."""

from __future__ import annotations

import logging

import structlog

from copyist import storage
from copyist.db import jobs
from copyist.errors import CopyistError, NotFound, Unavailable
from copyist.media import MediaKind
from copyist.pipeline.render import page_picture
from copyist.queue.context import Context
from copyist.queue.reading import is_ours, uncounted_if_ours
from copyist.queue.routing import News
from copyist.queue.watch import Watch

log = logging.getLogger(__name__)


def draw(context: Context, job_id: str, number: int) -> None:
    """Store the JPEG of a page in the frame that its boxes are in, and ring; an empty one says that there is none."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(job=job_id, page=number)
    # What is ours goes by, and whoever looks at the page then asks for its picture again.
    with uncounted_if_ours(lambda: None):
        _draw(context, job_id, number)


def _draw(context: Context, job_id: str, number: int) -> None:
    with context.db.read() as session:
        try:
            job = jobs.get(session, job_id)
        except NotFound:
            return
        kind = MediaKind(jobs.kind_of(session, job))
    key = storage.picture_key(job.file_sha256, number)
    if not context.storage.exists(key):
        with Watch(
            extend=lambda: True, give_back=lambda: None, overrun=lambda _stage, _limit_s: context.storage.put(key, b"")
        ) as watch:
            watch.stage("drawing", context.settings.intake_timeout_s)
            context.storage.put(key, _picture(context, job.file_sha256, kind, number))
    context.sender.ring(job_id, News.PICTURE)


def _picture(context: Context, sha256: str, kind: MediaKind, number: int) -> bytes:
    try:
        with context.storage.local(storage.file_key(sha256)) as path:
            return page_picture(path, kind, number, max_pixels=context.settings.max_pixels)
    except FileNotFoundError as error:
        # It may come back, with its disk: whoever looks at the page is told that there is no picture just now.
        raise Unavailable(what="The file") from error
    except CopyistError as error:
        if is_ours(error):
            raise
        log.info("page %d of file %s cannot be drawn: %s", number, sha256, type(error).__name__)
        return b""
