"""Whatever somebody sends: a clear answer, nothing leaked, nothing lost, and a good job beside it completes."""

from __future__ import annotations

import io
import json
import secrets
from pathlib import Path
from typing import Any

import httpx
import pikepdf
import pytest
import redis
from sqlalchemy import create_engine, inspect, text

from tests.service import Service

NOBODYS = "0b8f4b0e-6c2d-4f0a-9a57-3d5a4f0f9c11"
"""An id as jobs have them, and no job's."""

LEAKS = ("Traceback", "/tmp", "/work", "site-packages", "Error(", "copyist.", "PIL", "pdfium", "errno")


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (body["status"], body["code"]) == (status, code)
    assert_clean(body["detail"])
    return body


def assert_clean(sentence: str) -> None:
    """A sentence for a person: it ends, and shows nothing of our insides."""
    assert sentence[0].isupper() or sentence[0] in '"0123456789'
    assert sentence.endswith(".")
    assert not [leak for leak in LEAKS if leak.lower() in sentence.lower()], sentence


def hostile(samples: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((samples / "hostile" / "manifest.json").read_text())
    return found


def test_every_hostile_file_ends_well_beside_a_good_one(service: Service, samples_dir: Path, own_samples: Path) -> None:
    good = service.upload(own_samples / "letter.png")
    outcomes: dict[str, str] = {}
    jobs: dict[str, str] = {}
    for sample in hostile(samples_dir):
        response = service.post(samples_dir / "hostile" / sample["file"])
        if response.status_code == 202:
            jobs[sample["file"]] = response.json()["id"]
        else:
            assert response.status_code in (400, 413, 415, 422), response.text
            assert_clean(response.json()["detail"])
            outcomes[sample["file"]] = "reject"
    for name, job in jobs.items():
        body = service.wait(job, 120)
        if body["status"] == "failed":
            assert body["error"]["code"] not in ("internal", "worker_crashed"), (name, body)
            assert_clean(body["error"]["detail"])
        outcomes[name] = "accept" if body["status"] == "completed" else "reject"
    wrong = {
        sample["file"]: (sample["expect"], outcomes[sample["file"]])
        for sample in hostile(samples_dir)
        if sample["expect"] not in ("either", outcomes[sample["file"]])
    }
    assert wrong == {}
    assert service.wait(good)["status"] == "completed"
    assert service.client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("empty.bin", 400, "empty_upload"),
        ("not_an_image.jpg", 415, "unsupported_media"),
        ("bomb.png", 413, "too_many_pixels"),
    ],
)
def test_what_the_first_bytes_tell_is_refused_at_the_door(
    service: Service, own_samples: Path, name: str, status: int, code: str
) -> None:
    assert_problem(service.post(own_samples / name), status, code)


@pytest.mark.parametrize(
    ("name", "code"),
    [("locked.pdf", "encrypted"), ("zero_pages.pdf", "no_pages"), ("truncated.png", "damaged_file")],
)
def test_what_only_a_look_inside_tells_fails_the_job(service: Service, own_samples: Path, name: str, code: str) -> None:
    job = service.read(own_samples / name)
    assert (job["status"], job["error"]["code"]) == ("failed", code)
    assert_clean(job["error"]["detail"])
    assert_problem(service.client.get(f"/api/jobs/{job['id']}/result.txt"), 409, "no_result")


def test_a_password_opens_a_pdf_and_is_kept_nowhere(
    start: Any, own_samples: Path, redis_url: str, postgres_url: str
) -> None:
    service = start(OCR_BACKEND="mock", LOG_LEVEL="debug")
    password, wrong = secrets.token_hex(16), secrets.token_hex(16)
    locked = io.BytesIO()
    with pikepdf.open(own_samples / "mixed.pdf") as pdf:
        pdf.save(locked, encryption=pikepdf.Encryption(user=password, owner=secrets.token_hex(16)))
    assert_problem(service.post(locked.getvalue(), password=wrong), 422, "encrypted")
    job = service.read(locked.getvalue(), password=password)
    assert (job["status"], job["progress"]["pages_done"]) == ("completed", 2)
    with redis.Redis.from_url(redis_url) as client:
        in_redis = b"".join(client.dump(key) or b"" for key in client.keys("*"))
    kept = [file.read_bytes() for file in service.folder.rglob("*") if file.is_file()]
    assert len(kept) > 3
    for secret in (password.encode(), wrong.encode()):
        assert not [blob for blob in (*kept, in_redis, database_dump(postgres_url)) if secret in blob]


def database_dump(url: str) -> bytes:
    """Every row of every table, as text."""
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = [
            str(tuple(row))
            for table in inspect(engine).get_table_names()
            for row in connection.execute(text(f'SELECT * FROM "{table}"'))
        ]
    engine.dispose()
    assert len(rows) > 3
    return "\n".join(rows).encode()


@pytest.mark.parametrize(
    "metadata",
    ['{"a": "\\ud800"}', '{"a": NaN}', '{"a": 1e999}', "[" * 5000, '{"a": "' + "ä" * 9000 + '"}', "null", "{"],
)
def test_metadata_that_could_not_be_given_back_is_refused(service: Service, own_samples: Path, metadata: str) -> None:
    assert_problem(service.post(own_samples / "letter.png", metadata=metadata), 422, "invalid_option")
    assert service.client.get("/api/jobs").status_code == 200


def test_fields_are_checked_and_the_answer_lists_what_there_is(service: Service, own_samples: Path) -> None:
    letter = own_samples / "letter.png"
    body = assert_problem(service.client.post("/api/jobs", files={"image": b"x"}), 400, "missing_file")
    assert '"file"' in body["detail"]
    assert "tesseract" in assert_problem(service.post(letter, engine="magic"), 422, "invalid_option")["detail"]
    assert "eng" in assert_problem(service.post(letter, languages="eng+tlh"), 422, "invalid_option")["detail"]
    assert "1-3,5" in assert_problem(service.post(letter, pages="one"), 422, "invalid_option")["detail"]
    for field in ("mode", "text", "priority"):
        assert "one of" in assert_problem(service.post(letter, **{field: "odd"}), 422, "invalid_option")["detail"]
    assert_problem(service.post(letter, metadata="[1]"), 422, "invalid_option")


def test_pages_that_are_not_there_fail_the_job(service: Service, own_samples: Path) -> None:
    job = service.read(own_samples / "scan.pdf", pages="2-9")
    assert (job["status"], job["error"]["code"]) == ("failed", "pages_out_of_range")


@pytest.mark.parametrize(
    "path",
    ["", "/pages/1", "/pages/1/image", "/result.txt", "/"],
)
@pytest.mark.parametrize("job", [NOBODYS, "no-such-job", "a%00b", "%ED%A0%80", "1" * 5000])
def test_an_unknown_id_is_not_found_and_never_pending(service: Service, job: str, path: str) -> None:
    assert_problem(service.client.get(f"/api/jobs/{job}{path}"), 404, "not_found")
    assert_problem(service.client.get(f"/api/status/{job}/"), 404, "not_found")
    assert_problem(service.client.delete(f"/api/jobs/{job}"), 404, "not_found")
    assert_problem(service.client.post(f"/api/jobs/{job}/cancel"), 404, "not_found")


def test_unknown_routes_and_methods_are_problems_too(service: Service) -> None:
    assert_problem(service.client.get("/api/nothing"), 404, "not_found")
    assert_problem(service.client.patch("/api/jobs"), 405, "method_not_allowed")
    assert_problem(service.client.get("/api/jobs", params={"limit": 0}), 422, "invalid_request")
    assert_problem(service.client.get("/api/jobs", params={"cursor": "%%%"}), 422, "invalid_option")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\notes\\a.png", "a.png"),
        ("", "upload.png"),
        ("...", "upload.png"),
        ("n\u202eot\x00e.png", "note.png"),
        ("x" * 400 + ".png", "x" * 255),
    ],
)
def test_a_files_name_is_only_shown(service: Service, own_samples: Path, sent: str, shown: str) -> None:
    content = (own_samples / "letter.png").read_bytes()
    # Built by hand: clients repair such names before they send them.
    quoted = sent.encode().replace(b"\\", b"\\\\").replace(b"\x00", b"")
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="'
        + (quoted or b" ")
        + b'"\r\n\r\n'
        + content
        + b"\r\n--x--\r\n"
    )
    response = service.client.post(
        "/api/jobs", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert response.status_code == 202, response.text
    assert response.json()["filename"] == shown


def test_a_body_over_the_limit_is_refused_without_being_kept(start: Any, own_samples: Path) -> None:
    small = start("api", "worker", MAX_BYTES="100000", MAX_PAGES="2")
    assert_problem(small.post(b"\x89PNG\r\n\x1a\n" + bytes(200_000)), 413, "file_too_large")
    assert_problem(small.post(bytes(3_000_000)), 413, "file_too_large")
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    undeclared = small.client.post(
        "/api/jobs",
        content=iter([form, *[bytes(100_000)] * 30]),
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert_problem(undeclared, 413, "file_too_large")
    job = small.read(own_samples / "multipage.tif")
    assert (job["status"], job["error"]["code"]) == ("failed", "too_many_pages")
