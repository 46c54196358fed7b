"""What is due once in a while, and then once: however many beats there are, and however often they are started anew.

Every beat asks after each sweep. The database says to one of them, once in a period, that it is its turn; so no period
is lost or doubled when a beat stops and another goes on. The work is done in a thread of beat's process, so that the
next sweep is in time while a file store is slow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from threading import enumerate as running

from copyist.db import locks
from copyist.queue import expiry, schedule, upkeep, webhooks
from copyist.queue.footing import Footing
from copyist.settings import Settings

log = logging.getLogger(__name__)

DELIVERIES_PERIOD_S = 3600.0


@dataclass(frozen=True)
class Work:
    """Something to do every ``period_s`` seconds. It says whether it wants to go on before the next period."""

    name: str
    period_s: float
    do: Callable[[Footing], bool]


def works(settings: Settings) -> tuple[Work, ...]:
    """All that there is to do."""
    return (
        Work("expiry", expiry.period_s(settings), expiry.expire),
        Work("deliveries", DELIVERIES_PERIOD_S, webhooks.forget_old),
        Work("lines", upkeep.LINES_RESENT_S, upkeep.send_lines),
        Work("training", schedule.period_s(settings), schedule.maybe_start),
    )


def start_due(here: Footing) -> None:
    """Start what is due and not under way in this process."""
    busy = {thread.name for thread in running()}
    for work in works(here.settings):
        if work.name not in busy and _is_our_turn(here, work):
            Thread(target=_do, args=(here, work), name=work.name, daemon=True).start()


def _is_our_turn(here: Footing, work: Work) -> bool:
    with here.db.write() as session:
        return locks.once(session, work.name, here.holder, work.period_s)


def _do(here: Footing, work: Work) -> None:
    try:
        if work.do(here):
            with here.db.write() as session:
                locks.release(session, work.name, here.holder)
    except Exception:
        log.exception("%s failed; it is tried again when it is next due", work.name)
