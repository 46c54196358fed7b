"""Beat's clock: the sweep goes on whatever is done to the machine's time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from celery import Celery

from copyist.queue.beat import Scheduler
from copyist.queue.routing import SWEEP


def test_the_sweep_goes_on_after_the_clock_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[float] = []
    monkeypatch.setattr(Scheduler, "_sweep", lambda _: swept.append(time.monotonic()))
    app = Celery("test", set_as_current=False)
    app.conf.beat_schedule = {"sweep": {"task": SWEEP, "schedule": 0.1}}
    scheduler = Scheduler(app)
    _tick(scheduler, until=lambda: swept)
    count = len(swept)
    # So the time of the last sweep, and of the next, look to a clock that was set back.
    entry = scheduler.schedule["sweep"]
    entry.last_run_at += timedelta(days=1)
    scheduler._heap = [event._replace(time=event.time + 86_400) for event in scheduler._heap]
    _tick(scheduler, until=lambda: len(swept) > count)


def _tick(scheduler: Scheduler, until: Callable[[], object]) -> None:
    for _ in range(100):
        scheduler.tick()
        if until():
            return
        time.sleep(0.02)
    raise AssertionError("nothing was swept")
