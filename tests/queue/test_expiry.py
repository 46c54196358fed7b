"""Jobs whose time is over go with all that is theirs alone, and nothing else goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from copyist import storage
from copyist.db import jobs, listing, presence
from copyist.db.tables import Job, Worker, now
from copyist.queue import expiry
from copyist.queue.context import Context
from copyist.queue.expiry import expire, period_s
from copyist.settings import Settings
from tests.queue.rows import make_job

ONE, OTHER = "1" * 64, "2" * 64

Make = Callable[..., str]


@pytest.fixture
def keeping(context: Context) -> Context:
    """Jobs are kept for a day."""
    return replace(context, settings=context.settings.model_copy(update={"keep_jobs_days": 1.0}))


@pytest.fixture
def make(context: Context) -> Make:
    """Make a job with a file and a picture; it ended ``days`` ago, or is open."""

    def job(sha256: str, days: float | None = None) -> str:
        for key in (storage.file_key(sha256), storage.picture_key(sha256, 1)):
            context.storage.put(key, b"bytes")
        job_id = make_job(context, 1, sha256=sha256)
        if days is not None:
            moment = now() - timedelta(days=days)
            with context.db.write() as session:
                jobs.cancel(session, job_id)
                session.execute(update(Job).where(Job.id == job_id).values(created_at=moment, finished_at=moment))
        return job_id

    return job


def left(context: Context) -> set[str]:
    with context.db.read() as session:
        return {job.id for job in listing.newest(session, limit=10_000)}


def has_file(context: Context, sha256: str) -> bool:
    there = {context.storage.exists(key) for key in (storage.file_key(sha256), storage.picture_key(sha256, 1))}
    assert len(there) == 1, "a file and its pictures go together"
    return there.pop()


def test_a_job_goes_when_its_time_is_over_and_its_file_with_the_last(keeping: Context, make: Make) -> None:
    make(ONE, days=1.1)
    make(OTHER, days=1.1)
    fresh = make(OTHER, days=0.9)
    assert not expire(keeping)
    assert left(keeping) == {fresh}
    assert (has_file(keeping, ONE), has_file(keeping, OTHER)) == (False, True)


def test_an_open_job_stays_however_old(keeping: Context, make: Make) -> None:
    waiting = make(ONE)
    with keeping.db.write() as session:
        session.execute(update(Job).values(created_at=now() - timedelta(days=9)))
    expire(keeping)
    assert left(keeping) == {waiting}


def test_by_default_jobs_are_kept_and_a_setting_made_later_counts_for_them(
    context: Context, keeping: Context, make: Make
) -> None:
    old = make(ONE, days=999)
    expire(context)
    assert left(context) == {old}
    expire(keeping)
    assert left(context) == set()


def test_one_that_cannot_be_deleted_stops_no_other_and_is_tried_again(
    keeping: Context, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ill, _ = make(ONE, days=3), make(OTHER, days=2)
    delete = keeping.storage.delete_file

    def fail(sha256: str) -> None:
        if sha256 == ONE:
            raise OSError("away")
        delete(sha256)

    monkeypatch.setattr(expiry, "BATCH", 1)
    with monkeypatch.context() as broken:
        broken.setattr(keeping.storage, "delete_file", fail)
        assert not expire(keeping)
    assert left(keeping) == {ill}
    assert has_file(keeping, ONE)
    assert ill in caplog.text
    expire(keeping)
    assert (left(keeping), has_file(keeping, ONE)) == (set(), False)


def test_a_round_ends_in_time_and_says_that_there_is_more(
    keeping: Context, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        make(str(number) * 64, days=2)
    monkeypatch.setattr(expiry, "LONGEST_PERIOD_S", 2.0)
    with monkeypatch.context() as slow:
        slow.setattr(keeping.storage, "delete_file", lambda _: time.sleep(0.6))
        assert expire(keeping)
    assert 0 < len(left(keeping)) < 4
    assert not expire(keeping)
    assert left(keeping) == set()


def test_a_worker_that_was_not_seen_for_a_day_is_forgotten(context: Context) -> None:
    with context.db.write() as session:
        presence.show(session, "long gone", queues=[], concurrency=1, engines={})
        session.get_one(Worker, "long gone").seen_at = now() - timedelta(days=1.1)
        session.get_one(Worker, "w").seen_at = now() - timedelta(days=0.9)
    expire(context)
    with context.db.read() as session:
        assert (session.get(Worker, "long gone"), session.get_one(Worker, "w").name) == (None, "w")


@pytest.mark.parametrize(("days", "seconds"), [(0, 600), (30, 600), (0.01, 86.4), (0.00001, 1)])
def test_rounds_are_closer_where_jobs_are_kept_briefly(days: float, seconds: float) -> None:
    assert period_s(Settings(_env_file=None, keep_jobs_days=days)) == pytest.approx(seconds)
