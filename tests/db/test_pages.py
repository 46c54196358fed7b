"""Leases: one winner, one result, whatever is doubled, late or dead."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from copyist.db import jobs, pages, readings
from copyist.db.pages import Claim
from copyist.db.session import Database
from copyist.db.states import JobStatus, PageStatus
from copyist.db.tables import Job, Page, Reading
from copyist.document import Block, Box, Line
from copyist.document import Page as Content
from copyist.errors import PageFailed
from tests.db.conftest import MakeJob


def content(text: str = "Hello") -> Content:
    box = Box(0, 0, 10, 10)
    line = Line(text=text, box=box, confidence=0.5)
    return Content(width=100, height=100, engine="e", engine_version="1", blocks=(Block(box=box, lines=(line,)),))


def claim(db: Database, job_id: str, number: int = 1, *, token: str = "t1", lease_s: float = 30) -> Claim | None:
    with db.write() as session:
        return pages.claim(session, job_id, number, token=token, lease_s=lease_s, max_attempts=3)


def claimed(db: Database, job_id: str, number: int = 1, *, token: str = "t1", lease_s: float = 30) -> Claim:
    found = claim(db, job_id, number, token=token, lease_s=lease_s)
    assert found is not None
    return found


def finish(db: Database, found: Claim, text: str = "Hello", key: str | None = None) -> pages.Finished | None:
    with db.write() as session:
        return pages.finish(session, found.lease, content(text), trail=[], degraded=False, cache_key=key)


def page(db: Database, job_id: str, number: int = 1) -> Page:
    with db.read() as session:
        return session.get_one(Page, (job_id, number))


def job(db: Database, job_id: str) -> Job:
    with db.read() as session:
        return jobs.get(session, job_id)


def test_of_many_racing_claims_one_wins(db: Database, make_job: MakeJob) -> None:
    job_id = make_job(20)

    def race(racer: int) -> list[int]:
        return [number for number in range(1, 21) if claim(db, job_id, number, token=f"r{racer}.{number}")]

    with ThreadPoolExecutor(4) as pool:
        won = [number for numbers in pool.map(race, range(4)) for number in numbers]
    assert sorted(won) == list(range(1, 21))


def test_the_last_page_ends_the_job_in_its_own_transaction(db: Database, make_job: MakeJob) -> None:
    job_id = make_job(3)
    endings = []
    for number in (2, 1, 3):
        finished = finish(db, claimed(db, job_id, number))
        assert finished is not None
        endings.append((finished.job_ended, job(db, job_id).status))
    assert endings == [(False, JobStatus.PROCESSING), (False, JobStatus.PROCESSING), (True, JobStatus.COMPLETED)]


def test_pages_finished_at_the_same_moment_end_the_job_once(db: Database, make_job: MakeJob) -> None:
    job_id = make_job(12)
    claims = [claimed(db, job_id, number, token=f"t{number}") for number in range(1, 13)]
    with ThreadPoolExecutor(4) as pool:
        finished = [one for one in pool.map(lambda found: finish(db, found), claims) if one is not None]
    assert [one.job_ended for one in finished].count(True) == 1
    assert job(db, job_id).status == JobStatus.COMPLETED


def test_a_zombie_cannot_overwrite_the_winner(db: Database, make_job: MakeJob) -> None:
    job_id = make_job(1)
    zombie = claimed(db, job_id, token="zombie", lease_s=-1)
    winner = claimed(db, job_id, token="winner")
    assert finish(db, zombie, "late") is None
    assert finish(db, winner, "in time") is not None
    assert finish(db, zombie, "later still") is None
    with db.read() as session:
        assert list(session.scalars(select(Reading.text))) == ["in time"]


def test_attempts_count_before_reading_and_have_an_end(db: Database, make_job: MakeJob) -> None:
    job_id = make_job(1)
    for attempt in (1, 2, 3):
        assert claimed(db, job_id, token=f"t{attempt}", lease_s=-1).attempts == attempt
    assert claim(db, job_id, token="t4") is None
    with db.write() as session:
        assert pages.recover(session, pages.Lease(job_id, 1, "t3"), outcome="lost", max_attempts=3)
    assert (page(db, job_id).status, page(db, job_id).error_code) == (PageStatus.FAILED, "worker_crashed")
    assert (job(db, job_id).status, job(db, job_id).error_code) == (JobStatus.FAILED, "worker_crashed")


@pytest.mark.parametrize(("outcome", "noted"), [("crashed", ["crashed"]), ("lost", ["lost"]), (None, [])])
def test_the_trail_says_how_a_reader_was_lost(
    db: Database, make_job: MakeJob, outcome: str | None, noted: list[str]
) -> None:
    job_id = make_job(1)
    first = claimed(db, job_id)
    with db.write() as session:
        pages.note_engine(session, first.lease, "shaky")
    with db.write() as session:
        assert not pages.recover(session, first.lease, outcome=outcome, max_attempts=3)
    again = claimed(db, job_id, token="t2")
    assert [step["outcome"] for step in again.trail] == noted
    assert again.attempts == 2


def test_an_engine_that_hangs_costs_no_attempt(db: Database, make_job: MakeJob) -> None:
    job_id = make_job(1)
    found = claimed(db, job_id)
    with db.write() as session:
        pages.give_up_engine(session, found.lease, {"engine": "slow", "outcome": "timed_out", "reason": ""})
    row = page(db, job_id)
    assert (row.status, row.attempts, row.sent_at) == (PageStatus.PENDING, 0, None)
    assert row.trail[0]["outcome"] == "timed_out"


def test_a_cancelled_job_keeps_what_was_read_and_drops_the_rest(db: Database, make_job: MakeJob) -> None:
    job_id = make_job(3)
    finish(db, claimed(db, job_id, 1))
    running = claimed(db, job_id, 2, token="running")
    with db.write() as session:
        assert jobs.cancel(session, job_id)
        assert not jobs.cancel(session, job_id)
    assert [page(db, job_id, number).status for number in (1, 2, 3)] == [
        PageStatus.DONE,
        PageStatus.SKIPPED,
        PageStatus.SKIPPED,
    ]
    with db.write() as session:
        assert not pages.extend(session, running.lease, 30)
    assert finish(db, running) is None
    assert claim(db, job_id, 3) is None


def test_one_bad_page_does_not_fail_the_document(db: Database, make_job: MakeJob) -> None:
    job_id = make_job(2)
    with db.write() as session:
        pages.fail(session, claimed(db, job_id, 1).lease, PageFailed(engines="e"))
    finish(db, claimed(db, job_id, 2))
    assert job(db, job_id).status == JobStatus.COMPLETED
    with db.read() as session:
        progress = jobs.progress(session, [job_id])[job_id]
    assert (progress.done, progress.failed, progress.engines, progress.confidence) == (1, 1, ("e",), 0.5)


def test_pages_are_sent_once_and_in_order(db: Database, make_job: MakeJob) -> None:
    job_id = make_job(5)
    with db.write() as session:
        assert pages.take_to_send(session, job_id, 3) == [1, 2, 3]
    with db.write() as session:
        assert pages.in_flight(session, job_id) == 3
        assert pages.take_to_send(session, job_id, 3) == [4, 5]
    with db.write() as session:
        assert pages.take_to_send(session, job_id, 3) == []


def test_the_same_reading_is_kept_once_and_shared(db: Database, make_job: MakeJob) -> None:
    first, second = make_job(1), make_job(1)
    finish(db, claimed(db, first), key="k")
    finish(db, claimed(db, second), key="k")
    assert page(db, first).reading_id == page(db, second).reading_id
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(Reading)) == 1


def test_cancelling_while_pages_are_served_from_the_cache_never_deadlocks(db: Database, make_job: MakeJob) -> None:
    finish(db, claimed(db, make_job(1)), key="k")
    with db.read() as session:
        known = readings.cached(session, ["k"])["k"]
    job_ids = [make_job(1) for _ in range(40)]

    def serve(job_id: str) -> None:
        if found := claim(db, job_id):
            with db.write() as session:
                pages.finish_with(session, found.lease, known, earlier=())

    def cancel(job_id: str) -> None:
        with db.write() as session:
            jobs.cancel(session, job_id)

    with ThreadPoolExecutor(4) as pool:
        for task in [pool.submit(do, job_id) for job_id in job_ids for do in (serve, cancel)]:
            task.result()
    assert {job(db, job_id).status for job_id in job_ids} <= {JobStatus.COMPLETED, JobStatus.CANCELLED}


@pytest.mark.parametrize("ending", ["completed", "cancelled"])
def test_an_ended_job_never_moves_again(db: Database, make_job: MakeJob, ending: str) -> None:
    job_id = make_job(1)
    with db.write() as session:
        jobs.cancel(session, job_id) if ending == "cancelled" else None
    if ending == "completed":
        finish(db, claimed(db, job_id))
    with db.write() as session:
        held = session.get_one(Job, job_id)
        for status in JobStatus:
            assert not jobs.end(session, held, status)
    assert job(db, job_id).status == ending
