"""The sweeper against a real database and a real broker, with nobody else around."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis
from sqlalchemy import update

from copyist.db import jobs, locks, pages
from copyist.db.states import JobStatus, PageStatus
from copyist.db.tables import Job, Page, now
from copyist.engines.base import Outcome
from copyist.queue.context import Context
from copyist.queue.upkeep import give_back, recover_intake, recover_task, run_sweep
from tests.queue.rows import make_job


@pytest.fixture
def broker(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def messages(broker: redis.Redis, queue: str = "cpu") -> list[tuple[str, int | None]]:
    """Job id and page number of what lies in a queue, all priorities."""
    raw = [body for key in (queue, f"{queue}:3", f"{queue}:6") for body in broker.lrange(key, 0, -1)]
    found = []
    for one in raw:
        headers = json.loads(one)["headers"]
        arguments = headers["kwargsrepr"].replace("'", '"')
        kwargs = json.loads(arguments)
        found.append((kwargs["job_id"], kwargs.get("number")))
    return sorted(found, key=str)


def age(context: Context, seconds: float = 60) -> None:
    """Let all that was sent have been sent long ago."""
    before = now() - timedelta(seconds=seconds)
    with context.db.write() as session:
        session.execute(update(Job).where(Job.sent_at.is_not(None)).values(sent_at=before))
        session.execute(update(Page).where(Page.sent_at.is_not(None)).values(sent_at=before))


def test_what_was_never_sent_is_sent_once(context: Context, broker: redis.Redis) -> None:
    job_id = make_job(context)
    with context.db.write() as session:
        session.get_one(Job, job_id).sent_at = None
    run_sweep(context)
    run_sweep(context)
    assert messages(broker) == [(job_id, None)]


def test_a_message_that_vanished_is_sent_again_and_one_that_waits_is_not(context: Context, broker: redis.Redis) -> None:
    lost, waiting = make_job(context), make_job(context)
    context.sender.intake(waiting, queue="cpu", priority=3)
    age(context)
    with context.db.write() as session:
        session.get_one(Job, lost).sent_at = now() - timedelta(seconds=120)
    run_sweep(context)
    assert messages(broker) == sorted([(lost, None), (waiting, None)])


def test_lost_work_is_found_under_fresh_messages(context: Context, broker: redis.Redis) -> None:
    lost = [make_job(context) for _ in range(3)]
    age(context)
    fresh = [make_job(context) for _ in range(5)]
    for job_id in fresh:
        context.sender.intake(job_id, queue="cpu", priority=3)
    run_sweep(context)
    assert messages(broker) == sorted([(job_id, None) for job_id in (*lost, *fresh)], key=str)


def test_an_intake_that_was_put_back_is_sent_once_and_again_if_that_is_lost(
    context: Context, broker: redis.Redis
) -> None:
    job_id = make_job(context)
    with context.db.write() as session:
        jobs.claim_intake(session, job_id, token="t", lease_s=-1, max_attempts=3)
    for _ in range(3):
        run_sweep(context)
    assert messages(broker) == [(job_id, None)]
    broker.flushall()
    age(context)
    run_sweep(context)
    assert messages(broker) == [(job_id, None)]


def test_a_worker_that_stops_gives_back_what_it_has_in_hand_uncounted(context: Context) -> None:
    job_id, intake = make_job(context, 1), make_job(context)
    with context.db.write() as session:
        pages.claim(session, job_id, 1, token="task-1.a", lease_s=60, max_attempts=3)
        jobs.claim_intake(session, intake, token="task-1.b", lease_s=60, max_attempts=3)
    give_back(context, ["task-1"])
    with context.db.read() as session:
        page, job = session.get_one(Page, (job_id, 1)), session.get_one(Job, intake)
    assert (page.status, page.attempts, page.lease_token) == (PageStatus.PENDING, 0, None)
    assert (job.attempts, job.lease_token, job.sent_at) == (0, None, None)


def test_the_window_is_filled_and_no_more(context: Context, broker: redis.Redis) -> None:
    job_id = make_job(context, 10)
    run_sweep(context)
    run_sweep(context)
    assert messages(broker) == [(job_id, number) for number in (1, 2, 3, 4)]


def test_a_lease_that_ran_out_is_recovered(context: Context, broker: redis.Redis) -> None:
    job_id = make_job(context, 1)
    with context.db.write() as session:
        assert pages.claim(session, job_id, 1, token="t", lease_s=-1, max_attempts=3)
    run_sweep(context)
    assert messages(broker) == [(job_id, 1)]
    with context.db.read() as session:
        assert session.get_one(Page, (job_id, 1)).status == PageStatus.PENDING


def test_an_intake_that_somebody_else_has_by_now_is_left_to_him(context: Context) -> None:
    job_id = make_job(context)
    with context.db.write() as session:
        assert jobs.claim_intake(session, job_id, token="dead", lease_s=-1, max_attempts=3)
        assert jobs.claim_intake(session, job_id, token="alive", lease_s=60, max_attempts=3)
    recover_intake(context, job_id, "dead")
    with context.db.read() as session:
        assert jobs.get(session, job_id).lease_token == "alive"


def test_an_intake_that_was_put_back_is_free_for_one_whose_clock_is_behind(context: Context) -> None:
    job_id = make_job(context)
    with context.db.write() as session:
        assert jobs.claim_intake(session, job_id, token="t.1", lease_s=60, max_attempts=3)
        jobs.give_back_intake(session, job_id, "t.1")
        session.execute(update(Job).values(lease_until=now() + timedelta(minutes=5)))
        assert jobs.claim_intake(session, job_id, token="t.2", lease_s=60, max_attempts=3)


def test_what_was_tried_too_often_for_a_limit_set_later_does_not_wait_for_ever(context: Context) -> None:
    reading, intake = make_job(context, 1), make_job(context)
    with context.db.write() as session:
        session.execute(update(Page).values(attempts=2))
        session.execute(update(Job).where(Job.id == intake).values(attempts=2))
        assert pages.claim(session, reading, 1, token="t", lease_s=60, max_attempts=1)
        assert jobs.claim_intake(session, intake, token="t", lease_s=60, max_attempts=1)


def test_an_intake_that_dies_three_times_fails_its_job(context: Context) -> None:
    job_id = make_job(context)
    for _ in range(3):
        with context.db.write() as session:
            assert jobs.claim_intake(session, job_id, token="t", lease_s=-1, max_attempts=3)
        run_sweep(context)
    with context.db.read() as session:
        job = jobs.get(session, job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "worker_crashed")


def test_work_on_a_queue_that_nobody_serves_goes_to_one_that_somebody_does(
    context: Context, broker: redis.Redis
) -> None:
    intake, reading = make_job(context, queue="gpu"), make_job(context, 1, queue="gpu")
    run_sweep(context)
    assert messages(broker, "gpu") == []
    assert messages(broker) == sorted([(intake, None), (reading, 1)], key=str)


def test_what_a_dead_process_had_in_hand_is_put_back_at_once(context: Context, broker: redis.Redis) -> None:
    reading, other, intake = make_job(context, 1), make_job(context, 1), make_job(context)
    with context.db.write() as session:
        pages.claim(session, reading, 1, token="task-1.a", lease_s=60, max_attempts=3)
        pages.claim(session, other, 1, token="task-10.a", lease_s=60, max_attempts=3)
        jobs.claim_intake(session, intake, token="task-1.b", lease_s=60, max_attempts=3)
    recover_task(context, "task-1", Outcome.CRASHED)
    assert messages(broker) == sorted([(reading, 1), (intake, None)], key=str)


def test_what_failed_for_a_reason_of_ours_waits_for_the_next_sweep(context: Context, broker: redis.Redis) -> None:
    job_id = make_job(context, 1)
    with context.db.write() as session:
        pages.claim(session, job_id, 1, token="task-1.a", lease_s=60, max_attempts=3)
    recover_task(context, "task-1", None)
    assert messages(broker) == []
    run_sweep(context)
    assert messages(broker) == [(job_id, 1)]


def test_one_sweeper_at_a_time(context: Context, broker: redis.Redis) -> None:
    make_job(context, 1)
    with context.db.write() as session:
        assert locks.acquire(session, "sweeper", "another", 60)
    run_sweep(context)
    assert messages(broker) == []
    with context.db.write() as session:
        locks.release(session, "sweeper", "another")
    run_sweep(context)
    assert len(messages(broker)) == 1


def test_a_job_whose_pages_have_all_ended_is_closed(context: Context) -> None:
    job_id = make_job(context, 1)
    with context.db.write() as session:
        session.execute(update(Page).values(status=PageStatus.DONE))
    run_sweep(context)
    with context.db.read() as session:
        assert jobs.get(session, job_id).status == JobStatus.COMPLETED
