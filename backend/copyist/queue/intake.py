"""Intake: look into a job's file once, make its page rows, and set the first pages going."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

import structlog

from copyist import storage, tracing
from copyist.db import jobs, pages, presence, readings
from copyist.db.pages import Claim
from copyist.db.states import JobStatus
from copyist.db.tables import Job
from copyist.errors import CopyistError, FileGone
from copyist.media import MediaKind
from copyist.pageranges import parse_pages
from copyist.pipeline.intake import inspect
from copyist.queue import champion
from copyist.queue.context import Context
from copyist.queue.reading import is_ours, read_claimed, uncounted_if_ours
from copyist.queue.routing import News
from copyist.queue.tally import TALLY
from copyist.queue.upkeep import window
from copyist.queue.watch import Watch

log = logging.getLogger(__name__)


def take_in(context: Context, job_id: str, *, token: str) -> None:
    """Take a job in, if nobody else has. The first page is read at once, by this very process."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(job=job_id)
    settings = context.settings
    with context.db.write() as session:
        job = jobs.claim_intake(
            session, job_id, token=token, lease_s=settings.lease_s, max_attempts=settings.page_attempts
        )
        kind = MediaKind(jobs.kind_of(session, job)) if job else None
    if job is None or kind is None:
        return
    first = None
    span = tracing.span("intake", parent=job.traceparent, job=job_id, attempt=job.attempts)
    with span, uncounted_if_ours(partial(_give_back, context, job_id, token)):
        first = _look_into(context, job, kind, token)
    if first is not None:
        read_claimed(context, first)


def _look_into(context: Context, job: Job, kind: MediaKind, token: str) -> Claim | None:
    """Make the pages of a job whose file is ours to look into; gives the first to read, if there is one."""
    settings, job_id = context.settings, job.id
    with _watch(context, job_id, token) as watch:
        if champion.is_due(context, job.options) and not champion.bring(context, watch):
            return None
        watch.stage("intake", settings.intake_timeout_s)
        try:
            numbers = _numbers(context, job, kind)
            keys = _cache_keys(context, job, numbers)
        except Exception as error:
            if is_ours(error):
                raise
            if isinstance(error, CopyistError):
                _refuse(context, job_id, token, error)
                return None
            if job.attempts < settings.page_attempts:
                raise
            log.exception("the file could not be looked into")
            _refuse(context, job_id, token, CopyistError())
            return None
    return _open(context, job_id, token, numbers, keys)


def _give_back(context: Context, job_id: str, token: str) -> None:
    with context.db.write() as session:
        jobs.give_back_intake(session, job_id, token)


def _watch(context: Context, job_id: str, token: str) -> Watch:
    def extend() -> bool:
        with context.db.write() as session:
            return jobs.extend(session, job_id, token, context.settings.lease_s)

    # A file that holds intake up is tried again like one that kills it, and given up in the same way.
    return Watch(
        extend=extend, overrun=lambda _stage, _limit_s: None, give_back=partial(_give_back, context, job_id, token)
    )


def _numbers(context: Context, job: Job, kind: MediaKind) -> tuple[int, ...]:
    """The page numbers to read."""
    settings = context.settings
    wanted = job.options.get("pages")
    try:
        with context.storage.local(storage.file_key(job.file_sha256)) as path:
            found = inspect(path, kind, max_pages=settings.max_pages, max_pixels=settings.max_pixels)
    except FileNotFoundError as error:
        raise FileGone from error
    return parse_pages(wanted, found.pages) if wanted else tuple(range(1, found.pages + 1))


def _refuse(context: Context, job_id: str, token: str, error: CopyistError) -> None:
    log.info("the file cannot be read: %s", error.code)
    with context.db.write() as session:
        job = jobs.held(session, job_id, token)
        if job is not None:
            jobs.end(session, job, JobStatus.FAILED, error)
    context.sender.ring(job_id, News.ENDED)


def _open(context: Context, job_id: str, token: str, numbers: tuple[int, ...], keys: Mapping[str, int]) -> Claim | None:
    """Make the page rows, serve what was read before, send the window; claims the page to read here and now."""
    settings = context.settings
    with context.db.write() as session:
        job = jobs.held(session, job_id, token)
        if job is None:
            return None
        jobs.open_pages(session, job, numbers)
        known = readings.cached(session, keys, hold=True)
        pages.serve_from_cache(session, job, {keys[key]: reading for key, reading in known.items()})
        ended = jobs.close_if_read(session, job)
        size = window(context, presence.capacity(session), job.queue)
        first, *others = (None,) if ended else pages.take_to_send(session, job_id, size)
        claim = first and pages.claim(
            session, job_id, first, token=token, lease_s=settings.lease_s, max_attempts=settings.page_attempts
        )
    for reading in known.values():
        TALLY.page(reading.engine, "cached", confidence=reading.confidence)
    if ended:
        log.info("all %d pages were read before", len(numbers))
        context.sender.ring(job_id, News.ENDED)
    context.sender.pages(job_id, [number for number in others if number], queue=job.queue, priority=job.priority)
    return claim or None


def _cache_keys(context: Context, job: Job, numbers: tuple[int, ...]) -> dict[str, int]:
    """Where each page would be found if it was read before; raises ``InvalidOption`` for an engine there is not."""
    context.chain(job.options)
    identities = context.identities(job.options)
    return {
        context.cache_key(job.file_sha256, number, job.options, identity): number
        for number in numbers
        for identity in identities
    }
