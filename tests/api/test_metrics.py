"""``GET /metrics``: what Prometheus is told, read back with the library's own parsers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain
from sqlalchemy import insert, text, update

from copyist import __version__
from copyist.api.service import Looks
from copyist.db import jobs, presence
from copyist.db.session import Database
from copyist.db.tables import Job, Page, Reading, Worker, now
from copyist.queue.routing import News, Sender, celery_app
from copyist.queue.tally import TALLY
from tests.api.conftest import Ask
from tests.servers import process_environment

READY = {"ready": True, "reason": "", "version": "1", "languages": [], "needs_gpu": False, "modes": ["document"]}
ABSENT = READY | {"ready": False, "reason": "No weights."}


@pytest.fixture
def database_url(fresh_database: Callable[[str], str]) -> str:
    return fresh_database("sqlite")


class Scrape:
    """One answer, by the name and the labels of its samples."""

    def __init__(self, answer: httpx.Response, parse: Any = plain) -> None:
        assert answer.status_code == 200
        self.text = answer.text
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in parse(answer.text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self._values.get((name, frozenset(labels.items())))

    def all(self, name: str, label: str) -> dict[str, float]:
        """Values of a figure by its one label."""
        return {dict(labels)[label]: value for (found, labels), value in self._values.items() if found == name}

    def requests(self, method: str, route: str, status: int) -> float:
        labels = {"method": method, "route": route, "status": str(status)}
        return self.value("http_request_duration_seconds_count", **labels) or 0


def scrape(ask: Ask) -> Scrape:
    return Scrape(ask("GET", "/metrics"))


def make_job(db: Database, count: int = 0, *, queue: str = "cpu") -> str:
    job_id = str(uuid4())
    with db.write() as session:
        jobs.create(
            session,
            job_id=job_id,
            filename="x.pdf",
            sha256="a" * 64,
            size=7,
            kind="pdf",
            options={},
            labels={},
            priority=3,
            queue=queue,
        )
    if count:
        with db.write() as session:
            job = jobs.claim_intake(session, job_id, token="t", lease_s=30, max_attempts=3)
            assert job is not None
            jobs.open_pages(session, job, range(1, count + 1))
    return job_id


def test_tells_of_the_work_that_is_held(db: Database, ask: Ask) -> None:
    make_job(db)
    make_job(db, 3, queue="gpu")
    with db.write() as session:
        session.execute(update(Page).where(Page.number == 1).values(sent_at=now() - timedelta(minutes=10)))
        session.execute(insert(Reading).values(engine="mock", engine_version="1", page="{}", text=""))
    told = scrape(ask)
    assert told.all("ocr_jobs", "status") == {
        "pending": 1,
        "processing": 1,
        "completed": 0,
        "failed": 0,
        "cancelled": 0,
    }
    assert told.value("ocr_pages", status="pending") == 3
    assert told.all("ocr_waiting_jobs", "queue") == {"cpu": 1, "gpu": 0}
    assert told.all("ocr_waiting_pages", "queue") == {"cpu": 0, "gpu": 3}
    oldest = told.all("ocr_queue_oldest_seconds", "queue")
    assert 0 <= oldest["cpu"] < 60
    assert 600 <= oldest["gpu"] < 660
    assert told.value("ocr_recent_readings", engine="mock") == 1
    assert (told.value("ocr_files"), told.value("ocr_files_bytes")) == (1, 7)
    assert told.value("ocr_expired_leases") == 0
    assert told.value("copyist_build_info", version=__version__) == 1


def test_a_clock_that_is_behind_makes_no_age_below_zero(db: Database, ask: Ask) -> None:
    make_job(db)
    with db.write() as session:
        session.execute(update(Job).values(created_at=now() + timedelta(hours=1)))
    assert scrape(ask).all("ocr_queue_oldest_seconds", "queue") == {"cpu": 0, "gpu": 0}


def test_tells_of_the_messages_in_the_broker(ask: Ask, redis_url: str) -> None:
    sender = Sender(celery_app(redis_url), redis_url)
    sender.pages("a", [1, 2], queue="gpu", priority=6)
    sender.intake("a", queue="gpu", priority=0)
    sender.picture("a", 1)
    assert scrape(ask).all("ocr_queue_depth", "queue") == {"cpu": 0, "gpu": 3, "pictures": 1, "training": 0}


def count_some(redis_url: str) -> None:
    """Count as a worker does that reads two pages of a job, one of them after all."""
    TALLY.forget()
    trail = [{"engine": "dots", "outcome": "timed_out"}, {"engine": "mock", "outcome": "read"}]
    TALLY.page("tesseract", "read", seconds=2, confidence=0.97)
    TALLY.page("mock", "read", seconds=70, trail=trail)
    TALLY.job("completed", 75)
    Sender(celery_app(redis_url), redis_url).ring("a", News.ENDED)


def test_tells_of_what_the_workers_counted(ask: Ask, redis_url: str) -> None:
    count_some(redis_url)
    told = scrape(ask)
    assert told.value("ocr_jobs_total", state="completed") == 1
    assert told.value("ocr_pages_total", engine="tesseract", outcome="read") == 1
    assert told.value("ocr_engine_fallbacks_total", **{"from": "dots", "to": "mock", "reason": "timed_out"}) == 1
    for le, count in (("1", 0), ("2.5", 1), ("+Inf", 1)):
        assert told.value("ocr_page_duration_seconds_bucket", engine="tesseract", le=le) == count
    assert told.value("ocr_page_duration_seconds_sum", engine="mock") == 70
    assert told.value("ocr_page_duration_seconds_count", engine="mock") == 1
    assert told.value("ocr_job_duration_seconds_sum") == 75
    assert told.value("ocr_page_confidence_bucket", engine="tesseract", le="0.95") == 0
    assert told.value("ocr_page_confidence_bucket", engine="tesseract", le="0.99") == 1


def test_a_job_that_the_api_ends_is_counted(db: Database, ask: Ask) -> None:
    TALLY.forget()
    assert ask("POST", f"/api/jobs/{make_job(db)}/cancel").status_code == 202
    assert scrape(ask).value("ocr_jobs_total", state="cancelled") == 1


def test_tells_of_the_living_workers_and_their_engines(db: Database, ask: Ask) -> None:
    with db.write() as session:
        presence.show(session, "a", queues=["cpu", "pictures"], concurrency=2, engines={"mock": READY, "dots": ABSENT})
        presence.show(session, "b", queues=["cpu", "gpu"], concurrency=3, engines={"mock": READY})
        presence.show(session, "gone", queues=["gpu"], concurrency=9, engines={"nougat": READY})
        session.flush()
        session.get_one(Worker, "gone").seen_at = now() - timedelta(hours=1)
    told = scrape(ask)
    assert told.all("ocr_workers", "queue") == {"cpu": 2, "gpu": 1, "pictures": 1, "training": 0}
    assert told.all("ocr_worker_capacity", "queue") == {"cpu": 5, "gpu": 3, "pictures": 2, "training": 0}
    assert told.all("ocr_engine_ready", "engine") == {"mock": 1, "dots": 0}
    assert told.all("ocr_engine_workers", "engine") == {"mock": 2, "dots": 0}


def test_without_the_database_the_rest_is_told(db: Database, ask: Ask) -> None:
    with db.write() as session:
        session.execute(text("DROP TABLE locks"))
        session.execute(text("DROP TABLE workers"))
    told = scrape(ask)
    assert told.all("ocr_up", "part") == {"database": 0, "broker": 1, "storage": 1}
    assert told.value("ocr_queue_depth", queue="cpu") == 0
    assert told.value("ocr_jobs", status="pending") is None, "not known is not 0"
    assert told.value("process_resident_memory_bytes")


def test_without_the_storage_the_rest_is_told(ask: Ask, tmp_path: Path) -> None:
    assert scrape(ask).all("ocr_up", "part") == {"database": 1, "broker": 1, "storage": 1}
    shutil.rmtree(tmp_path / "files")
    (tmp_path / "files").write_text("in the way")
    told = scrape(ask)
    assert told.all("ocr_up", "part") == {"database": 1, "broker": 1, "storage": 0}
    assert told.value("ocr_jobs", status="pending") == 0


def test_a_broker_that_hangs_holds_up_no_scrape(ask: Ask, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Looks, "WITHIN_S", 0.2)
    with redis.Redis.from_url(redis_url) as client:
        client.client_pause(1500)
    told = scrape(ask)
    assert told.all("ocr_up", "part") == {"database": 1, "broker": 0, "storage": 1}
    assert told.value("ocr_queue_depth", queue="cpu") is None


def test_speaks_openmetrics_to_those_who_ask_for_it(ask: Ask, redis_url: str) -> None:
    count_some(redis_url)
    answer = ask("GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    told = Scrape(answer, openmetrics)
    assert told.value("ocr_up", part="database") == 1
    assert told.value("ocr_jobs_total", state="completed") == 1
    assert told.value("ocr_jobs", status="pending") == 0
    assert ask("GET", "/metrics").headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/livez", "/livez", 200),
        ("GET", "/api/jobs/8d7f4f0e-8f0e-4f0e-9a57-3d5a4f0f9c11", "/api/jobs/{job_id}", 404),
        ("GET", "/api/jobs/8d7f4f0e-8f0e-4f0e-9a57-3d5a4f0f9c11?wait=0", "/api/jobs/{job_id}", 404),
        ("GET", "/api/jobs/8d7f4f0e-8f0e-4f0e-9a57-3d5a4f0f9c11?wait=3", "/api/jobs/{job_id}?wait", 404),
        ("GET", "/api/jobs/8d7f4f0e-8f0e-4f0e-9a57-3d5a4f0f9c11?wait=long", "/api/jobs/{job_id}", 422),
        ("GET", "/8d7f4f0e-8f0e-4f0e-9a57-3d5a4f0f9c11", "other", 404),
        ("BREW", "/8d7f4f0e-8f0e-4f0e-9a57-3d5a4f0f9c11", "other", 405),
    ],
)
def test_requests_are_told_by_route_and_never_by_id(ask: Ask, method: str, path: str, route: str, status: int) -> None:
    shown = method if method == "GET" else "other"
    before = scrape(ask).requests(shown, route, status)
    assert ask(method, path).status_code == status
    told = scrape(ask)
    assert told.requests(shown, route, status) == before + 1
    assert "8d7f4f0e" not in told.text


def test_an_upload_that_waits_is_told_apart(ask: Ask) -> None:
    before = scrape(ask).requests("POST", "/api/jobs?wait", 400)
    assert ask("POST", "/api/jobs", headers={"Prefer": "wait=1"}).status_code == 400
    assert scrape(ask).requests("POST", "/api/jobs?wait", 400) == before + 1


def test_a_route_of_a_router_within_a_router_is_told_whole(ask: Ask) -> None:
    before = scrape(ask).requests("POST", "/api/upload/", 400)
    assert ask("POST", "/api/upload/").status_code == 400
    assert scrape(ask).requests("POST", "/api/upload/", 400) == before + 1


def test_what_was_not_counted_yet_is_0_so_that_its_first_is_a_growth(ask: Ask, redis_url: str) -> None:
    assert scrape(ask).value("ocr_jobs_total", state="failed") == 0
    assert scrape(ask).value("ocr_pages_total", engine="none", outcome="failed") == 0
    count_some(redis_url)
    told = scrape(ask)
    assert told.value("ocr_jobs_total", state="completed") == 1
    engines = {dict(labels)["engine"] for name, labels in told._values if name == "ocr_pages_total"} - {"none"}
    assert engines
    for engine in engines:
        assert told.value("ocr_pages_total", engine=engine, outcome="failed") is not None


def test_a_request_that_fails_or_is_refused_is_told(db: Database, ask: Ask) -> None:
    before = scrape(ask)
    with db.write() as session:
        session.execute(text("DROP TABLE workers"))
    assert ask("GET", "/api/engines").status_code == 503
    assert ask("POST", "/api/jobs", content=b"x" * 2_000_000).status_code == 413
    told = scrape(ask)
    assert told.requests("GET", "/api/engines", 503) == before.requests("GET", "/api/engines", 503) + 1
    refused = ("POST", "/api/jobs", 413)
    assert told.requests(*refused) == before.requests(*refused) + 1


def test_what_nobody_foresaw_is_told_as_500(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("nobody foresaw this")

    before = scrape(ask).requests("GET", "/api/engines", 500)
    with monkeypatch.context() as patch:
        patch.setattr(presence, "engines", broken)
        assert ask("GET", "/api/engines").status_code == 500
    assert scrape(ask).requests("GET", "/api/engines", 500) == before + 1


ONE_OF_SEVERAL = """
import sys
from pathlib import Path
from starlette.testclient import TestClient
from copyist.api.app import create_app
from copyist.settings import Settings

redis_url, database_url, folder = sys.argv[1:]
settings = Settings(_env_file=None, redis_url=redis_url, database_url=database_url, data_dir=Path(folder))
with TestClient(create_app(settings), base_url="http://localhost") as client:
    client.get("/livez")
    print(client.get("/metrics").text)
"""


@pytest.mark.slow
def test_several_processes_put_their_figures_together(redis_url: str, database_url: str, tmp_path: Path) -> None:
    environment = process_environment(PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "together"))
    arguments = [sys.executable, "-c", ONE_OF_SEVERAL, redis_url, database_url, str(tmp_path)]
    for count in (1, 2):
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
        told = Scrape(httpx.Response(200, text=done.stdout))
        assert told.requests("GET", "/livez", 200) == count
        assert told.value("ocr_up", part="database") == 1
