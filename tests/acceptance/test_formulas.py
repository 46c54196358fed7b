"""The calls of the math OCR API's README as they are printed there, and bad pictures, against a real model."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pytest

from copyist.db import keys
from copyist.db.keys import Scope
from copyist.db.session import Database
from copyist.training.formula.export import export
from tests.acceptance.test_bad_input import assert_clean, assert_problem
from tests.engines.formula.tiny_formula import FORMULAS, TINY, VOCABULARY, picture_of, taught_network, write_tensors
from tests.math_readme import ANSWERED, PREDICT, PREDICT_BATCH, curl, png
from tests.servers import PostgresServer, ValkeyServer
from tests.service import Service

pytestmark = pytest.mark.slow


def written(formula: str = FORMULAS[0]) -> bytes:
    return png(picture_of(formula))


BLANK, STRIP = png(np.full((100, 300), 255, np.uint8)), png(np.full((5000, 1), 255, np.uint8))


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


@dataclass(frozen=True)
class Math:
    """A service with a key for it, in a folder with a picture."""

    service: Service
    key: str

    def curl(self, call: str, *images: bytes) -> dict[str, Any]:
        """What a call of the README prints."""
        return curl(call, self.service.folder, *images, port=self.service.port, key=self.key)

    def post(self, path: str, **content: Any) -> Any:
        return self.service.client.post(path, headers={"X-API-Key": self.key}, **content)


@pytest.fixture(scope="module")
def math(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Math]:
    folder, url = tmp_path_factory.mktemp("math"), postgres.create_database()
    taught = taught_network()
    export(taught, write_tensors(taught, folder / "model"), VOCABULARY)
    with (
        ValkeyServer() as valkey,
        Service(
            folder,
            redis_url=valkey.url,
            database_url=url,
            OCR_BACKEND="auto",
            OCR_PLUGINS="tests.api.formula_engines:Layouts",
            FORMULA_MODEL=str(folder / "model"),
            API_KEYS="required",
        ) as service,
    ):
        service.start("api", "worker").await_ready()
        database = Database(url)
        with database.write() as session:
            _, key = keys.create(session, name="math", owner="math", scopes=[Scope.ADMIN])
        database.close()
        service.client.headers["X-API-Key"] = key
        yield Math(service, key)
    postgres.drop_database(url)


def test_one_picture_as_the_readme_sends_it(math: Math) -> None:
    body = math.curl(PREDICT, written())
    assert set(body) == ANSWERED
    assert body["formula"] == FORMULAS[0]
    assert 0.6 < body["confidence"] <= 1


def test_a_batch_as_the_readme_sends_it(math: Math) -> None:
    body = math.curl(PREDICT_BATCH, *map(written, FORMULAS[1:3]))
    assert [one["formula"] for one in body["results"]] == [*FORMULAS[1:3]]
    assert (body["total"], body["successful"], body["failed"]) == (2, 2, 0)


def test_what_its_table_of_endpoints_promises(math: Math) -> None:
    get = math.service.client.get
    for path in ("/status", "/model/info", "/health"):
        assert get(path, headers={"X-API-Key": ""}).status_code == 200, "without a key"
    assert get("/status").json()["engines"] == ["formula"]
    model = get("/model/info").json()
    assert (model["engine"], model["device"], model["model_loaded"]) == ("formula", "cpu", True)
    assert model["architecture"]["encoder"] == TINY.encoder
    assert get("/health", headers={"Accept": "application/json"}).json()["status"] == "ok"
    assert "copyist_" in get("/metrics").text
    assert get("/rate-limit/status").json()["tier"] == "standard"


def test_a_bad_picture_fails_alone_with_its_code(math: Math) -> None:
    good = in_base64(written())
    images = {
        good: None,
        in_base64(b"no picture"): "unsupported_media",
        in_base64(STRIP): "nothing_found",
        in_base64(BLANK): "nothing_found",
        good[:70] + "!": "invalid_source",
        good[:80]: "damaged_file",
        "": "empty_upload",
    }
    answer = math.post("/predict/batch", json={"images": [*images]})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [one["error"] and one["error"]["code"] for one in results] == [*images.values()]
    for one in results[1:]:
        assert_clean(one["error"]["detail"])
    assert results[0]["formula"] == FORMULAS[0]


def test_eleven_pictures_are_too_many(math: Math) -> None:
    assert_problem(math.post("/predict/batch", json={"images": [in_base64(BLANK)] * 11}), 422, "too_many_pictures")


@pytest.mark.parametrize(("content", "says"), [(BLANK, "no writing"), (STRIP, "too thin")])
def test_nothing_to_read_is_no_formula(math: Math, content: bytes, says: str) -> None:
    predicted = assert_problem(math.post("/predict", files={"file": ("a.png", content)}), 422, "nothing_found")
    assert says in predicted["detail"]
    recognized = math.post("/recognize", json={"image": "data:image/png;base64," + in_base64(content)})
    assert assert_problem(recognized, 422, "nothing_found") == predicted


def test_what_does_not_look_like_a_formula_is_flagged(math: Math) -> None:
    body = math.post("/predict", files={"file": ("cat.png", fur())}).json()
    assert set(body) == ANSWERED | {"warnings"}
    assert body["confidence"] <= 0.3
    assert len(body["warnings"]) == 2


def fur() -> bytes:
    """As full of edges, and as soft, as the photo of an animal."""
    random = np.random.default_rng(3)
    noise = cv2.GaussianBlur(random.integers(0, 256, (300, 400), np.uint8), (0, 0), 1.5)
    return png(cv2.normalize(noise, None, 30, 230, cv2.NORM_MINMAX))


def test_a_formula_that_a_pages_engine_cannot_write_goes_to_the_one_for_formulas(math: Math) -> None:
    picture = picture_of(FORMULAS[0])
    page = png(np.vstack([np.full_like(picture, 255), picture]))
    job = math.service.read(page, engine="layouts")
    found = math.service.page(job["id"])
    assert [(step["engine"], step["outcome"]) for step in found["trail"]] == [("layouts", "read"), ("formula", "read")]
    assert [block["markup"] for block in found["content"]["blocks"]] == [None, FORMULAS[0]]
    markdown = math.service.client.get(f"/api/jobs/{job['id']}/result.md").text
    assert f"$$\n{FORMULAS[0]}\n$$" in markdown
