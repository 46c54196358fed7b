"""Pictures of lines that somebody corrected, cut out of their pages soon after, while the file is still there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import structlog

from copyist import storage
from copyist.db import examples
from copyist.db.examples import NOT_HANDWRITING, PageToCut
from copyist.document import Box
from copyist.errors import CopyistError
from copyist.media import MediaKind
from copyist.pipeline.render import PageSource
from copyist.queue.context import Context
from copyist.queue.reading import is_ours, uncounted_if_ours
from copyist.queue.watch import Watch
from copyist.training.crops import Cut, cut
from copyist.training.examples import sha256_of, split_of

log = logging.getLogger(__name__)

_FILE_GONE = "The file is gone."
_TOO_SLOW = "Cutting it out of its page took longer than {seconds:g} s."


def cut_lines(context: Context, job_id: str, number: int) -> None:
    """Cut out those lines of a page that wait for it. Running this twice, or late, gives the same rows.

    What cannot be cut out gets a problem in words. While the storage is away or full, the lines go on waiting, and are
    sent again (``upkeep.send_lines``).
    """
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(job=job_id, page=number)
    with context.db.write() as session:
        page = examples.to_cut(session, job_id, number)
    if page is None:
        return

    def give_back() -> None:
        with context.db.write() as session:
            examples.give_back(session, job_id, number)

    def give_up(why: str) -> None:
        log.info("lines of the page cannot be cut out: %s", why)
        with context.db.write() as session:
            examples.problem(session, job_id, number, why)

    with (
        uncounted_if_ours(give_back),
        Watch(
            extend=lambda: True,
            give_back=give_back,
            overrun=lambda _stage, limit_s: give_up(_TOO_SLOW.format(seconds=limit_s)),
        ) as watch,
    ):
        watch.stage("cutting lines", context.settings.intake_timeout_s)
        problem = _attempt(context, job_id, number, page)
        if problem is not None:
            give_up(problem)


def _attempt(context: Context, job_id: str, number: int, page: PageToCut) -> str | None:
    """Cut the lines out and keep them, or say why that cannot be."""
    if not page.is_handwriting:
        return NOT_HANDWRITING
    try:
        done = _cut(context, page, number, [box for _, box in page.lines])
    except FileNotFoundError:
        return _FILE_GONE
    except CopyistError as error:
        if is_ours(error):
            raise
        return error.detail
    _keep(context, job_id, number, page, done)
    return None


def _cut(context: Context, page: PageToCut, number: int, boxes: Sequence[Box]) -> Cut:
    if page.kind is None:
        raise FileNotFoundError(page.file_sha256)
    with (
        context.storage.local(storage.file_key(page.file_sha256)) as path,
        PageSource(path, MediaKind(page.kind), max_pixels=context.settings.max_pixels) as source,
    ):
        return cut(source, number, boxes)


def _keep(context: Context, job_id: str, number: int, page: PageToCut, done: Cut) -> None:
    """Store the pictures, and then write down that they are there."""
    pictures: dict[int, str | None] = {}
    for (line, _), picture in zip(page.lines, done.pictures, strict=True):
        pictures[line] = sha256_of(picture) if picture else None
        if picture:
            context.storage.put(storage.line_key(sha256_of(picture)), picture)
    with context.db.write() as session:
        nobodys = examples.cut(
            session,
            job_id,
            number,
            page_sha256=done.page_sha256,
            split=split_of(done.page_sha256),
            recipe=done.recipe,
            pictures=pictures,
        )
    # The job was deleted while its lines were cut out.
    context.storage.delete(*(storage.line_key(sha256) for sha256 in nobodys))
