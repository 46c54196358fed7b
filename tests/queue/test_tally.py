"""What is counted in the broker: by whoever settles a page or ends a job, whatever way that is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from sqlalchemy import update

from copyist import storage
from copyist.db import jobs
from copyist.db.states import JobStatus
from copyist.db.tables import Job, now
from copyist.errors import NoPageRead
from copyist.queue import intake, reading, tally, upkeep
from copyist.queue.context import Context
from copyist.queue.routing import News, Sender, celery_app
from copyist.queue.tally import KEY, TALLY, Tally, Told
from tests.queue.rows import make_job
from tests.servers import free_port

SHA256 = "b" * 64


@pytest.fixture(autouse=True)
def nothing_counted() -> Iterator[None]:
    TALLY.forget()
    yield
    TALLY.forget()


@pytest.fixture
def database_url(fresh_database: Callable[[str], str]) -> str:
    return fresh_database("sqlite")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as found:
        yield found


def told(client: redis.Redis, counted: Tally = TALLY) -> Told:
    """What everybody counted, with what was not sent yet."""
    counted.send(client.pipeline(transaction=False))
    return tally.told(client)


def read(context: Context, own_samples: Path, name: str = "note.png", kind: str = "png") -> str:
    context.storage.put(storage.file_key(SHA256), (own_samples / name).read_bytes())
    job_id = make_job(context, kind=kind)
    intake.take_in(context, job_id, token=uuid4().hex)
    return job_id


def test_a_page_and_its_job_are_counted_with_the_bell(context: Context, client: redis.Redis, own_samples: Path) -> None:
    read(context, own_samples)
    found = tally.told(client)
    assert found.counters["jobs"] == {("completed",): 1}
    assert found.counters["pages"] == {("mock", "read"): 1}
    assert found.counters["fallbacks"] == {}
    seconds = found.histograms["page_seconds"][("mock",)]
    assert 0 < seconds.sum < 10
    assert (seconds.buckets[0][0], seconds.buckets[-1]) == ("0.025", ("+Inf", 1))
    assert found.histograms["job_seconds"][()].buckets[-1] == ("+Inf", 1)


def test_a_page_that_was_read_before_is_counted_as_cached(
    context: Context, client: redis.Redis, own_samples: Path
) -> None:
    for _ in range(2):
        read(context, own_samples, "mixed.pdf", "pdf")
    found = tally.told(client)
    assert {key: count for key, count in found.counters["pages"].items() if key[0] == "text-layer"} == {
        ("text-layer", "read"): 1,
        ("text-layer", "cached"): 1,
    }
    assert found.histograms["page_seconds"][("text-layer",)].buckets[-1] == ("+Inf", 1)


def test_a_file_that_cannot_be_read_ends_a_job_and_settles_no_page(
    context: Context, client: redis.Redis, own_samples: Path
) -> None:
    read(context, own_samples, "zero_pages.pdf", "pdf")
    found = tally.told(client)
    assert found.counters["jobs"] == {("failed",): 1}
    assert found.counters["pages"] == {}


def test_a_page_that_fails_is_counted_with_nobody(context: Context, client: redis.Redis, own_samples: Path) -> None:
    context.storage.put(storage.file_key(SHA256), (own_samples / "truncated.png").read_bytes())
    reading.read_one(context, make_job(context, 1, kind="png"), 1, token="t.1")
    assert tally.told(client).counters["pages"] == {("none", "failed"): 1}


def test_whoever_ends_a_job_is_seen(context: Context, client: redis.Redis) -> None:
    cancelled, overdue = make_job(context), make_job(context, 1)
    with context.db.write() as session:
        jobs.cancel(session, cancelled)
        late = {"deadline": now(), "options": {"time_limit": 1}}
        session.execute(update(Job).where(Job.id == overdue).values(**late))
    upkeep.end_overdue(context)
    assert told(client).counters["jobs"] == {("cancelled",): 1, ("failed",): 1}


def test_what_is_rolled_back_is_not_counted(context: Context, client: redis.Redis) -> None:
    job_id = make_job(context, 1)
    with pytest.raises(ZeroDivisionError), context.db.write() as session:
        jobs.end(session, session.get_one(Job, job_id), JobStatus.FAILED, NoPageRead(pages=1))
        raise ZeroDivisionError
    with context.db.write() as session:
        session.get_one(Job, job_id)
    assert told(client).counters["jobs"] == {}


def test_a_chain_that_goes_on_is_counted_step_by_step(client: redis.Redis) -> None:
    counted = Tally()
    steps = [("dots", "not_ready"), ("easyocr", "garbage"), ("tesseract", "kept_other"), ("rapidocr", "read")]
    trail = [{"engine": engine, "outcome": outcome} for engine, outcome in steps]
    counted.page("rapidocr", "read", seconds=3, confidence=0.97, trail=trail)
    counted.page("easyocr", "failed", trail=trail[:2])
    found = told(client, counted)
    assert found.counters["fallbacks"] == {
        ("dots", "easyocr", "not_ready"): 2,
        ("easyocr", "tesseract", "garbage"): 1,
        ("easyocr", "none", "garbage"): 1,
    }
    sure = dict(found.histograms["confidence"][("rapidocr",)].buckets)
    assert (sure["0.95"], sure["0.99"], sure["+Inf"]) == (0, 1, 1)


def test_counts_of_all_processes_are_added_up(client: redis.Redis) -> None:
    one, other = Tally(), Tally()
    one.job("completed", 0.1)
    other.job("completed", 100_000)
    told(client, one)
    took = told(client, other).histograms["job_seconds"][()]
    assert took.sum == pytest.approx(100_000.1)
    assert (took.buckets[0], took.buckets[-2], took.buckets[-1]) == (("0.1", 1), ("86400", 1), ("+Inf", 2))


def test_a_broker_that_is_away_loses_nothing_and_holds_up_nobody(client: redis.Redis, redis_url: str) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"
    TALLY.job("completed", 1)
    Sender(celery_app(away), away).ring("x", News.ENDED)
    TALLY.job("completed", 2)
    Sender(celery_app(redis_url), redis_url).ring("x", News.ENDED)
    found = tally.told(client)
    assert found.counters["jobs"] == {("completed",): 2}
    assert found.histograms["job_seconds"][()].sum == 3


def test_a_forked_child_does_not_count_what_its_parent_did(client: redis.Redis) -> None:
    TALLY.job("completed", 1)
    child = os.fork()
    if child == 0:
        os._exit(len(TALLY._counts))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert told(client).counters["jobs"] == {("completed",): 1}


def test_what_another_version_counted_there_is_left_out(client: redis.Redis) -> None:
    client.hset(KEY, mapping={"jobs|completed": 2, "jobs|completed|more": 7, "something": 1, "pages|a": 1})
    found = tally.told(client)
    assert (found.counters["jobs"], found.counters["pages"]) == ({("completed",): 2}, {})
