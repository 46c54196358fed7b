"""``POST /recognize`` as IntelliNote's front end calls it, from a page of another origin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.formula_engines import LATEX, NO_INK, in_base64, picture
from tests.api.one_process import OneProcess, Start, assert_cancelled_when_the_client_hangs_up, serving
from tests.api.test_refusals import assert_problem

ENGINES = "tests.api.formula_engines:"
DEV_SERVER = "http://localhost:5173"


@pytest.fixture
def serve(redis_url: str, sqlite_url: str, tmp_path: Path) -> Iterator[Start]:
    plugins = (f"{ENGINES}Formulas",)
    with serving(
        tmp_path, redis_url, database_url=sqlite_url, ocr_fallback=("formulas", "mock"), ocr_plugins=plugins
    ) as start:
        yield start


def recognize(service: OneProcess, image: str, **headers: str) -> httpx.Response:
    return service("POST", "/recognize", json={"image": image}, headers=headers)


def data_url(content: bytes) -> str:
    return "data:image/png;base64," + in_base64(content)


def jobs(service: OneProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service("GET", "/api/jobs").json()["jobs"]
    return found


def test_a_data_url_becomes_latex_and_confidence(serve: Start) -> None:
    service = serve()
    answer = recognize(service, data_url(picture()))
    assert (answer.status_code, answer.json()) == (200, {"latex": LATEX, "confidence": 0.95})
    assert recognize(service, in_base64(picture())).json()["latex"] == LATEX
    assert {(job["options"]["mode"], job["options"]["priority"]) for job in jobs(service)} == {
        ("formula", "interactive")
    }


def test_a_picture_of_nothing_is_told_so(serve: Start) -> None:
    answer = recognize(serve(), data_url(picture(50, 200)))
    assert_problem(answer, 422, "nothing_found")
    assert answer.json()["detail"].startswith(NO_INK)


def test_who_is_not_sure_says_so(serve: Start) -> None:
    body = recognize(serve(), data_url(picture(80, 80))).json()
    assert (body["latex"], body["confidence"], len(body["warnings"])) == (LATEX, 0.2, 2)


def test_without_an_engine_for_formulas_nothing_is_made_up(serve: Start) -> None:
    service = serve(ocr_plugins=(), ocr_backend="tesseract", ocr_fallback=("mock",))
    answer = recognize(service, data_url(picture()))
    assert_problem(answer, 503, "no_formula_engine")
    assert "/api/engines" in answer.json()["detail"]
    assert jobs(service) == []


def test_dots_reads_formulas_as_the_document_it_knows(serve: Start) -> None:
    service = serve(ocr_plugins=(f"{ENGINES}Dots",), ocr_fallback=("dots", "tesseract", "mock"))
    assert recognize(service, data_url(picture())).json()["latex"] == LATEX
    assert jobs(service)[0]["options"]["mode"] == "document"
    # It breaks on this one, Tesseract reads it, and that is no LaTeX.
    assert_problem(recognize(service, data_url(picture(400))), 503, "no_formula_engine")


def test_a_placeholder_is_no_formula(serve: Start) -> None:
    assert_problem(recognize(serve(), data_url(picture(400))), 503, "only_placeholder")


@pytest.mark.parametrize(
    ("image", "status", "code"),
    [
        ("data:image/png;base64,aGVsbG8=", 415, "unsupported_media"),
        ("aGVsbG8=", 415, "unsupported_media"),
        ("no base64 at all!", 422, "invalid_source"),
        ("file:///etc/hostname", 422, "invalid_source"),
        ("http://localhost/a.png", 422, "invalid_source"),
        ("", 400, "empty_upload"),
    ],
)
def test_what_is_no_picture_is_refused_and_nothing_is_fetched(serve: Start, image: str, status: int, code: str) -> None:
    service = serve(fetch_urls=True, fetch_folders=("/etc",))
    assert_problem(recognize(service, image), status, code)


@pytest.mark.parametrize(
    ("sent", "field"), [({"json": {}}, "image"), ({"json": {"image": 5}}, "image"), ({"content": b"{"}, "body")]
)
def test_json_without_a_picture_is_told_so_and_not_to_send_a_form(
    serve: Start, sent: dict[str, Any], field: str
) -> None:
    answer = serve(works=False)("POST", "/recognize", headers={"Content-Type": "application/json"}, **sent)
    assert_problem(answer, 422, "invalid_request")
    assert answer.json()["detail"] == f"Check these fields: {field}."


def test_a_formula_that_takes_long_goes_on(serve: Start) -> None:
    plugins = (f"{ENGINES}Thoughtful",)
    service = serve(ocr_plugins=plugins, ocr_fallback=("thoughtful", "mock"), wait_max_s=0.2)
    answer = recognize(service, data_url(picture()))
    assert_problem(answer, 503, "still_reading")
    job = service("GET", answer.headers["Location"], params={"wait": 20}).json()
    assert job["status"] in ("pending", "processing")


def test_who_hangs_up_wants_nothing_any_more(serve: Start) -> None:
    service = serve(ocr_plugins=(f"{ENGINES}Thoughtful",), ocr_fallback=("thoughtful", "mock"))
    assert_cancelled_when_the_client_hangs_up(service, "/recognize", {"image": in_base64(picture())})


@pytest.mark.parametrize(
    "origin",
    [
        *(DEV_SERVER, "http://127.0.0.1:3000", "https://localhost", "http://[::1]:8080"),
        *("tauri://localhost", "http://tauri.localhost", "capacitor://localhost", "app://intellinote"),
    ],
)
def test_pages_of_this_machine_may_call_from_another_origin(serve: Start, origin: str) -> None:
    service = serve(works=False)
    asking = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    preflight = service("OPTIONS", "/recognize", headers=asking | {"Access-Control-Request-Private-Network": "true"})
    assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (200, origin)
    assert "x-api-key" in preflight.headers["Access-Control-Allow-Headers"].lower()
    # An answer that tells of an error must be readable, too.
    for answer in (recognize(service, "!", Origin=origin), service("GET", "/health", headers={"Origin": origin})):
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        *("null", "https://example.org", "http://localhost.example.org", "http://127.0.0.1.example.org"),
        *("https://example.org/localhost", "chrome-extension://abc", "http://192.168.1.7:5173", "app://evil/x"),
    ],
)
def test_websites_may_not(serve: Start, origin: str) -> None:
    service = serve(works=False)
    asking = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    preflight = service("OPTIONS", "/recognize", headers=asking)
    assert preflight.status_code == 400
    for answer in (preflight, recognize(service, "!", Origin=origin)):
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_other_routes_are_not_opened_and_a_listed_origin_is(serve: Start) -> None:
    service = serve(works=False, cors_origins=("https://notes.example.org",))
    assert "Access-Control-Allow-Origin" not in service("GET", "/api/jobs", headers={"Origin": DEV_SERVER}).headers
    for path in ("/recognize", "/api/jobs"):
        asking = {"Origin": "https://notes.example.org", "Access-Control-Request-Method": "POST"}
        assert service("OPTIONS", path, headers=asking).status_code == 200
