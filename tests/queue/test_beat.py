"""Beat's clock: the sweep goes on whatever is done to the machine's time."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery

from copyist.queue.beat import Scheduler
from copyist.queue.routing import SWEEP


def test_the_sweep_goes_on_after_the_clock_was_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[float] = []
    monkeypatch.setattr(Scheduler, "_sweep", lambda _: swept.append(time.monotonic()))
    app = Celery("test", set_as_current=False)
    app.conf.beat_schedule = {"sweep": {"task": SWEEP, "schedule": 0.1}}
    scheduler = Scheduler(app, schedule_filename=str(tmp_path / "schedule"))
    _tick(scheduler, until=lambda: swept)
    count = len(swept)
    # As all that was written down before looks from a clock that is behind.
    entry = scheduler.schedule["sweep"]
    entry.last_run_at += timedelta(days=1)
    scheduler._heap = [event._replace(time=event.time + 86_400) for event in scheduler._heap]
    _tick(scheduler, until=lambda: len(swept) > count)
    scheduler.close()


def _tick(scheduler: Scheduler, until: object) -> None:
    for _ in range(100):
        scheduler.tick()
        if until():  # type: ignore[operator]
            return
        time.sleep(0.02)
    raise AssertionError("nothing was swept")
