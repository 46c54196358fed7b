"""What cannot be a form, an id or a cursor is refused in our own words, on both databases."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.conftest import Ask
from tests.service import Service

NOBODYS = "0b8f4b0e-6c2d-4f0a-9a57-3d5a4f0f9c11"
"""An id as jobs have them, and no job's."""

# Words of pydantic, Starlette and Python that would be somebody else's.
FOREIGN = ("UploadFile", "Value error", "class '", "Input should", "boundary in", "parsing the body", "Traceback")


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert response.json()["code"] == code
    assert [word for word in FOREIGN if word in response.text] == []


def multipart(body: bytes, boundary: str = "; boundary=x") -> dict[str, Any]:
    return {"content": body, "headers": {"Content-Type": f"multipart/form-data{boundary}"}}


MALFORMED = {
    "no boundary": multipart(b"--x\r\n\r\n--x--\r\n", ""),
    "not a form": multipart(b"hello"),
    "no name": multipart(b"--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--\r\n"),
}


@pytest.fixture
def database_url(fresh_database: Callable[[str], str], request: pytest.FixtureRequest) -> str:
    """SQLite, but for the tests of what databases differ in."""
    return fresh_database(getattr(request, "param", "sqlite"))


both_databases = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)


def test_a_text_is_no_file(ask: Ask) -> None:
    for content in ({"data": {"file": "hello"}}, {"files": {"other": b"x"}}, {"json": {"file": "x"}}, {}):
        assert_problem(ask("POST", "/api/jobs", **content), 400, "missing_file")


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_form_is_a_problem(ask: Ask, kind: str) -> None:
    assert_problem(ask("POST", "/api/jobs", **MALFORMED[kind]), 400, "malformed_form")


def test_a_form_that_is_cut_short_is_answered_at_once(redis_url: str, sqlite_url: str, tmp_path: Path) -> None:
    """In a process of its own: Starlette leaves the file of such a part open, and here warnings are failures."""
    cut = multipart(b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nabc')
    with Service(tmp_path, redis_url=redis_url, database_url=sqlite_url) as service:
        service.start("api")
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with suppress(httpx.TransportError):
                if service.client.get("/livez").status_code == 200:
                    break
            time.sleep(0.1)
        assert_problem(service.client.post("/api/jobs", **cut, timeout=10), 400, "missing_file")
        old = service.client.post("/api/upload/", **cut, timeout=10)
        assert (old.status_code, [*old.json()["error"]]) == (400, ["image"])


def test_client_errors_of_the_old_route_keep_the_old_shape(ask: Ask) -> None:
    wrong = [{"data": {"image": "hello"}}, {"files": {"image": b"text"}}, {"files": {"image": b""}}, {}]
    for content in [*wrong, *MALFORMED.values()]:
        response = ask("POST", "/api/upload/", **content)
        assert response.status_code == 400
        body = response.json()
        assert body.keys() == {"error"} and body["error"].keys() == {"image"}
        (sentence,) = body["error"]["image"]
        assert sentence.endswith(".") and not [word for word in FOREIGN if word in sentence]
    assert_problem(ask("POST", "/api/upload/", files={"image": bytes(3_000_000)}), 413, "file_too_large")


def test_wrong_parameters_are_named_in_our_words(ask: Ask) -> None:
    queries = ("limit=x", "limit=0", "limit=201", "status=odd", f"limit={'9' * 5000}")
    for query in queries:
        response = ask("GET", f"/api/jobs?{query}")
        assert_problem(response, 422, "invalid_request")
        (error,) = response.json()["errors"]
        assert error["pointer"].startswith("/query/" + query.split("=")[0])
        assert error["detail"].startswith("This ") and error["detail"].endswith(".")
    assert_problem(ask("GET", f"/api/jobs/{uuid4()}?wait=nan"), 422, "invalid_request")


def test_a_method_that_is_not_there_says_which_are(ask: Ask) -> None:
    response = ask("PATCH", "/api/jobs")
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"]


@both_databases
@pytest.mark.parametrize("job", ["a%00b", "no-such-job", "x" * 500, "%F0%9F%98%80", NOBODYS])
def test_what_cannot_be_an_id_is_not_found(ask: Ask, job: str) -> None:
    for path in (f"/api/jobs/{job}", f"/api/jobs/{job}/", f"/api/status/{job}/", f"/api/jobs/{job}/pages/1"):
        assert_problem(ask("GET", path), 404, "not_found")
    assert_problem(ask("GET", f"/api/jobs/{job}/pages/1/image"), 404, "not_found")
    assert_problem(ask("GET", f"/api/jobs/{job}/result.txt"), 404, "not_found")
    assert_problem(ask("DELETE", f"/api/jobs/{job}"), 404, "not_found")
    assert_problem(ask("POST", f"/api/jobs/{job}/cancel"), 404, "not_found")


@both_databases
def test_what_cannot_be_a_page_is_not_found(ask: Ask, own_samples: Path) -> None:
    submitted = ask("POST", "/api/jobs", files={"file": (own_samples / "note.png").read_bytes()[:90_000]})
    assert submitted.status_code == 202
    for number in (0, -1, 1, 2**31, "9" * 20):
        for picture in ("", "/image"):
            path = f"/api/jobs/{submitted.json()['id']}/pages/{number}{picture}"
            assert_problem(ask("GET", path), 404, "not_found")


@both_databases
@pytest.mark.parametrize(
    "position",
    [
        f"2025-01-01T00:00:00|{NOBODYS}",
        f"0001-01-01T00:00:00+14:00|{NOBODYS}",
        "2025-01-01T00:00:00+00:00|a\x00b",
        "2025-01-01T00:00:00+00:00|no-uuid",
        "2025-01-01T00:00:00+00:00",
        "|",
    ],
)
def test_what_cannot_be_a_cursor_is_refused(ask: Ask, position: str) -> None:
    cursor = base64.urlsafe_b64encode(position.encode()).decode()
    assert_problem(ask("GET", "/api/jobs", params={"cursor": cursor}), 422, "invalid_option")


@both_databases
def test_a_true_cursor_goes_on(ask: Ask, own_samples: Path) -> None:
    content = (own_samples / "note.png").read_bytes()[:90_000]
    made = [ask("POST", "/api/jobs", files={"file": content}).json()["id"] for _ in range(3)]
    first = ask("GET", "/api/jobs", params={"limit": 2}).json()
    rest = ask("GET", "/api/jobs", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [job["id"] for job in first["jobs"] + rest["jobs"]] == made[::-1]


def test_deleting_an_open_job_cancels_it_and_then_forgets_it(ask: Ask, own_samples: Path) -> None:
    job = ask("POST", "/api/jobs", files={"file": (own_samples / "note.png").read_bytes()[:90_000]}).json()["id"]
    cancelled = ask("DELETE", f"/api/jobs/{job}")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    forgotten = ask("DELETE", f"/api/jobs/{job}")
    assert (forgotten.status_code, forgotten.content) == (204, b"")


def test_without_a_worker_it_is_alive_and_not_ready(ask: Ask) -> None:
    assert ask("GET", "/livez").json()["status"] == "ok"
    ready = ask("GET", "/readyz")
    assert (ready.status_code, ready.json()["status"], ready.json()["database"]) == (503, "not ready", "ok")
