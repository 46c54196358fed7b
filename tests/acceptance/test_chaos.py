"""200 jobs while workers are killed, Redis loses all it has and PostgreSQL restarts: each page ends with one result."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from tests.servers import PostgresServer, ValkeyServer
from tests.service import Service

JOBS = 200
KILL_EVERY_S = 4.0
PAUSE_S = 0.15
"""Between two uploads: all of them take half a minute at least, so disasters find open jobs on any machine."""
LONGEST_S = 240.0
SAMPLES = {"letter.png": 1, "scan.pdf": 3, "mixed.pdf": 2, "photo.jpg": 1, "multipage.tif": 3, "skewed.png": 1}
"""Files and their pages."""


@pytest.mark.timeout(LONGEST_S + 120)
def test_every_job_ends_and_every_page_has_exactly_one_result(tmp_path: Path, own_samples: Path) -> None:
    with ValkeyServer() as valkey, PostgresServer() as postgres:
        url = postgres.create_database()
        settings = {
            "OCR_PLUGINS": "tests.faulty_engines:Slow",
            "OCR_BACKEND": "slow",
            "OCR_FALLBACK": "slow",
            "SLOW_ENGINE_S": "0.2",
            "CELERY_WORKER_CONCURRENCY": "2",
            "PAGE_ATTEMPTS": "20",
            "LEASE_S": "3",
        }
        with Service(tmp_path, redis_url=valkey.url, database_url=url, **settings) as service:
            service.start("api", "beat", "worker-a", "worker-b").await_ready()
            over = threading.Event()
            jobs: dict[str, int] = {}
            uploading = threading.Thread(target=upload, args=(service, own_samples, jobs))
            uploading.start()
            seen: list[tuple[str, int]] = []
            disasters = threading.Thread(target=break_things, args=(service, valkey, postgres, url, over, seen))
            disasters.start()
            uploading.join()
            try:
                outcomes = {job: ended(service, job) for job in jobs}
                await_the_jobs_nobody_knows_of(url)
            finally:
                over.set()
                disasters.join()
        assert len(jobs) == JOBS
        assert_there_was_chaos(seen)
        assert [body for body in outcomes.values() if body["status"] != "completed"] == []
        assert {job: body["progress"]["pages_done"] for job, body in outcomes.items()} == jobs
        assert_one_result_each(url, at_least=sum(jobs.values()))


def upload(service: Service, samples: Path, jobs: dict[str, int]) -> None:
    """Send the jobs over the first minute; a server that is restarting is asked again, as a client would."""
    chosen = itertools.islice(itertools.cycle(SAMPLES.items()), JOBS)
    with httpx.Client(base_url=service.client.base_url, trust_env=False, timeout=30) as client:
        for name, pages in chosen:
            content = (samples / name).read_bytes()
            while True:
                response = client.post("/api/jobs", files={"file": (name, content)})
                if response.status_code == 202:
                    break
                assert response.status_code == 503, response.text
                time.sleep(0.2)
            jobs[response.json()["id"]] = pages
            time.sleep(PAUSE_S)


def break_things(
    service: Service,
    valkey: ValkeyServer,
    postgres: PostgresServer,
    url: str,
    over: threading.Event,
    seen: list[tuple[str, int]],
) -> None:
    """Kill one of the two workers every few seconds; once, Redis comes back empty; once, PostgreSQL restarts.

    ``seen`` gets each disaster, once it has happened, and how many jobs were open when it struck.
    """
    chance = random.Random(7)
    for turn in itertools.count(1):
        if over.wait(KILL_EVERY_S * chance.uniform(0.7, 1.3)):
            return
        if turn == 2:
            open_then = open_jobs(url)
            valkey.kill()
            valkey.restart(empty=True)
            seen.append(("redis emptied", open_then))
        if turn == 4:
            open_then, pid = open_jobs(url), postgres.pid
            postgres.restart()
            assert postgres.pid not in (None, pid)
            seen.append(("postgres restarted", open_then))
        victim = "worker-a" if turn % 2 else "worker-b"
        open_then = open_jobs(url)
        service.kill(victim)
        seen.append(("worker killed", open_then))
        service.start(victim)


def open_jobs(url: str) -> int:
    """How many jobs have not ended; asked of the database, past the service."""
    engine = create_engine(url)
    with engine.connect() as connection:
        count = connection.execute(text("SELECT count(*) FROM jobs WHERE finished_at IS NULL")).scalar()
    engine.dispose()
    return count or 0


def assert_there_was_chaos(seen: list[tuple[str, int]]) -> None:
    """Redis was emptied once and PostgreSQL restarted once, both amid open jobs, and workers died all along."""
    assert Counter(what for what, _ in seen if what != "worker killed") == {"redis emptied": 1, "postgres restarted": 1}
    assert [disaster for disaster in seen if disaster[0] != "worker killed" and disaster[1] == 0] == []
    assert sum(what == "worker killed" for what, _ in seen) >= 5, seen


def ended(service: Service, job: str) -> dict[str, object]:
    until = time.monotonic() + LONGEST_S
    while True:
        response = service.client.get(f"/api/jobs/{job}", params={"wait": 5})
        if response.status_code == 200 and response.json()["status"] in ("completed", "failed", "cancelled"):
            body: dict[str, object] = response.json()
            return body
        assert response.status_code in (200, 503), response.text
        assert time.monotonic() < until, response.text


def await_the_jobs_nobody_knows_of(url: str) -> None:
    """Wait for jobs whose answer was lost with the database: their uploader was told 503 and sent the file again."""
    until = time.monotonic() + 60
    while open_jobs(url):
        assert time.monotonic() < until
        time.sleep(0.2)


def assert_one_result_each(url: str, at_least: int) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        done = connection.execute(text("SELECT count(*) FROM pages WHERE status = 'done'")).scalar()
        pages, distinct = connection.execute(text("SELECT count(*), count(DISTINCT reading_id) FROM pages")).one()
        readings = connection.execute(text("SELECT count(*) FROM readings")).scalar()
    engine.dispose()
    assert pages >= at_least
    assert (done, distinct, readings) == (pages, pages, pages)
