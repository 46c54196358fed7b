"""The handwritten math API's routes, called as its documents show it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from copyist.db import keys
from copyist.db.keys import Scope
from copyist.db.session import Database
from copyist.engines.formula.models import PACKAGED
from tests.api.formula_engines import LATEX, NO_FORMULA, NO_INK, in_base64, picture
from tests.api.one_process import (
    OneProcess,
    Start,
    assert_cancelled_when_the_client_hangs_up,
    on_a_socket,
    serving,
)
from tests.api.test_refusals import assert_problem
from tests.math_readme import ANSWERED, PREDICT, PREDICT_BATCH, curl, drawn, png

ENGINES = "tests.api.formula_engines:"
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


@pytest.fixture
def serve(redis_url: str, sqlite_url: str, tmp_path: Path) -> Iterator[Start]:
    plugins = (f"{ENGINES}Formulas",)
    with serving(
        tmp_path, redis_url, database_url=sqlite_url, ocr_fallback=("formulas", "mock"), ocr_plugins=plugins
    ) as start:
        yield start


def predict(service: OneProcess, content: bytes, **headers: str) -> httpx.Response:
    return service("POST", "/predict", files={"file": ("formula_image.png", content)}, headers=headers)


def jobs(service: OneProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service("GET", "/api/jobs").json()["jobs"]
    return found


def key_for(database_url: str, scope: Scope) -> str:
    db = Database(database_url)
    with db.write() as session:
        _, key = keys.create(session, name="math", owner="math", scopes=[scope])
    db.close()
    return key


def batch(service: OneProcess, *images: str) -> httpx.Response:
    return service("POST", "/predict/batch", json={"images": list(images)})


def test_one_picture_becomes_a_formula(serve: Start) -> None:
    answer = predict(serve(), picture())
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"formula", "confidence", "processing_time", "timestamp"}
    assert (body["formula"], body["confidence"]) == (LATEX, 0.95)
    assert 0 <= body["processing_time"] < 60
    assert TIMESTAMP.fullmatch(body["timestamp"])


def test_a_batch_has_a_result_for_each_picture_and_an_error_for_each_that_failed(serve: Start) -> None:
    pictures = [picture(), picture(400), picture(1, 5000), picture(200)]
    good, hard, strip, another = map(in_base64, pictures)
    text, broken, empty = in_base64(b"no picture"), good[:50] + "!", ""
    answer = batch(serve(), good, text, hard, strip, broken, empty, another)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["total"], body["successful"], body["failed"]) == (7, 2, 5)
    results: list[dict[str, Any]] = body["results"]
    assert [one["index"] for one in results] == [*range(7)]
    assert [one["formula"] for one in results] == [LATEX, *[None] * 5, LATEX]
    assert [one["error"] and one["error"]["code"] for one in results] == [
        *(None, "unsupported_media", "only_placeholder", "nothing_found", "invalid_source", "empty_upload", None)
    ]
    assert all(one["error"]["detail"].endswith(".") for one in results[1:6])
    assert TIMESTAMP.fullmatch(body["timestamp"])


def test_a_batch_in_which_all_fail_is_no_success(serve: Start) -> None:
    answer = batch(serve(), "bm8gcGljdHVyZQ==", "!")
    assert_problem(answer, 415, "unsupported_media")
    assert [one["error"]["status"] for one in answer.json()["results"]] == [415, 422]


def test_a_batch_holds_one_to_ten_pictures(serve: Start) -> None:
    service = serve(works=False)
    none = batch(service)
    assert_problem(none, 422, "invalid_request")
    assert none.json()["errors"][0]["pointer"] == "/body/images"
    many = batch(service, *[in_base64(picture())] * 11)
    assert_problem(many, 422, "too_many_pictures")
    assert many.json()["detail"].startswith("A batch holds at most 10 pictures, and this one has 11.")
    assert service("GET", "/api/jobs").json()["jobs"] == []


def test_a_picture_without_a_formula_is_no_success_and_the_engine_says_why(serve: Start) -> None:
    service = serve(result_cache=True)
    for _ in range(2):
        answer = predict(service, picture(50, 200))
        assert_problem(answer, 422, "nothing_found")
        assert answer.json()["detail"].startswith(f"{NO_INK} Send ")
    trail = [service("GET", f"/api/jobs/{job['id']}/pages/1").json()["trail"] for job in jobs(service)]
    assert [steps[-1]["outcome"] for steps in trail] == ["cached", "read"], "the second one was not read again"


def test_who_is_not_sure_says_so(serve: Start) -> None:
    service = serve()
    said = [NO_FORMULA, "The engine is only 20% sure of this formula: check it."]
    body = predict(service, picture(80, 80)).json()
    assert (body["formula"], body["confidence"], body["warnings"]) == (LATEX, 0.2, said)
    results = batch(service, in_base64(picture(90, 90)), in_base64(picture())).json()["results"]
    assert [one["warnings"] for one in results] == [said, []]


def test_each_picture_of_a_batch_counts(serve: Start) -> None:
    service = serve(rate_limits="on", rate_limit_per_minute=3)
    assert_problem(batch(service, *[in_base64(picture())] * 4), 429, "too_many_requests")
    assert service("GET", "/api/jobs").json()["jobs"] == []
    assert batch(service, *[in_base64(picture())] * 2).headers["X-RateLimit-Remaining"] == "1"
    assert predict(service, picture()).status_code == 200
    refused = predict(service, picture())
    assert_problem(refused, 429, "too_many_requests")
    assert int(refused.headers["Retry-After"]) > 0
    left = service("GET", "/rate-limit/status").json()
    assert (left["enabled"], left["tier"], left["windows"]["minute"]["remaining"]) == (True, "anonymous", 0)
    assert left["windows"]["hour"] | {"reset": 0} == {"limit": 100, "remaining": 97, "reset": 0}
    assert left["concurrent"] == {"limit": 5, "active": 0}


def test_keys_go_where_the_old_clients_send_them(serve: Start, sqlite_url: str) -> None:
    service = serve(api_keys="required")
    assert_problem(predict(service, picture()), 401, "unauthorized")
    assert_problem(predict(service, picture(), **{"X-API-Key": "your_api_key"}), 401, "unauthorized")
    good, poor = key_for(sqlite_url, Scope.WRITE), key_for(sqlite_url, Scope.READ)
    assert predict(service, picture(), **{"X-API-Key": good}).json()["formula"] == LATEX
    assert_problem(predict(service, picture(), **{"X-API-Key": poor}), 403, "forbidden")
    for path in ("/status", "/model/info", "/health"):
        assert service("GET", path).status_code == 200


def test_status_and_model_say_what_is_there(serve: Start) -> None:
    service = serve()
    status = service("GET", "/status").json()
    assert (status["status"], status["model_loaded"], status["engines"]) == ("healthy", True, ["formulas"])
    assert status["uptime"] >= 0 and TIMESTAMP.fullmatch(status["timestamp"])
    model = service("GET", "/model/info").json()
    assert (model["engine"], model["version"], model["model_loaded"]) == ("formulas", "1", True)
    assert (model["model_name"], model["architecture"]) == ("formula-test", {"encoder": "two layers"})


def test_a_chain_that_is_short_leaves_no_engine_for_formulas_out(serve: Start) -> None:
    service = serve(ocr_backend="tesseract", ocr_fallback=("mock",))
    assert service("GET", "/status").json()["engines"] == ["formulas"]
    assert predict(service, picture()).json()["formula"] == LATEX


def test_without_an_engine_for_formulas_it_says_so(serve: Start) -> None:
    service = serve(ocr_plugins=(), ocr_backend="tesseract", ocr_fallback=("mock",))
    assert_problem(predict(service, picture()), 503, "no_formula_engine")
    assert_problem(batch(service, in_base64(picture())), 503, "no_formula_engine")
    assert service("GET", "/status").json()["status"] == "unavailable"
    assert service("GET", "/model/info").json()["model_name"] is None


def test_files_that_are_no_pictures_are_refused(serve: Start) -> None:
    service = serve()
    assert_problem(predict(service, b"no picture"), 415, "unsupported_media")
    assert_problem(predict(service, b""), 400, "empty_upload")
    assert_problem(service("POST", "/predict", files={"image": picture()}), 400, "missing_file")


def test_who_hangs_up_cancels_the_whole_batch(serve: Start) -> None:
    service = serve(ocr_plugins=(f"{ENGINES}Thoughtful",), ocr_fallback=("thoughtful", "mock"))
    images = [in_base64(picture()), in_base64(picture(310))]
    assert_cancelled_when_the_client_hangs_up(service, "/predict/batch", {"images": images}, jobs=2)


@pytest.mark.skipif(not PACKAGED.is_dir(), reason="no model for formulas comes with this checkout")
def test_the_calls_of_the_readme_work_as_printed_with_the_model_that_ships(
    serve: Start, sqlite_url: str, tmp_path: Path
) -> None:
    service = serve(ocr_plugins=(), ocr_fallback=("mock",), formula_model=None, api_keys="required")
    written = [png(drawn(text)) for text in ("1+2=3", "x-4")]
    with on_a_socket(service) as port:
        key = key_for(sqlite_url, Scope.WRITE)
        one = curl(PREDICT, tmp_path, *written, port=port, key=key)
        two = curl(PREDICT_BATCH, tmp_path, *written, port=port, key=key)
    assert (set(one), one["formula"]) == (ANSWERED, "1+2=3")
    assert [result["formula"] for result in two["results"]] == ["1+2=3", "x-4"]
    assert service("GET", "/status").json()["engines"] == ["formula"]
    assert service("GET", "/model/info").json()["architecture"]["kind"] == "copyist"


def test_health_and_metrics_are_where_the_old_clients_look(serve: Start) -> None:
    service = serve(works=False)
    assert service("GET", "/health", headers={"Accept": "application/json"}).json()["status"] == "ok"
    assert service("GET", "/metrics").headers["content-type"].startswith("text/plain")
