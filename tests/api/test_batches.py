"""Many files sent together."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from copyist.db import listing
from copyist.db.session import Database
from copyist.db.states import JobStatus
from copyist.db.tables import Job
from tests.api import worked
from tests.api.conftest import Ask
from tests.api.test_jobs import body, png


@pytest.fixture
def database_url(fresh_database: Callable[[str], str]) -> str:
    return fresh_database("sqlite")


@pytest.fixture
def rows(database_url: str, ask: Ask) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def send(ask: Ask, *files: tuple[str, bytes], **fields: str) -> dict[str, Any]:
    return body(ask("POST", "/api/batches", files=[("files", file) for file in files], data=fields))


def job_ids(ask: Ask, batch: dict[str, Any]) -> list[str]:
    """In the order they were sent."""
    return [job["id"] for job in reversed(body(ask("GET", batch["links"]["jobs"]))["jobs"])]


def test_a_file_that_cannot_be_taken_holds_up_no_other(ask: Ask, rows: Database) -> None:
    batch = send(ask, ("a.png", png()), ("b/notes.doc", b"hello"), ("c.png", png(3)), metadata='{"shelf": 3}')
    assert (batch["status"], batch["jobs"]["pending"], batch["metadata"]) == ("processing", 2, {"shelf": 3})
    assert [(one["filename"], one["code"]) for one in batch["refused"]] == [("notes.doc", "unsupported_media")]
    first, second = job_ids(ask, batch)
    for job_id, text in ((first, "one"), (second, "two")):
        worked.take_in(rows, job_id)
        assert ask("GET", f"{batch['links']['self']}/result.zip").json()["code"] == "not_ready"
        worked.read(rows, job_id, 1, text)
    ended = body(ask("GET", batch["links"]["self"]))
    assert (ended["status"], ended["jobs"]["completed"], ended["pages_done"]) == ("completed", 2, 2)
    packed = ask("GET", ended["links"]["result"] + "?formats=txt,json")
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert archive.testzip() is None
        assert archive.read("0001-a.txt") == b"one\n"
        assert json.loads(archive.read("0002-c.json"))["pages"][0]["number"] == 1
        manifest = json.loads(archive.read("manifest.json"))
    assert [(job["id"], len(job["files"])) for job in manifest["jobs"]] == [(first, 2), (second, 2)]
    assert [one["filename"] for one in manifest["refused"]] == ["notes.doc"]


def test_a_job_may_join_a_batch_later_but_not_one_that_there_is_not(ask: Ask) -> None:
    batch = send(ask)
    joined = body(ask("POST", "/api/jobs", files={"file": ("a.png", png())}, data={"batch": batch["id"]}))
    assert joined["links"]["batch"] == batch["links"]["self"]
    assert job_ids(ask, batch) == [joined["id"]]
    other = ask("POST", "/api/jobs", files={"file": ("a.png", png())}, data={"batch": "none"})
    assert (other.status_code, other.json()["code"]) == (404, "not_found")


def test_what_is_for_a_single_file_is_not_passed_over(ask: Ask) -> None:
    for field in ("source", "batch", "filename"):
        response = ask("POST", "/api/batches", files=[("files", ("a.png", png()))], data={field: "x"})
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, f"/body/{field}")
    assert ask("POST", "/api/batches", json={"source": "data:,x"}).status_code == 422
    assert body(ask("GET", "/api/batches"))["batches"] == []


def test_a_batch_with_an_option_that_cannot_be_is_not_made(ask: Ask) -> None:
    response = ask("POST", "/api/batches", files=[("files", ("a.png", png()))], data={"priority": "soon"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_option")
    assert body(ask("GET", "/api/batches"))["batches"] == []


def test_a_batch_is_cancelled_and_then_forgotten_with_its_jobs(ask: Ask, rows: Database) -> None:
    batch = send(ask, ("a.png", png()), ("b.png", png(3)))
    first, _ = job_ids(ask, batch)
    worked.take_in(rows, first)
    worked.read(rows, first, 1)
    cancelled = ask("DELETE", batch["links"]["self"])
    assert (cancelled.status_code, cancelled.json()["jobs"]["cancelled"]) == (202, 1)
    assert ask("GET", batch["links"]["self"] + "/result.zip").status_code == 200
    assert ask("DELETE", batch["links"]["self"]).status_code == 204
    assert ask("GET", batch["links"]["self"]).status_code == 404
    assert body(ask("GET", "/api/jobs"))["jobs"] == []


def test_a_job_that_goes_by_itself_is_in_nobodys_way(ask: Ask, rows: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = send(ask, ("a.png", png()), ("b.png", png(3)))
    gone, _ = job_ids(ask, batch)
    for job_id in (gone, gone):
        ask("DELETE", f"/api/jobs/{job_id}")
    with rows.read() as session:
        before = [Job(id=gone, status=JobStatus.PENDING), *listing.newest(session, limit=9)]
    with monkeypatch.context() as late:
        late.setattr("copyist.api.batches._jobs", lambda *_: iter(before))
        assert ask("DELETE", batch["links"]["self"]).status_code == 202
        before[0].status = before[1].status = JobStatus.CANCELLED
        assert ask("DELETE", batch["links"]["self"]).status_code == 204


def test_an_empty_batch_has_no_result_and_can_be_forgotten(ask: Ask) -> None:
    batch = send(ask)
    assert ask("GET", batch["links"]["self"] + "/result.zip").json()["code"] == "no_result"
    assert ask("DELETE", batch["links"]["self"]).status_code == 204


def test_batches_are_listed_newest_first(ask: Ask) -> None:
    made = [send(ask)["id"] for _ in range(3)]
    first = ask("GET", "/api/batches?limit=2")
    rest = ask("GET", first.links["next"]["url"])
    assert [one["id"] for one in first.json()["batches"] + rest.json()["batches"]] == made[::-1]
