"""Forgetting jobs: what was theirs alone goes with them, and what others have stays, whoever else is at work."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text

from copyist.db import batches, forgetting, jobs, pages, readings
from copyist.db.session import Database
from copyist.db.tables import Base, Batch, File, Job, Page, Reading, now
from copyist.errors import NotEnded, NotFound
from tests.db.conftest import MakeJob
from tests.db.test_pages import claimed, content, finish

SHA256 = "a" * 64


def nothing(*_: str) -> None:
    """For jobs whose file has no bytes."""


@dataclass
class Bytes:
    """Where the bytes would be."""

    delete_file: Callable[[str], None] = nothing
    delete_results: Callable[[str], None] = nothing
    delete_lines: Callable[..., None] = nothing


def forget(db: Database, job_id: str, drop_file: Callable[[str], None] = nothing) -> None:
    with db.write() as session:
        forgetting.forget(session, job_id, blobs=Bytes(drop_file))


def count(db: Database, table: type[Base]) -> int:
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def read_job(make_job: MakeJob, db: Database) -> str:
    """A job of one page, read, whose reading is shared by all jobs with the same file."""
    job_id = make_job(1)
    finish(db, claimed(db, job_id), key="k")
    return job_id


def test_what_two_jobs_share_goes_with_the_last(db: Database, make_job: MakeJob) -> None:
    first, last = read_job(make_job, db), read_job(make_job, db)
    dropped: list[str] = []
    forget(db, first, dropped.append)
    assert ([count(db, table) for table in (Job, Page, Reading, File)], dropped) == ([1, 1, 1, 1], [])
    forget(db, last, dropped.append)
    assert ([count(db, table) for table in (Job, Page, Reading, File)], dropped) == ([0, 0, 0, 0], [SHA256])


def test_a_job_stays_whose_file_cannot_be_deleted(db: Database, make_job: MakeJob) -> None:
    job_id = read_job(make_job, db)

    def fail(_: str) -> None:
        raise OSError("the store is away")

    with pytest.raises(OSError, match="away"):
        forget(db, job_id, fail)
    assert [count(db, table) for table in (Job, Page, Reading, File)] == [1, 1, 1, 1]


def test_who_comes_too_late_hears_that_there_is_no_such_job(db: Database, make_job: MakeJob) -> None:
    job_id = read_job(make_job, db)
    forget(db, job_id)
    with pytest.raises(NotFound):
        forget(db, job_id)


def test_of_two_jobs_forgotten_at_once_one_takes_the_file_along(db: Database, make_job: MakeJob) -> None:
    first, second = read_job(make_job, db), read_job(make_job, db)
    dropped: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with db.write() as session:
            forgetting.forget(session, first, blobs=Bytes(dropped.append))
            other = pool.submit(forget, db, second, dropped.append)
            _await_blocked(db, other)
        other.result(10)
    assert dropped == [SHA256]
    assert [count(db, table) for table in (Job, Page, Reading, File)] == [0, 0, 0, 0]


def test_an_upload_waits_for_who_is_about_to_forget_its_file(db: Database, make_job: MakeJob) -> None:
    job_id = read_job(make_job, db)
    with ThreadPoolExecutor(1) as pool:
        with db.write() as session:
            session.get_one(File, SHA256, with_for_update=True)
            upload = pool.submit(make_job)
            _await_blocked(db, upload)
            forgetting.forget(session, job_id, blobs=Bytes())
        new = upload.result(10)
    with db.read() as session:
        assert session.get_one(File, jobs.get(session, new).file_sha256).sha256 == SHA256


def serve(db: Database, job_id: str, before_commit: Callable[[], object]) -> bool:
    """Give the first page of a job what was read before, as its intake does; ``False`` if there is nothing."""
    with db.write() as session:
        known = readings.cached(session, ["k"], hold=True)
        pages.serve_from_cache(session, jobs.get(session, job_id), dict(enumerate(known.values(), 1)))
        before_commit()
    return bool(known)


def test_a_reading_that_is_just_being_dropped_is_not_served(db: Database, make_job: MakeJob) -> None:
    old, new = read_job(make_job, db), make_job(1)
    with ThreadPoolExecutor(1) as pool:
        with db.write() as session:
            forgetting.forget(session, old, blobs=Bytes())
            served = pool.submit(serve, db, new, lambda: None)
            _await_blocked(db, served)
        assert not served.result(10)


def test_a_reading_that_is_just_being_served_is_not_dropped(db: Database, make_job: MakeJob) -> None:
    old, new = read_job(make_job, db), make_job(1)
    forgotten: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:

        def forget_meanwhile() -> None:
            forgotten.append(pool.submit(forget, db, old))
            _await_blocked(db, forgotten[0])

        assert serve(db, new, forget_meanwhile)
        forgotten[0].result(10)
    assert [count(db, table) for table in (Job, Page, Reading)] == [1, 1, 1]


def test_a_reading_that_is_just_being_shared_is_not_dropped(db: Database, make_job: MakeJob) -> None:
    old, new = read_job(make_job, db), claimed(db, make_job(1)).lease
    with ThreadPoolExecutor(1) as pool:
        with db.write() as session:
            reading_id = readings.store(session, content(), "k")
            forgotten = pool.submit(forget, db, old)
            _await_blocked(db, forgotten)
            session.get_one(Page, (new.job_id, new.number)).reading_id = reading_id
        forgotten.result(10)
    assert [count(db, table) for table in (Job, Page, Reading)] == [1, 1, 1]


def test_a_page_is_not_given_a_reading_that_is_gone(db: Database, make_job: MakeJob) -> None:
    old, new = read_job(make_job, db), make_job(1)
    with db.read() as session:
        known = readings.cached(session, ["k"])["k"]
    forget(db, old)
    lease = claimed(db, new).lease
    with db.write() as session:
        assert pages.finish_with(session, lease, known, earlier=[]) is None


def _await_blocked(db: Database, future: Future[object]) -> None:
    """Give a transaction that has to wait the time to come so far: PostgreSQL tells, SQLite lets nobody begin."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    for _ in range(200):
        if future.done():
            return
        if db.engine.dialect.name == "sqlite":
            time.sleep(0.2)
            return
        with db.engine.connect() as connection:
            if connection.scalar(waiting):
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")


def test_only_ended_jobs_are_over_and_each_is_told_once(db: Database, make_job: MakeJob) -> None:
    ended = [read_job(make_job, db) for _ in range(3)]
    make_job(1)
    make_job()
    cancelled = make_job()
    with db.write() as session:
        jobs.cancel(session, cancelled)
    found, after = [], None
    with db.read() as session:
        while batch := forgetting.over_since(session, now(), limit=2, after=after):
            found += [job_id for _, job_id in batch]
            after = batch[-1]
        assert forgetting.over_since(session, now() - timedelta(hours=1), limit=9) == []
    assert found == [*ended, cancelled]


def test_a_job_with_a_time_of_its_own_is_over_by_that_alone(db: Database, make_job: MakeJob) -> None:
    brief, for_ever, usual = make_job(), make_job(), make_job()
    with db.write() as session:
        for job_id, days in ((brief, 1e-9), (for_ever, 0.0)):
            jobs.get(session, job_id).keep_days = days
        for job_id in (brief, for_ever, usual):
            jobs.cancel(session, job_id)
    with db.read() as session:
        assert [job_id for _, job_id in forgetting.over_by_themselves(session, limit=9)] == [brief]
        assert [job_id for _, job_id in forgetting.over_since(session, now(), limit=9)] == [usual]


def test_the_results_of_a_job_go_with_it(db: Database, make_job: MakeJob) -> None:
    job_id = read_job(make_job, db)
    dropped: list[str] = []
    with db.write() as session:
        forgetting.forget(session, job_id, blobs=Bytes(delete_results=dropped.append))
    assert dropped == [job_id]


def test_a_batch_goes_when_it_is_empty_but_not_while_it_is_being_filled(db: Database, make_job: MakeJob) -> None:
    """The first of its jobs may be forgotten before the second is made."""
    job_id, batch_id = make_job(), str(uuid4())
    with db.write() as session:
        batch = batches.create(session, batch_id=batch_id, owner="", labels={})
        jobs.get(session, job_id).batch_id = batch_id
        jobs.cancel(session, job_id)
        batch.created_at = now() - timedelta(days=2)
    for left in (1, 0):
        with db.write() as session:
            batches.forget_old(session)
        assert count(db, Batch) == left
        if left:
            forget(db, job_id)
    with db.write() as session:
        batches.create(session, batch_id=batch_id, owner="", labels={})
        batches.forget_old(session)
    assert count(db, Batch) == 1


def test_a_job_that_was_read_again_before_it_could_be_deleted_stays(db: Database, make_job: MakeJob) -> None:
    """Who deletes has a list of what was over some time ago."""
    again, brief = make_job(), make_job()
    with db.write() as session:
        jobs.get(session, brief).keep_days = 1e-9
        for job_id in (again, brief):
            jobs.cancel(session, job_id)
        jobs.get(session, again).finished_at = now() - timedelta(days=2)
    keep = timedelta(days=1)
    with db.write() as session:
        jobs.retry(session, again)
        assert not forgetting.expire(session, again, keep, blobs=Bytes()), "it is open"
    with db.write() as session:
        jobs.cancel(session, again)
        assert not forgetting.expire(session, again, keep, blobs=Bytes()), "it has only just ended"
        assert forgetting.expire(session, brief, keep, blobs=Bytes())
        assert not forgetting.expire(session, brief, keep, blobs=Bytes()), "it is gone"


def test_an_open_job_is_not_forgotten(db: Database, make_job: MakeJob) -> None:
    with pytest.raises(NotEnded):
        forget(db, make_job(1))
