"""The OpenAPI document says what is answered, with examples, and can be read without the internet."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from copyist.api import examples, openapi, schemas
from copyist.api.app import create_app
from copyist.api.compat import task_notes
from copyist.api.problems import MEDIA_TYPE
from copyist.exports import EXPORTS
from copyist.settings import Settings
from tests.api.conftest import Ask

# The old shape of the task notes, and the one failure whose body says more than a problem could.
OWN_SHAPE = {("/api/upload/", "400"), ("/readyz", "503")}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Settings())


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(app.openapi()))
    return found


def answers(document: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                yield method, path, status, answer


def has_example(document: dict[str, Any], shown: dict[str, Any]) -> bool:
    schema = shown.get("schema", {})
    schema = schema.get("items", schema)
    name = schema.get("$ref", "").rsplit("/", 1)[-1]
    model = document["components"]["schemas"].get(name, {})
    return bool({"example", "examples"} & (shown.keys() | model.keys()))


def test_every_success_has_an_example(document: dict[str, Any]) -> None:
    bare = [
        (method, path, status, kind)
        for method, path, status, answer in answers(document)
        if status.startswith("2")
        for kind, shown in answer.get("content", {}).items()
        if shown.get("schema", {}).get("format") != "binary" and not has_example(document, shown)
    ]
    assert bare == []
    silent = {(s, m) for m, _, s, answer in answers(document) if s.startswith("2") and "content" not in answer}
    assert silent == {("204", "delete"), ("204", "get")}, "what was deleted, and a stream that is over"


def test_every_failure_is_a_problem_with_an_example(document: dict[str, Any]) -> None:
    for _, path, status, answer in answers(document):
        if status.startswith("2") or status == "304":
            continue
        if (path, status) in OWN_SHAPE:
            assert has_example(document, answer["content"]["application/json"])
            continue
        assert answer["content"].keys() == {MEDIA_TYPE}, (path, status)
        shown = answer["content"][MEDIA_TYPE]
        assert shown["schema"] == {"$ref": "#/components/schemas/Problem"}
        if status != "default":
            found = [schemas.Problem.model_validate(one["value"]) for one in shown["examples"].values()]
            assert {one.status for one in found} == {int(status)}
    assert "HTTPValidationError" not in json.dumps(document)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert names - document["components"]["schemas"].keys() == set()


def test_examples_are_what_the_models_take() -> None:
    for example in (examples.JOB, examples.SUBMITTED, examples.CANCELLED):
        schemas.JobBody.model_validate(example)
    schemas.JobList.model_validate(examples.JOB_LIST)
    schemas.BatchList.model_validate(examples.BATCH_LIST)
    schemas.PageBody.model_validate(examples.PAGE)
    schemas.EngineBody.model_validate(examples.ENGINE)
    schemas.Alive.model_validate(examples.ALIVE)
    schemas.Ready.model_validate(examples.READY)
    schemas.Ready.model_validate(examples.NOT_READY)
    task_notes.Accepted.model_validate(examples.ACCEPTED)
    task_notes.TransactionStatus.model_validate(examples.TRANSACTION)
    task_notes.OldError.model_validate(examples.OLD_ERROR)


def test_statuses_and_headers_are_those_that_occur(document: dict[str, Any]) -> None:
    paths = document["paths"]
    submit = paths["/api/jobs"]["post"]["responses"]
    refusals = {
        "400",
        "401",
        "403",
        "404",
        "408",
        "409",
        "410",
        "413",
        "415",
        "422",
        "429",
        "503",
        "507",
        "default",
    }
    assert submit.keys() == {"200", "202"} | refusals
    assert submit["202"]["headers"].keys() == {"Location", "Retry-After"}
    assert submit["503"]["headers"].keys() == {"Retry-After"}
    assert paths["/api/jobs/{job_id}"]["delete"]["responses"].keys() == {
        *("202", "204", "404", "409", "410", "503", "default")
    }
    result = paths["/api/jobs/{job_id}/result.{extension}"]["get"]["responses"]
    assert result["200"]["content"].keys() == {one.media_type.split(";")[0] for one in EXPORTS.values()}
    picture = paths["/api/jobs/{job_id}/pages/{number}/image"]["get"]["responses"]
    assert picture["200"]["content"].keys() == {"image/jpeg"}


@pytest.mark.parametrize(("path", "field"), [("/api/jobs", "file"), ("/api/upload/", "image")])
def test_the_file_is_a_required_upload(document: dict[str, Any], path: str, field: str) -> None:
    form = document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    model = document["components"]["schemas"][form["$ref"].rsplit("/", 1)[-1]] if "$ref" in form else form
    assert model["required"] == [field]
    assert (model["properties"][field]["type"], model["properties"][field]["format"]) == ("string", "binary")


def test_a_new_problem_is_shown_with_all_its_fields() -> None:
    assert [kind for kind in openapi.UPLOAD if "{" in str(openapi.answers(kind)[kind.status]["description"])] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_docs_ask_nothing_of_the_internet(ask: Ask) -> None:
    page = ask("GET", "/docs")
    assert page.status_code == 200
    assert "//" not in re.sub(r"<!--.*?-->", "", page.text)
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) == 3
    for asset in assets:
        answer = ask("GET", str(httpx.URL("http://localhost/docs").join(asset)))
        assert (answer.status_code, len(answer.content) > 100) == (200, True)
    assert ask("GET", "/openapi.json").json()["openapi"].startswith("3.1")
    assert ask("GET", "/redoc").status_code == 404
