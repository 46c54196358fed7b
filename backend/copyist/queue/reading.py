"""Reading one page: claim it, read it under a watch, write its one result, send the next."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from copyist import storage, tracing
from copyist.db import pages, readings
from copyist.db.pages import Claim, Finished, Lease
from copyist.db.tables import now
from copyist.document import TextPolicy
from copyist.engines.base import Outcome, Try
from copyist.engines.setup import formula_chain
from copyist.errors import CopyistError, FileGone, PageFailed, StorageFull, TimeLimit, Unavailable
from copyist.media import MediaKind
from copyist.pipeline.flow import PageReading
from copyist.pipeline.flow import read_page as read
from copyist.pipeline.render import PageSource
from copyist.queue import champion
from copyist.queue.context import Context
from copyist.queue.routing import News
from copyist.queue.tally import NOBODY, TALLY
from copyist.queue.watch import Cancelled, Watch
from copyist.reasons import Trouble, is_full, why
from copyist.reasons import known as reason_known
from copyist.tracing import Span

log = logging.getLogger(__name__)

CRASHES_ALLOWED = 1
"""Lost workers that an engine is forgiven on one page: one may be bad luck, two are a pattern."""
LOADING_S = 600.0
"""How long a page waits for its engine to be loaded, and for its turn with it."""
GIVE_BACK_EVERY_S, GIVE_BACK_WITHIN_S = 1.0, 900.0
"""How often and how long it is tried to give a page back to a database that is away."""
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError, NoConnectionFree)


def read_one(context: Context, job_id: str, number: int, *, token: str) -> None:
    """Read a page, if nobody else has it. Running this twice, or late, gives the same rows."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(job=job_id, page=number)
    settings = context.settings
    with context.db.write() as session:
        claim = pages.claim(
            session, job_id, number, token=token, lease_s=settings.lease_s, max_attempts=settings.page_attempts
        )
    if claim is None:
        return
    with _span(claim) as span, _uncounted_if_ours(context, claim.lease):
        if not _champion_is_here(context, claim):
            return
        known = _serve_known(context, claim, span)
        if known is not None:
            _go_on(context, job_id, known)
        else:
            _read_and_go_on(context, claim, span)


def _span(claim: Claim) -> AbstractContextManager[Span]:
    """What is done with a page, in the trace of its job."""
    return tracing.span(
        "page",
        parent=claim.traceparent,
        job=claim.lease.job_id,
        page=claim.lease.number,
        attempt=claim.attempts,
    )


def is_ours(error: Exception) -> bool:
    """Whether something that we stand on was away or full, which says nothing about the page: it goes by.

    A database also fails of what one page brings, each time anew. Only failures of the kinds that we know are taken for
    its own, and connections that broke, in whatever words.
    """
    if isinstance(error, DATABASE_AWAY):
        # Without a statement it failed to connect or to commit.
        lost = isinstance(error, DBAPIError) and (error.connection_invalidated or error.statement is None)
        return lost or reason_known(error) is not None
    return isinstance(error, StorageFull | Unavailable) or (isinstance(error, OSError) and is_full(error))


@contextmanager
def uncounted_if_ours(give_back: Callable[[], None]) -> Iterator[None]:
    """Work that fails because something of ours is away or full is given back, uncounted, and the sweep sends it again.

    Where the database is away it cannot be told so: then this waits for it, since nothing else could be done, either.
    """
    try:
        yield
    except Exception as error:
        if not is_ours(error):
            raise
        log.warning("given back, to be tried again: %s", why(error))
    else:
        return
    trouble, until = Trouble(log, "the database"), time.monotonic() + GIVE_BACK_WITHIN_S
    while True:
        try:
            return give_back()
        except DATABASE_AWAY as error:
            if time.monotonic() > until:
                raise
            trouble.met(error)
        time.sleep(GIVE_BACK_EVERY_S)


def _uncounted_if_ours(context: Context, lease: Lease) -> AbstractContextManager[None]:
    def give_back() -> None:
        with context.db.write() as session:
            pages.give_back(session, lease)

    return uncounted_if_ours(give_back)


def was_tried(context: Context, job_id: str, number: int) -> bool:
    """Whether an earlier attempt at the page came to nothing."""
    with context.db.read() as session:
        return pages.attempts(session, job_id, number) > 0


def read_claimed(context: Context, claim: Claim) -> None:
    """Read a page that is ours, and write what came of it."""
    with _span(claim) as span, _uncounted_if_ours(context, claim.lease):
        _read_and_go_on(context, claim, span)


def _champion_is_here(context: Context, claim: Claim) -> bool:
    """Fetch the newest champion, if the page is its; ``False`` when the page is ours no more."""
    if not champion.is_due(context, claim.options):
        return True
    with _watch(context, claim) as watch:
        return champion.bring(context, watch)


def _read_and_go_on(context: Context, claim: Claim, span: Span) -> None:
    structlog.contextvars.bind_contextvars(page=claim.lease.number)
    finished = _read(context, claim, span)
    if finished is None:
        log.info("the page was cancelled or taken over while it was read; this reading is dropped")
    else:
        _go_on(context, claim.lease.job_id, finished)


def _go_on(context: Context, job_id: str, finished: Finished) -> None:
    """Send the job's next page, or tell that it has ended."""
    context.sender.pages(job_id, finished.send, queue=finished.queue, priority=finished.priority)
    context.sender.ring(job_id, News.ENDED if finished.job_ended else News.PAGE)


def _serve_known(context: Context, claim: Claim, span: Span) -> Finished | None:
    """The same page was read in the meantime, for another job: use that."""
    keys = _keys(context, claim)
    if not keys:
        return None
    with context.db.read() as session:
        found = readings.cached(session, keys)
    known = next((found[key] for key in keys if key in found), None)
    if known is None:
        return None
    # In a transaction of its own: the claim locked the page, and here the job has to be locked first.
    with context.db.write() as session:
        finished = pages.finish_with(session, claim.lease, known, earlier=claim.trail)
    if finished is not None:
        _settled(span, known.engine, "cached", confidence=known.confidence, trail=claim.trail)
    return finished


def _settled(
    span: Span,
    engine: str,
    outcome: str,
    *,
    seconds: float | None = None,
    confidence: float | None = None,
    trail: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Count a page that is settled, and tell its trace how."""
    TALLY.page(engine, outcome, seconds=seconds, confidence=confidence, trail=trail)
    span.tell(engine=engine, outcome=outcome, confidence=confidence)
    for step in trail:
        told = {name: step.get(name) for name in ("engine", "outcome", "reason", "seconds", "confidence")}
        span.event("try", **told)


def _keys(context: Context, claim: Claim) -> list[str]:
    """Where the page may be kept: first as one that holds no bare formulas, last as one that does."""
    sha256, number, options = claim.file_sha256, claim.lease.number, claim.options
    return [context.cache_key(sha256, number, options, identity) for identity in context.identities(options)]


def _left_s(claim: Claim) -> float:
    """How long the page may still take."""
    return max(0.0, (claim.until - now()).total_seconds()) if claim.until else math.inf


def _read(context: Context, claim: Claim, span: Span) -> Finished | None:
    if _left_s(claim) == 0:
        return _fail(context, claim, span, TimeLimit(seconds=f"{claim.options['page_time_limit']:g}"), [*claim.trail])
    before, began = _keys(context, claim), time.perf_counter()
    try:
        with _watch(context, claim) as watch:
            reading = _through_the_pipeline(context, claim, watch)
    except Cancelled:
        return None
    except Exception as error:
        # Of a fault of ours, too, another attempt may do.
        if is_ours(error):
            raise
        if isinstance(error, CopyistError):
            return _fail(context, claim, span, error)
        if claim.attempts < context.settings.page_attempts:
            raise
        log.exception("the page could not be read")
        return _fail(context, claim, span, CopyistError())
    trail = [*_earlier(claim), *(_as_row(step) for step in reading.trail)]
    if reading.page is None:
        tried = ", ".join(dict.fromkeys(step.engine for step in reading.trail))
        return _fail(context, claim, span, PageFailed(engines=tried), trail)
    keys = _keys(context, claim) if reading.may_be_cached else []
    if keys != before:
        keys = []  # An engine came or went meanwhile: nobody can say whether it was there when its turn came.
    key = keys[-1 if reading.had_bare_formulas else 0] if keys else None
    log.info("read by %s", reading.page.engine)
    page, seconds = reading.page, time.perf_counter() - began
    with context.db.write() as session:
        finished = pages.finish(session, claim.lease, page, trail=trail, degraded=reading.degraded, cache_key=key)
    if finished is not None:
        _settled(span, page.engine, "read", seconds=seconds, confidence=page.confidence, trail=trail)
    return finished


def _through_the_pipeline(context: Context, claim: Claim, watch: Watch) -> PageReading:
    settings = context.settings

    def engine_is_wanted(name: str) -> None:
        with context.db.write() as session:
            pages.note_engine(session, claim.lease, name)
        # Who loads it cannot be stopped; who waits for that, or for a turn, can.
        waits = context.registry.is_loaded(name) or context.registry.is_loading(name)
        watch.stage(name, LOADING_S, stops=waits)

    def engine_reads(name: str) -> None:
        limit_s = min(settings.engine_timeout_s, _left_s(claim))
        watch.stage(name, limit_s, stops=context.registry.engine_class(name).stops)

    chain = context.chain(claim.options)
    # It is over soon and then heeds a stop, which is better than to end a process that may have a model loaded.
    watch.stage("rendering", settings.intake_timeout_s, stops=True)
    try:
        with (
            context.storage.local(storage.file_key(claim.file_sha256)) as path,
            PageSource(path, MediaKind(claim.kind), max_pixels=settings.max_pixels) as source,
        ):
            return read(
                source,
                claim.lease.number,
                chain=chain,
                options=context.read_options(claim.options, watch.stop),
                text=TextPolicy(claim.options.get("text", TextPolicy.AUTO)),
                formulas=lambda: formula_chain(chain),
                skip=skips(claim.trail),
                on_start=engine_is_wanted,
                on_turn=engine_reads,
                let_through=(Cancelled,),
            )
    except FileNotFoundError as error:
        raise FileGone from error


def _watch(context: Context, claim: Claim) -> Watch:
    def extend() -> bool:
        with context.db.write() as session:
            return pages.extend(session, claim.lease, context.settings.lease_s)

    def overrun(stage: str, limit_s: float) -> None:
        attempt = Try(stage, Outcome.TIMED_OUT, f"It did not finish within {limit_s:g} s.", seconds=limit_s)
        if stage in context.registry.names:
            with context.db.write() as session:
                pages.give_up_engine(session, claim.lease, _as_row(attempt))

    def give_back() -> None:
        with context.db.write() as session:
            pages.give_back(session, claim.lease)

    return Watch(extend=extend, overrun=overrun, give_back=give_back)


def skips(trail: tuple[Mapping[str, Any], ...]) -> dict[str, Try]:
    """Engines to leave out on this page, by what earlier attempts met: one that hung, or took its worker down twice."""
    crashes = Counter(step["engine"] for step in trail if step["outcome"] == Outcome.CRASHED)
    hung = {step["engine"]: step["reason"] for step in trail if step["outcome"] == Outcome.TIMED_OUT}
    left_out = {engine: Try(engine, Outcome.TIMED_OUT, reason) for engine, reason in hung.items()}
    for engine, count in crashes.items():
        if count > CRASHES_ALLOWED:
            left_out[engine] = Try(engine, Outcome.CRASHED, f"It stopped its worker {count} times on this page.")
    return left_out


def _earlier(claim: Claim) -> list[Mapping[str, Any]]:
    """Steps of earlier attempts that this attempt's trail does not repeat."""
    left_out = skips(claim.trail)
    return [step for step in claim.trail if step["engine"] not in left_out]


def _as_row(step: Try) -> dict[str, Any]:
    return {**asdict(step), "seconds": round(step.seconds, 3)}


def _fail(
    context: Context, claim: Claim, span: Span, error: CopyistError, trail: list[Mapping[str, Any]] | None = None
) -> Finished | None:
    log.info("the page failed: %s", error.code)
    with context.db.write() as session:
        finished = pages.fail(session, claim.lease, error, trail=trail)
    if finished is not None:
        tried = [*claim.trail] if trail is None else trail
        _settled(span, tried[-1]["engine"] if tried else NOBODY, "failed", trail=tried)
        span.failed(error.code)
    return finished
