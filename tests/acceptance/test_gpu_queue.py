"""Pages that belong on a GPU: read several at once, moved when its worker is gone, brought home when it is back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import create_engine, text

from tests.acceptance.conftest import Start
from tests.service import Service

CHAIN = {"OCR_BACKEND": "on-gpu", "OCR_FALLBACK": "slow,mock"}
GPU_WORKER = {"PRETEND_GPU": "1", "CELERY_WORKER_CONCURRENCY": "1", **CHAIN}
CPU_WORKER = {"OCR_BACKEND": "slow", "OCR_FALLBACK": "mock", "SLOW_ENGINE_S": "0.2"}
PAGES = 20


@pytest.fixture
def document(tmp_path: Path) -> Path:
    pages = [Image.new("L", (300 + number, 400), 255) for number in range(PAGES)]
    path = tmp_path / "twenty.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return path


def begin(start: Start, **gpu: str) -> Service:
    """An API that knows of the GPU, a GPU worker and a CPU worker."""
    service = start("api", "beat", **CHAIN).start("worker-gpu", **GPU_WORKER | gpu)
    service.start("worker-cpu", **CPU_WORKER).await_ready()
    await_engine(service, "on-gpu")
    await_engine(service, "slow")
    return service


def await_engine(service: Service, name: str) -> None:
    until = time.monotonic() + 60
    while not any(engine["name"] == name and engine["ready"] for engine in service.client.get("/api/engines").json()):
        assert time.monotonic() < until, service.log("worker-gpu")
        time.sleep(0.1)


def done(service: Service, job: str) -> int:
    return int(service.client.get(f"/api/jobs/{job}").json()["progress"]["pages_done"])


def engines(service: Service, job: str) -> list[str]:
    """The engine of each page, in order; each has one result."""
    found = [service.page(job, number) for number in range(1, PAGES + 1)]
    assert [page["status"] for page in found] == ["done"] * PAGES
    return [page["trail"][-1]["engine"] for page in found]


def readings(service: Service) -> int:
    """How many results there are in the database."""
    engine = create_engine(service.environment["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://"))
    with engine.connect() as connection:
        count = connection.execute(text("SELECT count(*) FROM readings")).scalar_one()
    engine.dispose()
    return int(count)


@pytest.mark.timeout(180)
def test_a_job_is_read_on_when_its_only_gpu_worker_is_killed_and_goes_back_to_the_next(
    start: Start, document: Path
) -> None:
    service = begin(start, SLOW_ENGINE_S="1")
    job = service.upload(document)
    while done(service, job) < 4:
        time.sleep(0.1)
    service.kill("worker-gpu")
    ended = service.wait(job, 90)
    assert (ended["status"], ended["progress"]["pages_done"]) == ("completed", PAGES)
    read_by = engines(service, job)
    assert set(read_by) == {"on-gpu", "slow"}
    assert readings(service) == PAGES
    assert sorted(ended["engines"]) == ["on-gpu", "slow"]

    # Uploaded while there is no GPU: it waits for nobody, and goes home when a GPU appears.
    slow = service.upload(document, priority="batch")
    service.kill("worker-cpu")
    service.start("worker-gpu", **GPU_WORKER, SLOW_ENGINE_S="0.1")
    assert service.wait(slow, 90)["status"] == "completed"
    assert "on-gpu" in engines(service, slow)
    assert readings(service) == 2 * PAGES


def test_a_gpu_worker_reads_as_many_pages_at_once_as_its_engine_takes(start: Start, document: Path) -> None:
    service = begin(start, SLOW_ENGINE_S="1")
    job = service.upload(document)
    while done(service, job) < 1:
        time.sleep(0.05)
    began = time.monotonic()
    service.wait(job)
    assert set(engines(service, job)) == {"on-gpu"}
    # One after the other they would take 19 s and more.
    assert time.monotonic() - began < 12
    trail = service.page(job, 2)["trail"]
    assert trail[-1]["notes"] == ["It took its time."]


def test_a_cancel_stops_the_engine_and_not_its_process(start: Start, document: Path) -> None:
    service = begin(start, SLOW_ENGINE_S="30")
    job = service.upload(document)
    while service.client.get(f"/api/jobs/{job}").json()["status"] == "pending":
        time.sleep(0.1)
    time.sleep(2)
    service.client.post(f"/api/jobs/{job}/cancel")
    time.sleep(3)
    log = service.log("worker-gpu")
    assert log.count("is asked to stop") >= 2
    assert "this process is stopped" not in log
    assert "WorkerLostError" not in log


def test_a_cancel_does_not_end_a_process_that_is_loading_its_model(start: Start, document: Path) -> None:
    service = begin(start, LOADING_S="12", SLOW_ENGINE_S="0.1")
    job = service.upload(document)
    while done(service, job) == 0 and state(service) != "loading":
        time.sleep(0.1)
    time.sleep(1)
    service.client.post(f"/api/jobs/{job}/cancel")
    until = time.monotonic() + 30
    while state(service) != "loaded":
        assert time.monotonic() < until
        time.sleep(0.2)
    log = service.log("worker-gpu")
    assert "is asked to stop" in log
    assert "this process is stopped" not in log


def test_an_engine_that_takes_too_long_leaves_and_the_next_one_reads_in_the_same_process(
    start: Start, own_samples: Path
) -> None:
    service = begin(start, SLOW_ENGINE_S="30", ENGINE_TIMEOUT_S="2", OCR_FALLBACK="mock")
    job = service.read(own_samples / "letter.png")
    page = service.page(job["id"])
    assert [(step["engine"], step["outcome"]) for step in page["trail"]] == [("on-gpu", "timed_out"), ("mock", "read")]
    assert page["trail"][0]["reason"] == "It did not finish within 2 s."
    assert "this process is stopped" not in service.log("worker-gpu")


def test_a_gpu_worker_warms_up_and_says_how_far_it_is(start: Start) -> None:
    # A worker tells how far it is every few seconds; on a busy machine that may be ten.
    service = begin(start, LOADING_S="12", SLOW_ENGINE_S="0.1")
    seen: list[tuple[str, str]] = []
    until = time.monotonic() + 60
    while ("loaded", "ready") not in seen:
        assert time.monotonic() < until, seen
        seen.append((state(service), service.client.get("/readyz").json()["gpu"]))
        time.sleep(0.2)
    assert ("loading", "loading") in seen
    assert "engine on-gpu is warm after" in service.log("worker-gpu")


def test_a_model_that_takes_its_process_down_leaves_the_pages_to_the_next_engine(
    start: Start, own_samples: Path
) -> None:
    chain = {"OCR_BACKEND": "crash-on-load", "OCR_FALLBACK": "slow", "CELERY_WORKER_CONCURRENCY": "2"}
    service = start(OCR_PLUGINS="tests.faulty_engines:CrashOnLoad,tests.faulty_engines:Slow", **chain)
    job = service.read(own_samples / "letter.png")
    assert job["status"] == "completed", service.page(job["id"])
    steps = [(step["engine"], step["outcome"]) for step in service.page(job["id"])["trail"]]
    assert steps[-2:] == [("crash-on-load", "crashed"), ("slow", "read")]
    assert "not warmed up" in service.log("worker")


def state(service: Service) -> str:
    found: list[dict[str, Any]] = service.client.get("/api/engines").json()
    return str(next(engine for engine in found if engine["name"] == "on-gpu")["state"])
