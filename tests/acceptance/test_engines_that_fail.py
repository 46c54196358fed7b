"""Engines that crash, hang, or talk nonsense: the page goes down the chain, the trail says why, the rest is read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image

from tests.acceptance.conftest import Start


def steps(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["engine"], step["outcome"]) for step in page["trail"]]


def test_an_engine_that_kills_its_process_is_left_out_after_two_tries(start: Start, own_samples: Path) -> None:
    service = start(OCR_BACKEND="crash", OCR_FALLBACK="slow,mock", LEASE_S="20")
    job = service.read(own_samples / "letter.png")
    assert job["status"] == "completed"
    page = service.page(job["id"])
    assert steps(page) == [("crash", "crashed"), ("slow", "read")]
    assert (page["attempts"], job["engines"], job["degraded"]) == (3, ["slow"], False)


def test_a_page_that_kills_its_worker_every_time_is_given_up(start: Start, own_samples: Path) -> None:
    service = start(OCR_BACKEND="crash", OCR_FALLBACK="crash", PAGE_ATTEMPTS="2", LEASE_S="20")
    crashing = service.upload(own_samples / "scan.pdf")
    job = service.wait(crashing)
    assert (job["status"], job["error"]["code"]) == ("failed", "worker_crashed")
    assert "2 times" in job["error"]["detail"]


def test_a_page_that_kills_its_worker_fails_alone_and_the_rest_is_read(start: Start) -> None:
    service = start(OCR_BACKEND="crash-on-wide", OCR_FALLBACK="crash-on-wide", PAGE_ATTEMPTS="2", LEASE_S="20")
    pages = [Image.new("L", size, 255) for size in ((300, 400), (400, 300), (300, 400))]
    document = io.BytesIO()
    pages[0].save(document, "TIFF", save_all=True, append_images=pages[1:])
    job = service.read(document.getvalue(), seconds=120)
    assert (job["status"], job["progress"]["pages_done"], job["progress"]["pages_failed"]) == ("completed", 2, 1)
    assert job["warnings"] == ["1 of 3 pages could not be read."]
    found = [service.page(job["id"], number) for number in (1, 2, 3)]
    assert [page["status"] for page in found] == ["done", "failed", "done"]
    assert found[1]["error"]["code"] == "worker_crashed"
    assert steps(found[1]) == [("crash-on-wide", "crashed")] * 2


def test_an_engine_that_hangs_is_stopped_and_the_next_one_reads(start: Start, own_samples: Path) -> None:
    service = start(OCR_BACKEND="hang", OCR_FALLBACK="slow", ENGINE_TIMEOUT_S="2")
    job = service.read(own_samples / "letter.png")
    page = service.page(job["id"])
    assert steps(page) == [("hang", "timed_out"), ("slow", "read")]
    assert page["trail"][0]["reason"] == "It did not finish within 2 s."
    assert page["attempts"] == 1


def test_garbage_and_errors_go_down_the_chain_and_mock_is_never_silent(start: Start, own_samples: Path) -> None:
    service = start(OCR_BACKEND="garbage", OCR_FALLBACK="broken,mock")
    job = service.read(own_samples / "letter.png")
    page = service.page(job["id"])
    assert steps(page) == [("garbage", "garbage"), ("broken", "failed"), ("mock", "read")]
    assert job["status"] == "completed"
    assert job["degraded"] and page["degraded"]
    assert any("mock" in warning for warning in job["warnings"])


def test_without_mock_a_page_nobody_reads_fails_with_its_reasons(start: Start, own_samples: Path) -> None:
    service = start(OCR_BACKEND="garbage", OCR_FALLBACK="broken")
    job = service.read(own_samples / "letter.png")
    assert (job["status"], job["error"]["code"]) == ("failed", "page_failed")
    assert "garbage, broken" in job["error"]["detail"]
    assert "/" not in str(service.page(job["id"])["trail"])
