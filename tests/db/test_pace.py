"""Estimates: from what was measured, behind what is ahead, and none where nothing was measured."""

from __future__ import annotations

from datetime import timedelta

import pytest

from copyist.db import pace, presence
from copyist.db.pace import Pace
from copyist.db.session import Database
from copyist.db.tables import Page, now
from tests.db.conftest import MakeJob
from tests.db.test_pages import claimed, finish


def worker(db: Database, concurrency: int = 2) -> None:
    with db.write() as session:
        presence.show(session, "w", queues=["cpu"], concurrency=concurrency, engines={})


def read(db: Database, make_job: MakeJob, seconds: float, count: int) -> None:
    """Pages that took so long."""
    job_id = make_job(count)
    for number in range(1, count + 1):
        finish(db, claimed(db, job_id, number))
        with db.write() as session:
            page = session.get_one(Page, (job_id, number))
            page.finished_at = now()
            page.started_at = page.finished_at - timedelta(seconds=seconds)


def test_the_pace_is_what_all_workers_read_of_late(db: Database, make_job: MakeJob) -> None:
    read(db, make_job, 4.0, 5)
    with db.read() as session:
        assert pace.measure(session) == {}, "nobody reads now"
    worker(db)
    busy = make_job(7)
    with db.read() as session:
        measured = pace.measure(session)["cpu"]
    assert measured.pages_per_s == pytest.approx(0.5)
    assert measured.busy == {busy: 7}


def test_with_too_few_pages_nothing_is_said(db: Database, make_job: MakeJob) -> None:
    worker(db)
    read(db, make_job, 4.0, pace.FEWEST - 1)
    with db.read() as session:
        assert pace.measure(session) == {}


def test_what_waits_ahead_and_what_goes_on_beside_count() -> None:
    measured = Pace(pages_per_s=2.0, pages_per_job=3.0, busy={"mine": 10, "long": 1000, "short": 4})
    assert measured.seconds("mine", 10, 0) == pytest.approx((10 + 10 + 4) / 2)
    assert measured.seconds("new", None, 5) == pytest.approx((3 + 5 * 3 + 3 + 3 + 3) / 2)
