"""Expiry: jobs whose time is over are deleted with all that is theirs, and workers that are long gone forgotten.

When a job expires follows from its end and from ``KEEP_JOBS_DAYS``, so that a change of the setting counts at once, for
jobs that ended long ago, too. Only where a job was sent with a time of its own does that stand in its row.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from copyist.db import batches, forgetting, idempotency, presence
from copyist.db.tables import now
from copyist.queue.footing import Footing
from copyist.settings import Settings

log = logging.getLogger(__name__)

LONGEST_PERIOD_S = 600.0
BATCH = 200
GONE_KEPT = timedelta(days=90)
"""How long the id of a job that expired is remembered."""
PAUSE_S = 0.01
"""After each job. SQLite has one writer at a time and no queue for it: without a pause others wait for seconds."""


def period_s(settings: Settings) -> float:
    """The time between two rounds: shorter where jobs are kept so briefly that ten minutes more would count."""
    keep = settings.keep_jobs
    return min(LONGEST_PERIOD_S, max(1.0, keep.total_seconds() / 10)) if keep else LONGEST_PERIOD_S


def expire(here: Footing) -> bool:
    """One round, of half a period at the longest; ``True`` if it deleted jobs and there are more.

    Each job is deleted in a transaction of its own. One that cannot be, because the file store is away, waits for the
    next round.
    """
    with here.db.write() as session:
        presence.forget_gone(session)
        idempotency.forget_old(session)
        forgetting.forget_gone(session, now() - GONE_KEPT)
        batches.forget_old(session)
    until = time.monotonic() + period_s(here.settings) / 2
    deleted, failed, more = 0, 0, False
    for job_id in _over(here):
        if time.monotonic() > until:
            more = True
            break
        try:
            deleted += _forget(here, job_id)
        except Exception:
            failed += 1
            if failed == 1:  # A file store that is away would fill the log with the others.
                log.exception("job %s could not be deleted and is tried again later", job_id)
        time.sleep(PAUSE_S)
    if deleted or failed:
        log.info("%d jobs were deleted, their time was over; %d could not be", deleted, failed)
    return more and deleted > 0


def _over(here: Footing) -> Iterator[str]:
    """Jobs whose time is over, each once, even where it cannot be deleted."""
    yield from _batches(here, forgetting.over_by_themselves)
    keep = here.settings.keep_jobs
    if keep is not None:
        yield from _batches(here, partial(forgetting.over_since, moment=now() - keep))


def _batches(here: Footing, find: Callable[..., list[tuple[datetime, str]]]) -> Iterator[str]:
    after = None
    while True:
        with here.db.read() as session:
            batch = find(session, limit=BATCH, after=after)
        for after in batch:
            yield after[1]
        if len(batch) < BATCH:
            return


def _forget(here: Footing, job_id: str) -> bool:
    with here.db.write() as session:
        return forgetting.expire(session, job_id, here.settings.keep_jobs, blobs=here.storage)
