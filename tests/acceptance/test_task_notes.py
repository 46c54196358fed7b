"""The routes of the task-note service, as its clients use them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.service import Service


def transaction(service: Service, note: Path) -> dict[str, Any]:
    response = service.client.post("/api/upload/", files={"image": (note.name, note.read_bytes())})
    assert response.status_code == 201
    body = response.json()
    assert body["status"] == "pending" and body["message"] and UUID(body["transaction_id"])
    for _ in range(300):
        status: dict[str, Any] = service.client.get(f"/api/status/{body['transaction_id']}/").json()
        if status["status"] in ("completed", "failed"):
            return status
        time.sleep(0.1)
    raise AssertionError(status)


def test_a_note_becomes_tasks(service: Service, own_samples: Path) -> None:
    status = transaction(service, own_samples / "note.png")
    assert (status["status"], status["error_message"]) == ("completed", None)
    assert status["original_filename"] == "note.png"
    assert status["image_size"] == (own_samples / "note.png").stat().st_size
    assert 0 < status["ocr_confidence"] <= 1
    assert status["processing_duration"] >= 0
    tasks = status["extracted_tasks"]
    assert status["task_count"] == len(tasks) >= 8
    assert [task["position_index"] for task in tasks] == list(range(len(tasks)))
    assert {task["priority"] for task in tasks} <= {"low", "medium", "high", "urgent"}
    assert any(task["assignee"] for task in tasks)
    assert any(task["due_date"] for task in tasks)
    for task in tasks:
        assert task["task_name"]
        assert task["bbox_width"] > 0 and task["bbox_height"] > 0
        assert UUID(task["id"])
    same = service.client.get(f"/api/jobs/{status['transaction_id']}/").json()
    assert same == status


def test_an_upload_that_cannot_be_read_is_a_400_in_the_old_shape(service: Service, own_samples: Path) -> None:
    for files in ({"image": ("x.jpg", b"text")}, {"file": ("x.jpg", b"text")}, {"image": ("x.jpg", b"")}):
        response = service.client.post("/api/upload/", files=files)
        assert response.status_code == 400
        assert response.json()["error"]["image"][0].endswith(".")


def test_a_broken_picture_fails_with_a_message(service: Service, own_samples: Path) -> None:
    status = transaction(service, own_samples / "truncated.png")
    assert (status["status"], status["task_count"], status["extracted_tasks"]) == ("failed", 0, [])
    assert status["error_message"].endswith(".")
