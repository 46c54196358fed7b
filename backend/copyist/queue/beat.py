"""Beat's scheduler: the sweep runs here, in beat's own process; anything else goes to the workers.

So the sweep is never queued behind the pages that it is to rescue, and it runs while the broker is away.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.beat import PersistentScheduler

from copyist.queue.context import context
from copyist.queue.routing import SWEEP
from copyist.queue.upkeep import run_sweep

log = logging.getLogger(__name__)


class Scheduler(PersistentScheduler):  # type: ignore[misc]
    """Celery's scheduler, which keeps its times in a file, with the sweep done on the spot."""

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:
        """Run what is due."""
        if entry.task != SWEEP:
            return super().apply_async(entry, producer=producer, advance=advance, **options)
        if advance:
            self.reserve(entry)
        try:
            run_sweep(context())
        except Exception:
            log.exception("this sweep failed; the next one tries again")
        return None
