"""Nothing is lost: workers die, messages vanish, the broker is away, a job is cancelled half-way."""

from __future__ import annotations

import time
from pathlib import Path

import redis

from tests.acceptance.conftest import Start
from tests.servers import ValkeyServer
from tests.service import Service


def await_status(service: Service, job_id: str, status: str, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while service.client.get(f"/api/jobs/{job_id}").json()["status"] != status:
        assert time.monotonic() < until, f"the job did not become {status}"
        time.sleep(0.05)


def test_an_upload_is_accepted_while_the_broker_is_down(start: Start, own_samples: Path) -> None:
    with ValkeyServer() as valkey:
        service = start(REDIS_URL=valkey.url)
        valkey.kill()
        job_id = service.upload(own_samples / "letter.png")
        assert service.client.get(f"/api/jobs/{job_id}").json()["status"] == "pending"
        ready = service.client.get("/readyz")
        assert (ready.status_code, ready.json()["broker"]) == (503, "does not answer")
        valkey.restart()
        assert service.wait(job_id)["status"] == "completed"


def test_messages_that_vanish_are_sent_again(start: Start, own_samples: Path, redis_url: str) -> None:
    service = start()
    service.kill("worker")
    jobs = [service.upload(own_samples / "scan.pdf") for _ in range(3)]
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    service.start("worker")
    assert [service.wait(job)["progress"]["pages_done"] for job in jobs] == [3, 3, 3]


def test_the_pages_of_a_worker_that_dies_are_read_by_another(start: Start, own_samples: Path) -> None:
    service = start(OCR_BACKEND="hang", OCR_FALLBACK="slow", ENGINE_TIMEOUT_S="600")
    job_id = service.upload(own_samples / "letter.png")
    await_status(service, job_id, "processing")
    time.sleep(1)
    service.kill("worker")
    service.environment["OCR_BACKEND"] = "slow"
    service.start("worker-2")
    job = service.wait(job_id)
    assert job["status"] == "completed"
    assert [step["outcome"] for step in service.page(job_id)["trail"]] == ["lost", "read"]


def test_cancel_stops_a_running_page_within_two_seconds_and_keeps_what_was_read(
    start: Start, own_samples: Path
) -> None:
    service = start(OCR_BACKEND="hang", OCR_FALLBACK="mock", CELERY_WORKER_CONCURRENCY="1")
    job_id = service.upload(own_samples / "mixed.pdf")  # page 1 has a text layer, page 2 does not
    until = time.monotonic() + 20
    while service.client.get(f"/api/jobs/{job_id}").json()["progress"]["pages_done"] < 1:
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(0.5)
    assert service.client.delete(f"/api/jobs/{job_id}").status_code == 202
    began = time.monotonic()
    # With one process, nothing else is read before the page that hangs has been stopped.
    other = service.upload(own_samples / "letter.png", engine="mock")
    assert service.wait(other)["status"] == "completed"
    assert time.monotonic() - began < 2 + 1.5
    job = service.client.get(f"/api/jobs/{job_id}").json()
    assert (job["status"], job["progress"]["pages_done"]) == ("cancelled", 1)
    assert service.text(job_id).strip()
    assert service.page(job_id, 2)["status"] == "skipped"


def test_a_stop_gives_the_page_in_hand_back(start: Start, own_samples: Path) -> None:
    service = start(OCR_BACKEND="slow")
    job_id = service.upload(own_samples / "scan.pdf")
    await_status(service, job_id, "processing")
    assert service.stop("worker") == 0
    service.start("worker-2")
    job = service.wait(job_id)
    assert (job["status"], job["progress"]["pages_done"]) == ("completed", 3)


def test_a_long_document_does_not_starve_a_photo(start: Start, own_samples: Path) -> None:
    service = start(OCR_BACKEND="slow", CELERY_WORKER_CONCURRENCY="1", PAGE_WINDOW="2")
    documents = [service.upload(own_samples / "scan.pdf", priority="batch") for _ in range(4)]
    photo = service.upload(own_samples / "photo.jpg", priority="interactive")
    assert service.wait(photo)["status"] == "completed"
    open_jobs = [service.client.get(f"/api/jobs/{job}").json()["status"] for job in documents]
    assert open_jobs.count("completed") <= 2
    for job in documents:
        assert service.wait(job)["progress"]["pages_done"] == 3
