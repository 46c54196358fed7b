"""Beat's scheduler: the sweep, what is due once in a while, and webhooks, all in beat's own process.

So the sweep is never queued behind the pages that it is to rescue, and it runs while the broker is away.
"""

from __future__ import annotations

import logging
from typing import Any

import redis
from celery import beat
from sqlalchemy.exc import SQLAlchemyError

from copyist import pulse
from copyist.queue.footing import footing
from copyist.queue.periodic import start_due
from copyist.queue.routing import SWEEP
from copyist.queue.upkeep import run_sweep
from copyist.queue.webhooks import keep_delivering
from copyist.reasons import Trouble, why

log = logging.getLogger(__name__)
_database = Trouble(log, "the database")


class Scheduler(beat.Scheduler):  # type: ignore[misc]
    """Celery's scheduler with the sweep done on the spot.

    It keeps no file of its times: the sweep comes every few seconds, and when the rest was done stands in the database.
    """

    producer = None
    """Celery's own would wait for the broker before the first sweep. A task that is sent takes one from the pool."""

    def tick(self, *arguments: Any, **options: Any) -> Any:
        """One look at what is due. After a clock was set back, Celery's own would wait until it has caught up."""
        for entry in self.schedule.values():
            if entry.last_run_at > entry.default_now():
                entry.last_run_at, self._heap = entry.default_now(), None
        return super().tick(*arguments, **options)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:
        """Run what is due."""
        if entry.task != SWEEP:
            return super().apply_async(entry, producer=producer, advance=advance, **options)
        if advance:
            self.reserve(entry)
        pulse.beat("beat", self._sweep())
        return None

    def _sweep(self) -> str | None:
        """Sweep, and give what went wrong."""
        try:
            keep_delivering(footing())
            run_sweep(footing())
            start_due(footing())
            _database.over()
            footing().sender.check()
        except redis.RedisError as error:
            return f"The broker does not answer: {why(error)}."
        except SQLAlchemyError as error:
            return f"The database does not answer: {_database.met(error)}."
        except Exception as error:
            log.exception("this sweep failed; the next one tries again")
            return f"The last sweep failed: {why(error)}."
        return None
