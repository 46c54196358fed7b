"""Jobs and pages that may take no longer than so long, and jobs that are read again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from copyist.db import jobs, pages
from copyist.db.session import Database
from copyist.db.states import JobStatus, PageStatus
from copyist.db.tables import Job, Page, now
from copyist.errors import NothingToRetry, PageFailed
from tests.db.conftest import MakeJob
from tests.db.test_pages import claimed, finish


def limited(db: Database, job_id: str, **options: float) -> None:
    with db.write() as session:
        job = session.get_one(Job, job_id)
        job.options = {**job.options, **options}


def late(db: Database, job_id: str) -> None:
    with db.write() as session:
        session.get_one(Job, job_id).deadline = now() - timedelta(seconds=1)


def give_up(db: Database, job_id: str) -> bool:
    with db.write() as session:
        assert jobs.overdue(session) == [job_id]
        return jobs.give_up(session, job_id)


def test_the_time_counts_from_the_start(db: Database, make_job: MakeJob) -> None:
    job_id = make_job()
    limited(db, job_id, time_limit=60)
    with db.write() as session:
        assert jobs.overdue(session) == []
        job = jobs.claim_intake(session, job_id, token="t", lease_s=30, max_attempts=3)
        assert job is not None
        assert job.deadline is not None
        assert timedelta(seconds=59) < job.deadline - now() <= timedelta(seconds=60)


def test_a_job_that_is_late_keeps_what_was_read_and_says_what_was_not(db: Database, make_job: MakeJob) -> None:
    job_id = make_job(3)
    limited(db, job_id, time_limit=60)
    finish(db, claimed(db, job_id, 1))
    running = claimed(db, job_id, 2)
    late(db, job_id)
    assert give_up(db, job_id)
    with db.read() as session:
        job = jobs.get(session, job_id)
        assert (job.status, job.error_code) == (JobStatus.COMPLETED, None)
        codes = {number: session.get_one(Page, (job_id, number)).error_code for number in (1, 2, 3)}
    assert codes == {1: None, 2: "time_limit", 3: "time_limit"}
    with db.write() as session:
        assert not pages.extend(session, running.lease, 30), "whoever is at it is stopped by that"
        assert not jobs.give_up(session, job_id)


@pytest.mark.parametrize("count", [0, 2])
def test_a_job_that_is_late_with_everything_fails(db: Database, make_job: MakeJob, count: int) -> None:
    job_id = make_job()
    limited(db, job_id, time_limit=60)
    with db.write() as session:
        job = jobs.claim_intake(session, job_id, token="t", lease_s=30, max_attempts=3)
        if job is not None and count:
            jobs.open_pages(session, job, range(1, count + 1))
    late(db, job_id)
    assert give_up(db, job_id)
    with db.read() as session:
        job = jobs.get(session, job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "time_limit")
    assert "60 s" in (job.error_detail or "")


def test_a_page_knows_until_when_it_may_be_read(db: Database, make_job: MakeJob) -> None:
    job_id = make_job(2)
    limited(db, job_id, page_time_limit=20)
    with db.write() as session:
        claim = pages.claim(session, job_id, 1, token="a", lease_s=30, max_attempts=3)
        assert claim is not None
        pages.give_back(session, claim.lease)
        again = pages.claim(session, job_id, 1, token="b", lease_s=30, max_attempts=3)
    assert again is not None
    assert claim.until == again.until is not None, "what was tried before counts, too"


def test_a_retry_forgets_what_went_wrong_and_counts_anew(db: Database, make_job: MakeJob) -> None:
    job_id = make_job(2)
    limited(db, job_id, time_limit=60)
    finish(db, claimed(db, job_id, 1))
    with db.write() as session:
        pages.fail(session, claimed(db, job_id, 2).lease, PageFailed(engines="x"), trail=[{"engine": "x"}])
    with db.write() as session:
        before = jobs.get(session, job_id).changes
        job = jobs.retry(session, job_id)
        assert (job.status, job.finished_at, job.changes > before) == (JobStatus.PROCESSING, None, True)
        assert job.deadline is not None
        page = session.get_one(Page, (job_id, 2))
        assert (page.status, page.attempts, page.trail, page.error_code) == (PageStatus.PENDING, 0, [], None)
        assert pages.take_to_send(session, job_id, 9) == [2]
    finish(db, claimed(db, job_id, 2))
    with db.write() as session, pytest.raises(NothingToRetry):
        jobs.retry(session, job_id)
