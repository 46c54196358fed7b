"""The whole loop through the public door: read, corrected, learned from, proven, served, taken back."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import jiwer
import psutil
import pytest

from copyist.training.examples import Example, Split
from tests.acceptance import hands
from tests.acceptance.conftest import Start
from tests.service import Service

PAGES, LATER = 56, 6
LEARNING = {
    "OCR_BACKEND": "auto",
    "RESULT_CACHE": "true",
    "MODEL_IDLE_SECONDS": "0",
    "RETRAIN_AFTER": "60",
    "TRAIN_AT": "",
    "TRAIN_MIN_LINES": "30",
    # As much as a model of these few weights needs.
    "TRAIN_EPOCHS": "20",
    "TRAIN_LEARNING_RATE": "0.001",
    "TRAIN_LORA_RANK": "16",
    "TRAIN_ENCODER_LAYERS": "0",
    "TRAIN_BLEND": "1",
    "TRAIN_WHILE_READING": "true",
    "GENERAL_LINES": "60",
    "GATE_MIN_PAGES": "8",
    "GATE_MARGIN": "3",
    # So small a model is no faster with two, and waits for the one that gets no turn on a busy machine.
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hands.write_base(tmp_path_factory.mktemp("base") / "trocr-small-model")


@pytest.fixture(scope="session")
def general_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lines of the hand that the base knows, as ``copyist train export`` writes them."""
    folder = tmp_path_factory.mktemp("general")
    (folder / "lines").mkdir()
    rows = []
    for number, (picture, text) in enumerate(hands.lessons(hands.KNOWN, 50, seed=7)):
        content = cv2.imencode(".png", picture)[1].tobytes()
        sha256 = hashlib.sha256(content).hexdigest()
        (folder / "lines" / f"{sha256}.png").write_bytes(content)
        page = hashlib.sha256(str(number // hands.LINES).encode()).hexdigest()
        example = Example(
            sha256=sha256, text=text, page=page, split=Split.HOLDOUT, corrected=False, read=text, line="", revision=0
        )
        rows.append(example.model_dump_json())
    (folder / "manifest.jsonl").write_text("\n".join(sorted(set(rows))) + "\n")
    return folder


@pytest.fixture
def learning(start: Start, base: Path, general_set: Path) -> Callable[..., Service]:
    """Start a service that reads handwriting with the base, and learns."""

    def begin(**settings: str) -> Service:
        more = {"OCR_MODEL": str(base), "GENERAL_SET": str(general_set), **LEARNING, **settings}
        return start("api", "beat", "worker", "trainer", **more)

    return begin


def read(service: Service, pictures: Sequence[Any]) -> tuple[str, list[list[str]]]:
    """Read pages as handwriting; the job's id, and the lines of each page."""
    job = service.read(hands.document(pictures), 240, mode="handwriting")
    assert job["status"] == "completed", job
    assert job["engines"] == ["trocr"], job
    bodies = [service.page(job["id"], number) for number in range(1, len(pictures) + 1)]
    return job["id"], [[line["text"] for line in body["lines"]] for body in bodies]


def cer(texts: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> float:
    """Character error rate of pages: a line in which the model reads nothing is not among those it found."""
    return float(jiwer.cer(["\n".join(lines) for lines in texts], ["\n".join(lines) for lines in found]))


def correct(service: Service, job_id: str, texts: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Send the text of a job as a person would who has corrected all of it."""
    text = "\f".join("\n".join(lines) + "\n" for lines in texts)
    response = service.client.post(
        f"/api/jobs/{job_id}/corrections", content=text.encode(), headers={"Content-Type": "text/plain; charset=utf-8"}
    )
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def await_pictures(service: Service, seconds: float = 60) -> None:
    """Wait until all corrected lines are cut out of their pages."""
    until = time.monotonic() + seconds
    while (counts := service.client.get("/api/training").json()["counts"])["waiting"]:
        assert time.monotonic() < until, counts
        time.sleep(0.2)


def runs(service: Service) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.client.get("/api/training/runs").json()["runs"]
    return found


def await_run(service: Service, condition: Callable[[dict[str, Any]], bool], seconds: float = 400) -> dict[str, Any]:
    """The newest run, once the condition holds."""
    until = time.monotonic() + seconds
    while True:
        newest = runs(service)[:1]
        if newest and condition(newest[0]):
            return newest[0]
        if time.monotonic() > until:
            status = service.client.get("/api/training").text
            raise AssertionError(f"{newest}\n{status}\n{service.log('trainer')[-4000:]}\n{service.log('beat')[-2000:]}")
        time.sleep(0.3)


def has_ended(run: dict[str, Any]) -> bool:
    return run["status"] in ("completed", "failed", "cancelled")


def test_what_is_corrected_is_learned_and_can_be_taken_back(learning: Callable[..., Service]) -> None:
    service = learning()
    written, texts = hands.pages(hands.UNKNOWN, PAGES, seed=3)
    later, later_texts = hands.pages(hands.UNKNOWN, LATER, seed=4)
    job, _ = read(service, written)
    _, before = read(service, later)

    report = correct(service, job, texts)
    assert report["corrected"] + report["confirmed"] > 0.8 * PAGES * hands.LINES, report

    run = await_run(service, has_ended)
    assert (run["status"], run["outcome"], run["trigger"]) == ("completed", "promoted", "corrections"), run
    again = hands.document(later)
    champion = service.read(again, 120, mode="handwriting")
    after = [[line["text"] for line in service.page(champion["id"], number)["lines"]] for number in range(1, LATER + 1)]
    assert cer(later_texts, after) < 0.5 * cer(later_texts, before), run["reason"]

    assert service.client.post("/api/training/rollback", json={"reason": "a test"}).status_code == 200
    _, back = read(service, later)
    assert back == before, "the base reads as it did before"


def test_what_would_read_other_hands_worse_is_refused(learning: Callable[..., Service]) -> None:
    service = learning()
    written, texts = hands.pages(hands.KNOWN, PAGES, seed=5)
    job, found = read(service, written)
    assert cer(texts, found) < 0.05, "the base knows this hand"
    # Somebody mistakes every phrase for the next one in the list.
    next_one = dict(zip(hands.PHRASES, (*hands.PHRASES[1:], hands.PHRASES[0]), strict=True))
    for number, lines in enumerate(texts, start=1):
        for line, text in zip(service.page(job, number)["lines"], lines, strict=True):
            response = service.client.put(f"/api/lines/{line['id']}", json={"text": next_one[text]})
            assert response.status_code == 200, response.text

    run = await_run(service, has_ended)
    assert (run["status"], run["outcome"]) == ("completed", "refused"), run
    assert "general" in run["reason"], run["reason"]
    _, still = read(service, hands.pages(hands.KNOWN, 2, seed=6)[0])
    assert cer(hands.pages(hands.KNOWN, 2, seed=6)[1], still) < 0.05, "the base serves on"


@pytest.mark.slow
def test_a_trainer_that_is_killed_goes_on_where_it_was(learning: Callable[..., Service]) -> None:
    service = learning(TRAIN_EPOCHS="200", RETRAIN_AFTER="100000")
    written, texts = hands.pages(hands.UNKNOWN, 40, seed=8)
    job, _ = read(service, written)
    correct(service, job, texts)
    await_pictures(service)
    assert service.client.post("/api/training/runs").status_code == 202
    await_run(service, lambda run: (run["progress"].get("epoch") or 0) >= 3)

    trainer = psutil.Process(service.processes["trainer"].pid)
    for process in [*trainer.children(recursive=True), trainer]:
        os.kill(process.pid, signal.SIGKILL)
    service.processes.pop("trainer").wait()
    assert service.client.get("/api/training").json()["champion"] is None
    service.start("trainer")
    again = await_run(service, lambda run: run["attempts"] == 2 and (run["progress"].get("epoch") or 0) >= 3)
    assert again["status"] == "running", again
    cancelled = service.client.delete(f"/api/training/runs/{again['id']}")
    assert cancelled.status_code in (200, 202, 204), cancelled.text
    assert await_run(service, has_ended)["status"] == "cancelled"
