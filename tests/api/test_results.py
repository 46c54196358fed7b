"""Results over HTTP: made once, kept, told apart by their ETag, chosen by path or by Accept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from copyist import exports
from copyist.db.session import Database
from tests.api import worked
from tests.api.conftest import Ask
from tests.api.test_jobs import body, png, submit


@pytest.fixture
def database_url(fresh_database: Callable[[str], str]) -> str:
    return fresh_database("sqlite")


@pytest.fixture
def job(database_url: str, ask: Ask) -> Iterator[str]:
    """Return the path of a job of three pages, of which the second could not be read."""
    job_id = body(submit(ask))["id"]
    database = Database(database_url)
    worked.take_in(database, job_id, 3)
    worked.read(database, job_id, 1, "one")
    worked.fail(database, job_id, 2)
    worked.read(database, job_id, 3, "three")
    yield f"/api/jobs/{job_id}"
    database.close()


def test_a_result_is_made_once_and_kept(ask: Ask, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    text = exports.EXPORTS["txt"]

    def write(material: object, into: object) -> None:
        made.append(1)
        text.write(material, into)  # type: ignore[arg-type]

    monkeypatch.setattr(exports, "EXPORTS", {**exports.EXPORTS, "txt": replace(text, write=write)})
    first, second = (ask("GET", f"{job}/result.txt") for _ in range(2))
    assert (first.text, second.text, len(made)) == ("one\n\f\fthree\n", "one\n\f\fthree\n", 1)
    assert first.headers["Content-Length"] == str(len(first.content))
    assert ask("GET", f"{job}/result.txt?pages=3").text == "three\n"
    assert len(made) == 2, "an excerpt is made anew"


def test_a_result_that_is_known_is_not_sent_again(ask: Ask, job: str) -> None:
    first = ask("GET", f"{job}/result.txt")
    again = ask("GET", f"{job}/result.txt", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = ask("GET", f"{job}/result.txt?pages=1", headers={"If-None-Match": first.headers["ETag"]})
    assert other.text == "one\n"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "text/plain"),
        ("application/json", "application/json"),
        ("text/html;q=0.1, application/pdf;q=0.2, text/markdown", "text/markdown"),
        ("application/*;q=0.5, nothing/known", "application/json"),
    ],
)
def test_a_result_is_chosen_by_what_is_accepted(ask: Ask, job: str, accept: str, kind: str) -> None:
    response = ask("GET", f"{job}/result", headers={"Accept": accept})
    assert (response.status_code, response.headers["Content-Type"].split(";")[0]) == (200, kind)
    assert response.headers["Vary"] == "Accept"


def test_what_is_not_there_is_said_before_it_is_made(ask: Ask, job: str) -> None:
    refused = ask("GET", f"{job}/result", headers={"Accept": "image/png"})
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")
    assert ask("GET", f"{job}/result.exe").json()["code"] == "invalid_option"
    assert ask("GET", f"{job}/result.txt?pages=2").json()["code"] == "no_result"
    assert ask("GET", f"{job}/result.txt?pages=9").json()["code"] == "pages_out_of_range"


def test_a_name_for_the_file_is_safe_in_a_header(ask: Ask, database_url: str) -> None:
    job_id = body(ask("POST", "/api/jobs", files={"file": ('a"b\u00e9\u4e2d.png', png())}))["id"]
    database = Database(database_url)
    worked.take_in(database, job_id)
    worked.read(database, job_id, 1)
    database.close()
    response = ask("GET", f"/api/jobs/{job_id}/result.json")
    assert response.headers["Content-Disposition"].startswith("inline; filename*=UTF-8''a%")
    assert response.headers["Content-Disposition"].endswith("%C3%A9%E4%B8%AD.json")
