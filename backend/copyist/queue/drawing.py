"""Pictures of pages, drawn when somebody looks at them and kept beside the file."""

from __future__ import annotations

import logging

from copyist import storage
from copyist.db import jobs
from copyist.errors import CopyistError, NotFound
from copyist.media import MediaKind
from copyist.pipeline.render import page_picture
from copyist.queue.context import Context
from copyist.queue.routing import News

log = logging.getLogger(__name__)


def draw(context: Context, job_id: str, number: int) -> None:
    """Store the JPEG of a page in the frame that its boxes are in, and ring."""
    with context.db.read() as session:
        try:
            job = jobs.get(session, job_id)
        except NotFound:
            return
        kind = MediaKind(jobs.kind_of(session, job))
    key = storage.picture_key(job.file_sha256, number)
    if not context.storage.exists(key):
        try:
            with context.storage.local(storage.file_key(job.file_sha256)) as path:
                picture = page_picture(path, kind, number, max_pixels=context.settings.max_pixels)
        except (CopyistError, FileNotFoundError) as error:
            log.info("page %d of job %s cannot be drawn: %s", number, job_id, type(error).__name__)
            return
        context.storage.put(key, picture)
    context.sender.ring(job_id, News.PICTURE)
