"""The API as a client meets it, with real engines behind it."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import jiwer
import pytest
from PIL import Image

from tests.service import Service


def truth(samples: Path, name: str) -> str:
    manifest = json.loads((samples / "manifest.json").read_text())
    return next("\f".join(sample["truth"]) for sample in manifest if sample["file"] == name)


def cer(expected: str, read: str) -> float:
    return float(jiwer.cer(" ".join(expected.split()), " ".join(read.split())))


def test_an_upload_is_answered_at_once_and_polled_to_its_text(service: Service, own_samples: Path) -> None:
    response = service.post(own_samples / "letter.png", metadata='{"shelf": 3}')
    assert response.status_code == 202
    assert response.headers["Retry-After"].isdigit()
    location = response.headers["Location"]
    body = response.json()
    assert (location, body["links"]["self"], body["metadata"]) == (f"/api/jobs/{body['id']}",) * 2 + ({"shelf": 3},)
    while body["status"] not in ("completed", "failed"):
        time.sleep(0.1)
        polled = service.client.get(location)
        assert polled.status_code == 200
        body = polled.json()
    assert (body["status"], body["progress"]["percent"], body["degraded"]) == ("completed", 100, False)
    assert body["engines"] == ["tesseract"]
    assert body["confidence"] > 0.8
    assert cer(truth(own_samples, "letter.png"), service.text(body["id"])) < 0.01


@pytest.mark.parametrize("name", ["turned.jpg", "upside.png", "skewed.png", "exif.jpg", "photo.jpg"])
def test_pages_that_lie_wrong_are_read_right(service: Service, own_samples: Path, name: str) -> None:
    job = service.read(own_samples / name)
    assert cer(truth(own_samples, name), service.text(job["id"])) < 0.02


def test_a_page_tells_words_boxes_and_who_read_it(service: Service, own_samples: Path) -> None:
    job = service.read(own_samples / "turned.jpg")
    page = service.page(job["id"])
    assert page["trail"][0]["engine"] == "tesseract"
    content = page["content"]
    picture = service.client.get(f"/api/jobs/{job['id']}/pages/1/image")
    assert picture.headers["content-type"] == "image/jpeg"
    size = Image.open(io.BytesIO(picture.content)).size
    assert size == (content["width"], content["height"])
    words = [word for block in content["blocks"] for line in block["lines"] for word in line["words"]]
    assert len(words) > 50
    for word in words:
        left, top, right, bottom = word["box"]
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        assert 0 <= word["confidence"] <= 1
    assert page["review"] == [word for word in words if word["confidence"] < 0.6]
    # Turned by 90 degrees, a word of some letters is higher than wide.
    tall = [
        word
        for word in words
        if len(word["text"]) > 4 and word["box"][3] - word["box"][1] > word["box"][2] - word["box"][0]
    ]
    assert len(tall) > len([word for word in words if len(word["text"]) > 4]) * 0.9


def test_results_come_in_several_forms_and_page_by_page(service: Service, own_samples: Path) -> None:
    job = service.read(own_samples / "scan.pdf")
    link = f"/api/jobs/{job['id']}/result"
    assert service.client.get(f"{link}.txt").text.count("\f") == 2
    assert service.client.get(f"{link}.md").headers["content-type"].startswith("text/markdown")
    document = service.client.get(f"{link}.json").json()
    assert [page["number"] for page in document["pages"]] == [1, 2, 3]
    assert [page["number"] for page in service.client.get(f"{link}.json?pages=2-3").json()["pages"]] == [2, 3]
    unknown = service.client.get(f"{link}.exe")
    assert (unknown.status_code, unknown.json()["code"]) == (422, "invalid_option")


def test_the_text_layer_is_used_page_by_page(service: Service, own_samples: Path) -> None:
    auto = service.read(own_samples / "mixed.pdf")
    assert auto["engines"] == ["tesseract", "text-layer"]
    forced = service.read(own_samples / "mixed.pdf", text="force")
    assert forced["engines"] == ["tesseract"]
    only = service.read(own_samples / "mixed.pdf", text="only")
    assert only["engines"] == ["text-layer"]
    assert not service.page(only["id"], 2)["text"]


def test_only_the_pages_asked_for_are_read(service: Service, own_samples: Path) -> None:
    job = service.read(own_samples / "scan.pdf", pages="2,3")
    assert job["progress"]["pages_total"] == 2
    assert service.client.get(f"/api/jobs/{job['id']}/pages/1").status_code == 404


def test_a_file_read_before_calls_no_engine(service: Service, own_samples: Path) -> None:
    first = service.read(own_samples / "note.png")
    again = service.read(own_samples / "note.png")
    assert [step["outcome"] for step in service.page(again["id"])["trail"]] == ["cached"]
    assert service.text(again["id"]) == service.text(first["id"])
    # Other options are another reading.
    other = service.read(own_samples / "note.png", engine="rapidocr")
    assert service.page(other["id"])["trail"][0]["outcome"] == "read"


def test_an_engine_can_be_asked_for(service: Service, own_samples: Path) -> None:
    engines = {engine["name"]: engine for engine in service.client.get("/api/engines").json()}
    assert engines["tesseract"]["ready"] and "eng" in engines["tesseract"]["languages"]
    assert not engines["easyocr"]["ready"] and engines["easyocr"]["reason"]
    job = service.read(own_samples / "photo.jpg", engine="easyocr")
    assert job["engines"] == ["rapidocr"]
    assert "easyocr is not ready" in job["warnings"][0]


def test_the_list_is_paged_by_cursor(service: Service, own_samples: Path) -> None:
    mine = [service.upload(own_samples / "letter.png") for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = service.client.get("/api/jobs", params=query).json()
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen))
    assert seen[:5] == mine[::-1]
    for job in mine:
        service.wait(job)
    done = service.client.get("/api/jobs", params={"status": "completed", "limit": 200}).json()["jobs"]
    assert {job["status"] for job in done} == {"completed"}


def test_an_ended_job_is_forgotten_with_its_file(service: Service, own_samples: Path) -> None:
    blobs = service.folder / "data" / "files" / "uploads"
    before = {path for path in blobs.rglob("*") if path.is_file()}
    job = service.read(own_samples / "blurred.jpg")
    assert len({path for path in blobs.rglob("*") if path.is_file()} - before) == 1
    assert service.client.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert {path for path in blobs.rglob("*") if path.is_file()} == before
    assert service.client.get(f"/api/jobs/{job['id']}").status_code == 404


def test_cancelling_never_forgets(service: Service, own_samples: Path) -> None:
    job = service.read(own_samples / "letter.png")
    refused = service.client.post(f"/api/jobs/{job['id']}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "already_ended")
    assert job["links"]["cancel"] is None
    running = service.post(own_samples / "photo.jpg", engine="rapidocr", text="force", priority="batch").json()
    cancelled = service.client.post(running["links"]["cancel"])
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    assert service.text(job["id"])


def test_waiting_returns_when_the_time_is_up(service: Service, own_samples: Path) -> None:
    job = service.upload(own_samples / "photo.jpg", text="force", engine="rapidocr", priority="batch")
    began = time.monotonic()
    body = service.client.get(f"/api/jobs/{job}", params={"wait": 0.2}).json()
    assert time.monotonic() - began < 2
    assert body["status"] in ("pending", "processing", "completed")
    assert service.client.get(f"/api/jobs/{job}", params={"wait": 60}).json()["status"] == "completed"


def test_health(service: Service) -> None:
    for path in ("/livez", "/health"):
        assert service.client.get(path, headers={"Accept": "application/json"}).json()["status"] == "ok"
    ready = service.client.get("/readyz").json()
    assert (ready["status"], ready["database"], ready["broker"], ready["storage"]) == ("ready", "ok", "ok", "ok")
    assert "tesseract" in ready["engines"]


def test_the_openapi_document_names_every_route(service: Service) -> None:
    paths = service.client.get("/openapi.json").json()["paths"]
    assert {"/api/jobs", "/api/jobs/{job_id}", "/api/upload/", "/readyz", "/api/engines"} <= paths.keys()
    assert "Initialized OCR service with backend: tesseract" in service.log("worker")
