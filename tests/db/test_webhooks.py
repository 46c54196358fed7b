"""Who is told of the end of a job, and the queue of what is told: claimed once, begun anew, forgotten."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, update

from copyist.db import deliveries, jobs, webhooks
from copyist.db.deliveries import DeliveryStatus
from copyist.db.session import Database
from copyist.db.states import JobStatus
from copyist.db.tables import Delivery, Job, now
from copyist.errors import NotFound, TimeLimit
from tests.db.conftest import MakeJob

HOOK, OTHER = "https://example.org/hook", "https://example.org/other"


def end(db: Database, job_id: str, status: JobStatus = JobStatus.COMPLETED, **fields: Any) -> list[Delivery]:
    with db.write() as session:
        job = session.get_one(Job, job_id)
        for name, value in fields.items():
            setattr(job, name, value)
        error = TimeLimit(seconds=3) if status == JobStatus.FAILED else None
        assert jobs.end(session, job, status, error)
    return everything(db)


def everything(db: Database) -> list[Delivery]:
    with db.read() as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.url)))


def put(db: Database, url: str = HOOK, owner: str = "") -> str:
    with db.write() as session:
        return deliveries.put(session, owner=owner, url=url, event="ping", payload="{}").id


def take(db: Database, *ids: str, token: str = "t", max_attempts: int = 10) -> list[deliveries.Attempt]:
    with db.write() as session:
        return deliveries.take(session, ids, token=token, lease_s=60, max_attempts=max_attempts)


def due(db: Database, **more: Any) -> list[str]:
    with db.read() as session:
        return [one.id for one in deliveries.due(session, limit=10, **more)]


def later(db: Database, **values: Any) -> None:
    """Give every delivery these values, as if time had passed."""
    with db.write() as session:
        session.execute(update(Delivery).values(**values))


def one(db: Database, delivery_id: str) -> Delivery:
    with db.read() as session:
        return deliveries.get(session, delivery_id, None)


def test_nobody_is_told_where_nobody_wants_to_be_and_that_is_one_look(db: Database, make_job: MakeJob) -> None:
    job_id = make_job(1)
    with db.write() as session:
        webhooks.set_url(session, "somebody else", HOOK)
        job = session.get_one(Job, job_id)
        asked: list[str] = []
        event.listen(db.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
        webhooks.job_ended(session, job)
    assert (len(asked), everything(db)) == (1, [])


def test_the_jobs_own_address_and_the_owners_are_told_the_same(db: Database, make_job: MakeJob) -> None:
    with db.write() as session:
        webhooks.set_url(session, "anna", OTHER)
    job_id = make_job(2)
    told = end(db, job_id, owner="anna", callback_url=HOOK, labels={"shelf": 3}, batch_id="b")
    assert [one.url for one in told] == [HOOK, OTHER]
    assert {(one.owner, one.job_id, one.event, one.status) for one in told} == {
        ("anna", job_id, "job.completed", DeliveryStatus.PENDING)
    }
    assert len({one.id for one in told}) == 2 and len({one.payload for one in told}) == 1
    message = json.loads(told[0].payload)
    assert message["type"] == "job.completed" and message["timestamp"].endswith("Z")
    assert message["data"] == {
        "id": job_id,
        "status": "completed",
        "filename": "x.pdf",
        "batch_id": "b",
        "progress": {"pages_done": 0, "pages_failed": 0, "pages_total": 2},
        "error": None,
        "metadata": {"shelf": 3},
        "links": {"self": f"/api/jobs/{job_id}", "result": None},
    }


def test_one_address_that_is_both_is_told_once(db: Database, make_job: MakeJob) -> None:
    with db.write() as session:
        webhooks.set_url(session, "", HOOK)
    assert len(end(db, make_job(), JobStatus.CANCELLED, callback_url=HOOK)) == 1


def test_a_job_that_failed_says_why(db: Database, make_job: MakeJob) -> None:
    (told,) = end(db, make_job(1), JobStatus.FAILED, callback_url=HOOK)
    assert told.event == "job.failed"
    error = json.loads(told.payload)["data"]["error"]
    assert (error["code"], error["detail"]) == ("time_limit", TimeLimit(seconds=3).detail)


def test_what_does_not_end_tells_nothing(db: Database, make_job: MakeJob) -> None:
    job_id = make_job(1)
    with pytest.raises(RuntimeError, match="rolled back"), db.write() as session:
        job = session.get_one(Job, job_id)
        job.callback_url = HOOK
        jobs.end(session, job, JobStatus.COMPLETED)
        raise RuntimeError("rolled back")
    assert everything(db) == []


def test_the_secret_is_made_once_and_changed_when_asked(db: Database) -> None:
    with db.write() as session:
        first = webhooks.of_owner(session, "anna").secret
    with db.write() as session:
        assert webhooks.of_owner(session, "anna").secret == first
        assert webhooks.of_owner(session, "bert").secret != first
        assert webhooks.change_secret(session, "anna").secret != first
    assert first.startswith("whsec_")


def test_a_message_is_taken_once_until_its_lease_runs_out(db: Database) -> None:
    first, second = put(db), put(db)
    (mine,) = take(db, first)
    assert (mine.id, mine.url, mine.number) == (first, HOOK, 1)
    assert [one.id for one in take(db, first, second, token="other")] == [second]
    assert due(db) == []
    later(db, next_at=now() - timedelta(seconds=1))
    assert sorted(due(db)) == sorted([first, second])
    (again,) = take(db, first, token="u")
    assert again.number == 2
    with db.write() as session:
        deliveries.delivered(session, mine, 200)  # Its lease is over: what it says does not count.
    assert one(db, first).status == DeliveryStatus.PENDING
    with db.write() as session:
        deliveries.delivered(session, again, 204)
    told = one(db, first)
    assert (told.status, told.response_status, told.lease_token) == (DeliveryStatus.DELIVERED, 204, None)
    assert told.delivered_at is not None


def test_what_killed_its_last_attempt_is_given_up(db: Database) -> None:
    delivery_id = put(db)
    take(db, delivery_id, max_attempts=1)
    later(db, next_at=now() - timedelta(seconds=1))
    assert take(db, delivery_id, max_attempts=1) == []
    told = one(db, delivery_id)
    assert (told.status, told.attempts, told.error) == (DeliveryStatus.FAILED, 1, deliveries.INTERRUPTED)


def test_messages_to_servers_that_are_busy_are_passed_over(db: Database) -> None:
    put(db, "http://slow.test/a_b")
    rest = [put(db, "http://slow.test:81/a"), put(db, "http://slow.testing/a")]
    assert due(db, not_to=["http://slow.test/"]) == rest


def test_a_receiver_that_is_gone_is_told_nothing_more(db: Database) -> None:
    with db.write() as session:
        webhooks.set_url(session, "anna", HOOK)
        webhooks.set_url(session, "bert", HOOK)
    first, second, other, berts = (
        put(db, owner="anna"),
        put(db, owner="anna"),
        put(db, OTHER, "anna"),
        put(db, owner="bert"),
    )
    (attempt,) = take(db, first)
    with db.write() as session:
        deliveries.gone(session, attempt, 410)
    assert [one(db, each).status for each in (first, second)] == [DeliveryStatus.FAILED] * 2
    assert {one(db, each).error for each in (first, second)} == {deliveries.GONE}
    assert due(db) == [other, berts]
    with db.write() as session:
        urls = [webhooks.of_owner(session, owner).url for owner in ("anna", "bert")]
    assert urls == [None, HOOK]


def test_a_message_that_is_sent_again_begins_anew_under_its_id(db: Database) -> None:
    delivery_id = put(db, owner="anna")
    (attempt,) = take(db, delivery_id)
    with db.write() as session:
        deliveries.failed(session, attempt, response_status=500, error="no")
    with db.write() as session, pytest.raises(NotFound):
        deliveries.again(session, delivery_id, "bert")
    with db.write() as session:
        deliveries.again(session, delivery_id, "anna")
    assert [(one.id, one.number) for one in take(db, delivery_id)] == [(delivery_id, 1)]


def test_only_what_ended_long_ago_is_forgotten(db: Database) -> None:
    done, waiting = put(db), put(db)
    (attempt,) = take(db, done)
    with db.write() as session:
        deliveries.delivered(session, attempt, 200)
        assert deliveries.forget_old(session, limit=10) == 0
    told = one(db, done)
    assert told.next_at is not None and timedelta(days=29) < told.next_at - now() <= timedelta(days=30)
    later(db, next_at=now() - timedelta(seconds=1))
    with db.write() as session:
        assert deliveries.forget_old(session, limit=10) == 1
    assert [one.id for one in everything(db)] == [waiting]
    later(db, next_at=now() - timedelta(days=31))
    with db.write() as session:
        assert deliveries.forget_old(session, limit=10) == 1


def test_ids_that_are_none_are_not_asked_for(db: Database) -> None:
    for text in ("", "x", "a\0b", "../1"):
        with db.read() as session, pytest.raises(NotFound):
            deliveries.get(session, text, None)
