"""dots.ocr loaded in the worker: a small checkpoint in the published layout, on the CPU, through the whole service."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from tests.acceptance.conftest import Start
from tests.engines.dots.tiny_dots import write_reading_dots
from tests.service import Service

PAGES = 6


@pytest.fixture
def document(tmp_path: Path) -> Path:
    pages = [Image.new("L", (420 + 2 * number, 280), 255) for number in range(PAGES)]
    for page in pages:
        ImageDraw.Draw(page).text((40, 40), "0123 4567", fill=0, font_size=40)
    path = tmp_path / "six.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return path


def test_a_document_is_read_by_the_model_in_batches(start: Start, document: Path, tmp_path: Path) -> None:
    # A dot in the name, which has broken others.
    folder = write_reading_dots(tmp_path / "dots.ocr-tiny")
    service = start(
        OCR_BACKEND="dots",
        OCR_FALLBACK="mock",
        DOTS_OCR_MODEL_PATH=str(folder),
        DOTS_OCR_ON_CPU="true",
        DOTS_OCR_PAGES_AT_ONCE="3",
        CELERY_WORKER_CONCURRENCY="1",
        LEASE_S="20",
    )
    job = service.read(document, seconds=120)
    assert (job["status"], job["engines"], job["degraded"]) == ("completed", ["dots"], False)
    assert service.text(job["id"]).split() == ["0123", "4567"] * PAGES
    step = service.page(job["id"])["trail"][-1]
    assert step["outcome"] == "read"
    assert any("finished by stop" in note for note in step["notes"]), step
    until = time.monotonic() + 20
    while (engine := dots(service))["state"] != "loaded":
        assert time.monotonic() < until, engine
        time.sleep(0.2)
    assert (engine["device"], engine["model"]) == ("cpu", "dots.ocr-tiny")


def dots(service: Service) -> dict[str, Any]:
    found: list[dict[str, Any]] = service.client.get("/api/engines").json()
    return next(one for one in found if one["name"] == "dots")


def test_a_checkpoint_that_is_cut_leaves_the_page_to_the_next_engine(
    start: Start, own_samples: Path, tmp_path: Path
) -> None:
    folder = write_reading_dots(tmp_path / "DotsOCR")
    shard = max(folder.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1000])
    service = start(
        OCR_BACKEND="dots", OCR_FALLBACK="slow", DOTS_OCR_MODEL_PATH=str(folder), DOTS_OCR_ON_CPU="true", LEASE_S="20"
    )
    job = service.read(own_samples / "letter.png")
    steps = service.page(job["id"])["trail"]
    assert [(step["engine"], step["outcome"]) for step in steps] == [("dots", "not_ready"), ("slow", "read")]
    assert shard.name in steps[0]["reason"]
    assert "pull the weights again" in steps[0]["reason"]
    assert job["status"] == "completed"
