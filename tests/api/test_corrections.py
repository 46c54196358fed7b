"""Corrections over HTTP: what everybody sees afterwards, texts that come back, and what is refused."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from copyist import document, storage
from copyist.db import forgetting, jobs, pages
from copyist.db.keys import Scope
from copyist.db.learning_tables import Correction, LinePicture
from copyist.db.session import Database
from copyist.db.states import JobStatus
from copyist.db.tables import GoneJob, now
from copyist.document import Block, BlockKind, Box, Line, Word
from copyist.queue.routing import Queue, Sender, celery_app
from tests.api import worked
from tests.api.conftest import Ask, MakeKey, with_settings
from tests.api.test_jobs import body, submit
from tests.db.test_forget import Bytes

FIRST = ["Men we saw", "the old house", "by the rivar"]
SECOND = ["nobody had lived", "there for ten yeers", "the garden was full", "of nettels"]


@pytest.fixture
def database_url(fresh_database: Callable[[str], str]) -> str:
    return fresh_database("sqlite")


@pytest.fixture
def rows(database_url: str, ask: Ask) -> Iterator[Database]:
    """Return the database that the API has."""
    database = Database(database_url)
    yield database
    database.close()


def read(db: Database, job_id: str, number: int, *texts: str) -> None:
    """One page is read as these lines, the first of them a block of its own with markup."""
    lines = []
    for place, text in enumerate(texts):
        box = Box(10, 10 * place, 90, 10 * place + 8)
        words = tuple(Word(text=word, box=box, confidence=0.4) for word in text.split())
        lines.append(Line(text=text, box=box, confidence=0.4, words=words))
    title = Block(kind=BlockKind.TITLE, box=Box(10, 0, 90, 8), lines=tuple(lines[:1]), markup=f"**{lines[0].text}**")
    blocks = (title, Block(box=Box(10, 10, 90, 90), lines=tuple(lines[1:])))
    page = document.Page(number=number, width=100, height=100, engine="fake", engine_version="1", blocks=blocks)
    with db.write() as session:
        claim = pages.claim(session, job_id, number, token=f"t{number}", lease_s=30, max_attempts=3)
        assert claim is not None
    with db.write() as session:
        assert pages.finish(session, claim.lease, page, trail=[], degraded=False, cache_key=None)


@pytest.fixture
def job_id(rows: Database, ask: Ask) -> str:
    """Return a job of three pages, of which the second could not be read."""
    found = str(body(submit(ask))["id"])
    worked.take_in(rows, found, 3)
    read(rows, found, 1, *FIRST)
    worked.fail(rows, found, 2)
    read(rows, found, 3, *SECOND)
    return found


def count(db: Database) -> int:
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(Correction)) or 0


def send(ask: Ask, job_id: str, text: str | bytes, query: str = "", **headers: str) -> dict[str, Any]:
    return body(ask("POST", f"/api/jobs/{job_id}/corrections{query}", content=text, headers=headers))


def test_everybody_sees_what_a_person_put_right(ask: Ask, job_id: str, rows: Database, redis_url: str) -> None:
    job, line = f"/api/jobs/{job_id}", f"/api/lines/{job_id}.1.0"
    before = {name: ask("GET", f"{job}/result.{name}") for name in ("txt", "pdf")}
    assert before["txt"].text.startswith("Men we saw\n")
    shown = body(ask("GET", f"{job}/pages/1"))["lines"]
    assert [(one["id"], one["block"], one["text"], one["verified"], one["revision"], one["read"]) for one in shown] == [
        (f"{job_id}.1.{place}", min(place, 1), text, False, None, None) for place, text in enumerate(FIRST)
    ]
    made = body(ask("PUT", line, json={"text": "Then we saw", "parent": 0, "source": "desk"}))
    assert (made["text"], made["read"], made["confidence"], made["engine_confidence"]) == (
        "Then we saw",
        FIRST[0],
        1,
        0.4,
    )
    body(ask("PUT", f"/api/lines/{job_id}.1.1", json={"confirm": True}))

    page = body(ask("GET", f"{job}/pages/1"))
    assert page["text"].startswith("Then we saw\n")
    assert [(one["text"], one["verified"], one["read"]) for one in page["lines"]] == [
        ("Then we saw", True, FIRST[0]),
        (FIRST[1], True, None),
        (FIRST[2], False, None),
    ]
    assert [word["text"] for word in page["review"]] == FIRST[2].split(), "nobody has to look at the others again"
    after = ask("GET", f"{job}/result.txt")
    assert (after.text.startswith("Then we saw\n"), after.headers["ETag"] == before["txt"].headers["ETag"]) == (
        True,
        False,
    )
    with zipfile.ZipFile(io.BytesIO(ask("GET", f"{job}/result.zip").content)) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    some = [one for one in found if one.endswith((".txt", ".md", "a.json", ".hocr", ".xml")) and "failed" not in one]
    assert len(some) == 7
    assert [name for name in some if b"Men" in found[name]] == []
    assert sum(b"Then" in found[name] for name in some) == 6, "all but the file of the other page"
    assert Sender(celery_app(redis_url), redis_url).waiting(Queue.PICTURES) == 2, "workers are asked to cut lines out"

    log = body(ask("GET", f"{job}/corrections?limit=1"))
    [first] = log["corrections"]
    assert (first["line"], first["before"], first["after"], first["source"]) == (
        made["id"],
        FIRST[0],
        "Then we saw",
        "desk",
    )
    rest = body(ask("GET", f"{job}/corrections?after={log['next_after']}"))
    assert ([one["after"] for one in rest["corrections"]], rest["next_after"]) == ([FIRST[1]], None)
    # So do clients of other systems.
    body(ask("PUT", f"/api/lines/{job_id}.3.1", json={"text": "- [ ] Call the printer @anna"}))
    [task] = body(ask("GET", f"/api/status/{job_id}/"))["extracted_tasks"]
    assert (task["task_name"], task["assignee"]) == ("Call the printer", "anna")
    # Whoever follows the job is told how it ended, as before.
    ended = ask("GET", f"{job}/events", headers={"Last-Event-ID": "1000"})
    assert (ended.status_code, ended.content) == (204, b"")
    assert ask("GET", f"{job}/events", headers={"Last-Event-ID": "3"}).text.count("event: job") == 1


def test_a_text_comes_back_corrected(ask: Ask, job_id: str, rows: Database) -> None:
    text = ask("GET", f"/api/jobs/{job_id}/result.txt").text
    edited = text.replace("Men", "Then").replace("rivar", "river").replace("nettels", "nettles")
    report = send(ask, job_id, edited)
    assert report == {
        "corrected": 3,
        "confirmed": 4,
        "unchanged": 0,
        "lines": [f"{job_id}.1.0", f"{job_id}.1.2", f"{job_id}.3.3"],
        "outdated": [],
        "unmatched": [],
        "unmatched_text": [],
    }
    assert ask("GET", f"/api/jobs/{job_id}/result.txt").text == edited
    assert {key: send(ask, job_id, edited)[key] for key in ("corrected", "confirmed", "unchanged")} == {
        "corrected": 0,
        "confirmed": 0,
        "unchanged": 7,
    }
    assert count(rows) == 7
    form = {"file": ("note.txt", edited.replace("nettles", "roses").encode("utf-16"))}
    report = body(ask("POST", f"/api/jobs/{job_id}/corrections", files=form))
    assert (report["corrected"], report["unchanged"]) == (1, 6)


def test_a_line_where_nothing_stands_is_in_no_result_and_missed_in_none(ask: Ask, job_id: str, rows: Database) -> None:
    job, blot, title = f"/api/jobs/{job_id}", f"/api/lines/{job_id}.3.2", f"/api/lines/{job_id}.1.0"
    old = ask("GET", f"{job}/result.page.xml?pages=3").content
    made = body(ask("PUT", blot, json={"nothing": True, "parent": 0, "source": "desk"}))
    assert (made["text"], made["verified"], made["read"], made["revisions"][0]["after"]) == ("", True, SECOND[2], "")
    body(ask("PUT", title, json={"nothing": True}))

    page = body(ask("GET", f"{job}/pages/3"))
    assert page["text"] == f"{SECOND[0]}\n\n{SECOND[1]}\n{SECOND[3]}"
    assert [(one["text"], one["verified"], one["block"]) for one in page["lines"]][2] == ("", True, 1)
    assert ask("GET", f"{job}/result.txt").text == (
        f"{FIRST[1]}\n{FIRST[2]}\n\f\f{SECOND[0]}\n\n{SECOND[1]}\n{SECOND[3]}\n"
    )
    tree = json.loads(ask("GET", f"{job}/result.json").content)["pages"]
    assert [[len(block["lines"]) for block in one["blocks"]] for one in tree] == [[2], [1, 2]]
    assert f"{SECOND[1]}\n{SECOND[3]}\n" in ask("GET", f"{job}/result.md").text
    for name, line in (("hocr", "ocr_line"), ("alto.xml", "<TextLine"), ("page.xml", "<TextLine")):
        assert ask("GET", f"{job}/result.{name}?pages=3").text.count(line) == 3 + (name == "hocr"), name

    edited = ask("GET", f"{job}/result.txt").text.replace("yeers", "years").replace("nettels", "nettles")
    report = send(ask, job_id, edited)
    assert (report["lines"], report["unmatched"], report["confirmed"]) == ([f"{job_id}.3.1", f"{job_id}.3.3"], [], 3)
    new = ask("GET", f"{job}/result.page.xml?pages=3").text.replace("nettles", "roses")
    assert send(ask, job_id, new)["lines"] == [f"{job_id}.3.3"]
    report = send(ask, job_id, old.replace(b"yeers", b"day"), "?confirm_unchanged=false")
    assert (report["lines"], report["unmatched_text"]) == ([f"{job_id}.3.1"], [SECOND[2]])

    assert body(ask("PUT", blot, json={"text": "the garden"}))["verified"]
    assert "the garden\n" in ask("GET", f"{job}/result.txt").text


def test_where_nothing_stands_on_a_whole_page_its_place_stays(ask: Ask, job_id: str) -> None:
    for place in range(len(FIRST)):
        body(ask("PUT", f"/api/lines/{job_id}.1.{place}", json={"nothing": True}))
    there = ask("GET", f"/api/jobs/{job_id}/result.txt").text
    assert there == f"\f\f{SECOND[0]}\n\n" + "".join(f"{line}\n" for line in SECOND[1:])
    assert send(ask, job_id, there)["confirmed"] == 4
    report = body(ask("POST", f"/api/jobs/{job_id}/pages/1/confirm", json={"source": "desk"}))
    assert (report["confirmed"], report["unchanged"]) == (0, 3)
    for name in ("md", "json", "hocr", "alto.xml", "docx", "todo.json", "zip"):
        assert ask("GET", f"/api/jobs/{job_id}/result.{name}").status_code == 200, name
    assert ask("GET", f"/api/jobs/{job_id}/result.page.xml?pages=1").status_code == 200


def test_of_a_text_with_lines_missing_the_rest_is_taken(ask: Ask, job_id: str, rows: Database) -> None:
    edited = "nobody had lived\nthere for ten years\nof nettles\n"
    report = send(ask, job_id, edited, "?pages=3&confirm_unchanged=false")
    assert (report["corrected"], report["confirmed"], report["unchanged"]) == (2, 0, 1)
    assert report["unmatched"] == [{"id": f"{job_id}.3.2", "page": 3, "line": 2, "text": SECOND[2]}]
    assert count(rows) == 2


def test_a_text_of_yesterday_undoes_nothing_that_was_corrected_since(ask: Ask, job_id: str, rows: Database) -> None:
    text = ask("GET", f"/api/jobs/{job_id}/result.txt").text
    there = ask("GET", f"/api/jobs/{job_id}/result.page.xml?pages=3").text
    line = f"/api/lines/{job_id}.3.1"
    for better in ("there for tin years", "there for ten years"):
        body(ask("PUT", line, json={"text": better}))
    report = send(ask, job_id, text.replace("nettels", "nettles"))
    assert (report["corrected"], report["confirmed"], report["unchanged"]) == (1, 5, 0)
    assert report["outdated"] == [{"id": f"{job_id}.3.1", "page": 3, "line": 1, "text": "there for ten years"}]
    assert [one["line"] for one in send(ask, job_id, there)["outdated"]] == [1, 3]
    assert count(rows) == 8
    assert send(ask, job_id, text.replace("ten yeers", "ten long years"))["lines"] == [f"{job_id}.3.1"]


def test_a_page_xml_comes_back_corrected(ask: Ask, job_id: str) -> None:
    there = ask("GET", f"/api/jobs/{job_id}/result.page.xml?pages=3").text
    report = send(ask, job_id, there.replace(">of nettels<", ">of nettles<"), **{"Content-Type": "application/xml"})
    assert (report["corrected"], report["confirmed"], report["lines"]) == (1, 3, [f"{job_id}.3.3"])
    assert body(ask("GET", f"/api/lines/{job_id}.3.3"))["revisions"][0]["source"] == "page.xml"


def test_a_page_is_confirmed_but_for_what_was_corrected(ask: Ask, job_id: str, rows: Database) -> None:
    body(ask("PUT", f"/api/lines/{job_id}.1.0", json={"text": "Then we saw"}))
    for confirmed in (2, 0):
        report = body(ask("POST", f"/api/jobs/{job_id}/pages/1/confirm"))
        assert (report["corrected"], report["confirmed"], report["unchanged"]) == (0, confirmed, 3 - confirmed)
    assert count(rows) == 3
    body(ask("POST", f"/api/jobs/{job_id}/pages/3/confirm", json={"source": "desk"}))
    told = [one["source"] for one in body(ask("GET", f"/api/jobs/{job_id}/corrections"))["corrections"]]
    assert told == ["api"] * 3 + ["desk"] * 4
    assert body(ask("GET", f"/api/jobs/{job_id}/pages/1"))["text"] == "Then we saw\n\nthe old house\nby the rivar"


def test_who_deletes_a_job_deletes_its_corrections(ask: Ask, job_id: str, rows: Database, tmp_path: Path) -> None:
    body(ask("PUT", f"/api/lines/{job_id}.1.0", json={"text": "Then we saw"}))
    picture = tmp_path / "files" / storage.line_key("1" * 64)
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"as a worker cut it out")
    with rows.write() as session:
        session.get_one(LinePicture, (job_id, 1, 0)).sha256 = "1" * 64
    assert ask("DELETE", f"/api/jobs/{job_id}").status_code == 204
    assert (picture.exists(), count(rows)) == (False, 0)
    assert ask("GET", f"/api/lines/{job_id}.1.0").status_code == 404


def test_what_outlived_a_job_that_expired_is_deleted_once(ask: Ask, job_id: str, rows: Database) -> None:
    body(ask("PUT", f"/api/lines/{job_id}.1.0", json={"text": "Then we saw"}))
    for there in (job_id, str(body(submit(ask, shade=9))["id"])):
        with rows.write() as session:
            job = jobs.get(session, there)
            job.status, job.finished_at = JobStatus.COMPLETED, now() - timedelta(days=2)
        with rows.write() as session:
            assert forgetting.expire(session, there, timedelta(days=1), blobs=Bytes())
    assert count(rows) == 1
    assert _status(ask("DELETE", f"/api/jobs/{there}")) == (410, "expired"), "nothing was corrected in it"
    assert ask("DELETE", f"/api/jobs/{job_id}").status_code == 204
    assert count(rows) == 0
    assert _status(ask("DELETE", f"/api/jobs/{job_id}")) == (410, "expired")


def test_what_is_no_correction_is_refused_and_changes_nothing(ask: Ask, job_id: str, rows: Database) -> None:
    job, line = f"/api/jobs/{job_id}", f"/api/lines/{job_id}.1.0"
    page_xml = ask("GET", f"{job}/result.page.xml?pages=3").content
    text = ask("GET", f"{job}/result.txt").text
    evil = b'<!DOCTYPE PcGts [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + page_xml.partition(b"?>")[2]
    told: list[tuple[str, str, dict[str, Any], int, str]] = [
        ("PUT", line, {"json": {"text": ""}}, 422, "empty_correction"),
        ("PUT", line, {"json": {"text": "x" * 2001}}, 422, "correction_too_long"),
        ("PUT", line, {"json": {"text": "x", "parent": 9}}, 409, "stale_correction"),
        ("PUT", line, {"json": {"text": "x", "confirm": True}}, 422, "invalid_request"),
        ("PUT", line, {"json": {"text": "", "nothing": True}}, 422, "invalid_request"),
        ("PUT", line, {"json": {}}, 422, "invalid_request"),
        ("PUT", line, {"json": {"text": "x", "parent": 2**31}}, 422, "invalid_request"),
        ("PUT", f"/api/lines/{job_id}.1.9", {"json": {"text": "x"}}, 404, "not_found"),
        ("PUT", f"/api/lines/{job_id}.2.0", {"json": {"text": "x"}}, 404, "not_found"),
        ("GET", "/api/lines/1", {}, 404, "not_found"),
        ("GET", f"/api/lines/{job_id}.1.9", {}, 404, "not_found"),
        ("POST", f"{job}/pages/2/confirm", {}, 404, "not_found"),
        ("POST", f"{job}/corrections", {"content": " \n"}, 422, "empty_correction"),
        ("POST", f"{job}/corrections", {"content": "one line"}, 422, "lines_do_not_match"),
        ("POST", f"{job}/corrections", {"content": "the\n" * 10_000}, 422, "lines_do_not_match"),
        ("POST", f"{job}/corrections", {"content": text.replace(FIRST[0], "\u200b")}, 422, "empty_correction"),
        ("POST", f"{job}/corrections", {"content": text.replace(FIRST[0], "x" * 2001)}, 422, "correction_too_long"),
        ("POST", f"{job}/corrections", {"content": "M\u00e4n".encode("latin-1")}, 422, "damaged_file"),
        ("POST", f"{job}/corrections?pages=2", {"content": text}, 409, "no_lines"),
        ("POST", f"{job}/corrections?pages=9", {"content": text}, 422, "pages_out_of_range"),
        ("POST", f"{job}/corrections", {"content": evil}, 422, "damaged_file"),
        ("POST", f"{job}/corrections", {"content": page_xml[:-40]}, 422, "damaged_file"),
        ("POST", f"{job}/corrections?pages=1", {"content": page_xml}, 422, "lines_do_not_match"),
        (
            "POST",
            f"{job}/corrections",
            {"content": page_xml.replace(b"line_3", b"x").replace(b"_3.png", b"")},
            422,
            "invalid_option",
        ),
        ("POST", f"{job}/corrections", {"data": {"file": "x"}, "files": {"other": b"x"}}, 400, "missing_file"),
        ("POST", f"{job}/corrections", {"content": b"x" * 1_200_000}, 413, "file_too_large"),
    ]
    answers = [(*one[:2], *_status(ask(one[0], one[1], **one[2]))) for one in told]
    assert answers == [(*one[:2], *one[3:]) for one in told]
    assert count(rows) == 0


def _status(response: Any) -> tuple[int, str]:
    return response.status_code, response.json().get("code", response.text)


def test_a_job_that_has_expired_or_has_no_lines_is_told(ask: Ask, rows: Database, job_id: str) -> None:
    waiting = str(body(submit(ask, shade=9))["id"])
    assert _status(ask("POST", f"/api/jobs/{waiting}/corrections", content="x")) == (409, "no_lines")
    gone = "0b8f4b0e-6c2d-4f0a-9a57-3d5a4f0f9c11"
    with rows.write() as session:
        session.add(GoneJob(id=gone, owner=""))
    for method, path, sent in (
        ("GET", f"/api/lines/{gone}.1.0", {}),
        ("PUT", f"/api/lines/{gone}.1.0", {"json": {"text": "x"}}),
        ("POST", f"/api/jobs/{gone}/corrections", {"content": "x"}),
    ):
        assert _status(ask(method, path, **sent)) == (410, "expired")


def test_a_page_is_corrected_while_others_are_still_read(ask: Ask, rows: Database) -> None:
    job_id = str(body(submit(ask))["id"])
    worked.take_in(rows, job_id, 2)
    read(rows, job_id, 1, *FIRST)
    assert body(ask("PUT", f"/api/lines/{job_id}.1.0", json={"text": "Then we saw"}))["verified"]
    assert send(ask, job_id, "\n".join(["Then we saw", *FIRST[1:]]), "?pages=1")["confirmed"] == 2
    read(rows, job_id, 2, *SECOND)
    with rows.read() as session:
        assert jobs.get(session, job_id).status == "completed"
    assert ask("GET", f"/api/jobs/{job_id}/result.txt").text.startswith("Then we saw\n")
    events = ask("GET", f"/api/jobs/{job_id}/events").text
    assert [json.loads(line[6:])["number"] for line in events.splitlines() if line.startswith('data: {"number"')] == [
        1,
        2,
    ]


@with_settings(api_keys="required")
def test_lines_are_corrected_by_whoever_may_and_nobody_elses(ask: Ask, make_key: MakeKey, database_url: str) -> None:
    def key(*scopes: Scope, owner: str = "ann") -> dict[str, str]:
        return {"X-API-Key": make_key(*scopes, owner=owner)}

    own = key(Scope.READ, Scope.WRITE, Scope.CORRECT)
    job_id = str(body(submit(ask, headers=own))["id"])
    db = Database(database_url)
    worked.take_in(db, job_id, 1)
    read(db, job_id, 1, *FIRST)
    db.close()
    line, text = f"/api/lines/{job_id}.1.0", {"json": {"text": "Then we saw"}}
    assert ask("PUT", line, headers=key(Scope.READ, Scope.WRITE), **text).status_code == 403
    others = key(Scope.READ, Scope.CORRECT, owner="bob")
    for method, path, sent in (
        ("GET", line, {}),
        ("PUT", line, text),
        ("POST", f"/api/jobs/{job_id}/corrections", {"content": "x"}),
        ("POST", f"/api/jobs/{job_id}/pages/1/confirm", {}),
        ("GET", f"/api/jobs/{job_id}/corrections", {}),
    ):
        assert ask(method, path, headers=others, **sent).status_code == 404
    assert body(ask("PUT", line, headers=own, **text))["revisions"][0]["author"] == "a test"
