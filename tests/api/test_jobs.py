"""Jobs over HTTP: what is sent, what is not done twice, what changed, what is listed, what is read again."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from PIL import Image
from sqlalchemy import event, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import Pool

from copyist.api import uploads
from copyist.api.service import Paces
from copyist.db import forgetting, idempotency, listing
from copyist.db.session import Database
from copyist.db.tables import IdempotencyKey, now
from copyist.errors import WorkerCrashed
from tests.api import worked
from tests.api.conftest import Ask


def png(shade: int = 255) -> bytes:
    into = io.BytesIO()
    Image.new("L", (100, 100), shade).save(into, "PNG")
    return into.getvalue()


@pytest.fixture
def rows(database_url: str, ask: Ask) -> Iterator[Database]:
    """Return the database that the API has."""
    database = Database(database_url)
    yield database
    database.close()


def submit(ask: Ask, shade: int = 255, *, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
    return ask("POST", "/api/jobs", files={"file": ("a.png", png(shade))}, data=fields, headers=headers or {})


def body(response: httpx.Response) -> dict[str, Any]:
    assert response.is_success, response.text
    return dict(response.json())


# --- what is sent ----------------------------------------------------------------------------------------------------


def test_a_file_may_be_sent_as_json(ask: Ask) -> None:
    uri = "data:image/png;base64," + base64.b64encode(png()).decode()
    sent = {"source": uri, "filename": "../note.png", "metadata": {"shelf": 3}, "keep_days": 2, "time_limit": 60}
    job = body(ask("POST", "/api/jobs", json=sent))
    assert (job["filename"], job["metadata"], job["options"]["time_limit"]) == ("note.png", {"shelf": 3}, 60)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({}, 400, "missing_file"),
        ({"source": "ftp://x/y"}, 422, "invalid_source"),
        ({"source": "http://127.0.0.1/x.png"}, 403, "fetching_off"),
        ({"source": "data:,hello"}, 415, "unsupported_media"),
        ({"source": "data:,x", "time_limit": 0}, 422, "invalid_request"),
        ({"source": "data:,x", "keep_days": "soon"}, 422, "invalid_request"),
        ({"source": 3}, 422, "invalid_request"),
        ([], 422, "invalid_request"),
    ],
)
def test_json_that_names_no_file_is_refused(ask: Ask, sent: Any, status: int, code: str) -> None:
    response = ask("POST", "/api/jobs", json=sent)
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_a_body_that_is_no_json_and_one_of_another_kind_are_refused(ask: Ask) -> None:
    broken = ask("POST", "/api/jobs", content=b"{", headers={"Content-Type": "application/json"})
    assert (broken.status_code, broken.json()["code"]) == (422, "invalid_request")
    other = ask("POST", "/api/jobs", content=png(), headers={"Content-Type": "image/png"})
    assert (other.status_code, other.json()["code"]) == (400, "missing_file")


def test_a_file_and_a_source_are_one_too_many(ask: Ask) -> None:
    both = submit(ask, source="data:,x")
    assert (both.status_code, both.json()["errors"][0]["pointer"]) == (422, "/body/source")


def test_two_files_are_for_a_batch_and_an_unknown_field_is_told(ask: Ask) -> None:
    two = ask("POST", "/api/jobs", files=[("file", ("a.png", png())), ("file", ("b.png", png()))])
    assert (two.status_code, "/api/batches" in two.text) == (422, True)
    assert body(submit(ask, langauges="deu"))["warnings"] == ["The field langauges means nothing here."]


# --- the same again --------------------------------------------------------------------------------------------------


def test_the_same_key_gives_the_same_job_and_another_payload_is_refused(ask: Ask) -> None:
    key = {"Idempotency-Key": "one"}
    first = body(submit(ask, headers=key))
    assert body(submit(ask, headers=key))["id"] == first["id"]
    other = submit(ask, 7, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
    assert submit(ask, headers=key, languages="deu").status_code == 422
    assert len(body(ask("GET", "/api/jobs"))["jobs"]) == 1


def test_a_request_that_failed_leaves_its_key_free(ask: Ask) -> None:
    key = {"Idempotency-Key": "two"}
    assert submit(ask, headers=key, priority="soon").status_code == 422
    assert submit(ask, headers=key).status_code == 202


def test_a_job_whose_answer_was_lost_with_its_process_is_the_answer(
    ask: Ask, rows: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"Idempotency-Key": "lost"}
    first = body(submit(ask, headers=key))
    with rows.write() as session:
        session.execute(update(IdempotencyKey).values(done=False))
    assert body(submit(ask, headers=key))["id"] == first["id"]
    with rows.write() as session:
        session.execute(update(IdempotencyKey).values(resource="no job"))
    assert submit(ask, headers=key).json()["code"] == "idempotency_in_flight"
    monkeypatch.setattr(idempotency, "now", lambda: now() + idempotency.IN_FLIGHT)
    assert body(submit(ask, headers=key))["id"] != first["id"]


def test_a_job_stays_the_answer_when_its_process_died_over_it_long_ago(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"Idempotency-Key": "died"}
    with monkeypatch.context() as died:
        died.setattr(idempotency, "done", lambda *_: None)
        first = body(submit(ask, headers=key))
    for hours, is_first in ((23, True), (25, False)):
        monkeypatch.setattr(idempotency, "now", lambda hours=hours: now() + timedelta(hours=hours))
        assert (body(submit(ask, headers=key))["id"] == first["id"]) is is_first


def test_a_job_that_was_made_is_the_answer_even_where_its_own_request_failed(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"Idempotency-Key": "half"}
    with monkeypatch.context() as broken:
        broken.setattr(uploads, "send", lambda *_: (_ for _ in ()).throw(OSError("away")))
        assert submit(ask, headers=key).status_code == 500
    again = body(submit(ask, headers=key))
    assert [job["id"] for job in body(ask("GET", "/api/jobs"))["jobs"]] == [again["id"]]


def test_deleting_a_job_frees_its_key(ask: Ask) -> None:
    key = {"Idempotency-Key": "deleted"}
    first = body(submit(ask, headers=key))
    for _ in range(2):
        ask("DELETE", f"/api/jobs/{first['id']}")
    assert body(submit(ask, headers=key))["id"] != first["id"]


def test_a_key_of_a_job_is_none_of_a_batch_and_none_is_empty(ask: Ask) -> None:
    key = {"Idempotency-Key": "both"}
    submit(ask, headers=key)
    batch = ask("POST", "/api/batches", files=[("file", ("a.png", png()))], headers=key)
    assert (batch.status_code, batch.json()["code"]) == (422, "idempotency_conflict")
    assert submit(ask, headers={"Idempotency-Key": ""}).json()["code"] == "invalid_request"


def test_two_requests_with_one_key_at_once_make_one_job(ask: Ask) -> None:
    barrier = threading.Barrier(4)

    def send(_: int) -> httpx.Response:
        barrier.wait()
        return submit(ask, headers={"Idempotency-Key": "three"})

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(send, range(4)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"idempotency_in_flight"}
    assert len(body(ask("GET", "/api/jobs"))["jobs"]) == 1


# --- waiting and watching --------------------------------------------------------------------------------------------


def test_who_prefers_to_wait_gets_202_when_the_time_is_up_and_200_at_the_end(ask: Ask, rows: Database) -> None:
    late = submit(ask, headers={"Prefer": "respond-async, wait=0"})
    assert (late.status_code, late.headers["Preference-Applied"]) == (202, "wait=0")

    def finish() -> None:
        while True:
            with rows.read() as session:
                found = listing.newest(session, limit=1)
            if found and found[0].id != late.json()["id"]:
                break
        worked.take_in(rows, found[0].id)
        worked.read(rows, found[0].id, 1)

    worker = threading.Thread(target=finish)
    worker.start()
    ended = submit(ask, 3, headers={"Prefer": "wait=20"})
    worker.join()
    assert (ended.status_code, ended.json()["status"]) == (200, "completed")
    assert "Retry-After" not in ended.headers


def test_an_etag_stays_until_something_changes(ask: Ask, rows: Database) -> None:
    job_id = body(submit(ask))["id"]
    first = ask("GET", f"/api/jobs/{job_id}")
    again = ask("GET", f"/api/jobs/{job_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    worked.take_in(rows, job_id, 2)
    worked.read(rows, job_id, 1)
    changed = ask("GET", f"/api/jobs/{job_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert (changed.status_code, changed.json()["progress"]["pages_done"]) == (200, 1)


def events(response: httpx.Response) -> list[tuple[str | None, str, dict[str, Any]]]:
    """Id, name and data of each event."""
    found = []
    for part in response.text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in part.split("\n") if not line.startswith(":"))
        found.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
    return found


def test_events_are_taken_up_after_the_last_one_that_was_heard(ask: Ask, rows: Database) -> None:
    job_id = body(submit(ask))["id"]
    worked.take_in(rows, job_id, 3)
    worked.read(rows, job_id, 2)
    worked.fail(rows, job_id, 1)
    worked.read(rows, job_id, 3)
    whole = events(ask("GET", f"/api/jobs/{job_id}/events"))
    assert [(name, data.get("number")) for _, name, data in whole] == [
        ("page", 2),
        ("page", 1),
        ("page", 3),
        ("job", None),
    ]
    assert [data["status"] for _, _, data in whole] == ["done", "failed", "done", "completed"]
    assert whole[1][2]["error"]["code"] == "page_failed"
    rest = events(ask("GET", f"/api/jobs/{job_id}/events", headers={"Last-Event-ID": str(whole[1][0])}))
    assert rest == whole[2:]
    over = ask("GET", f"/api/jobs/{job_id}/events", headers={"Last-Event-ID": str(whole[-1][0])})
    assert (over.status_code, over.content) == (204, b"")


def test_pages_that_are_skipped_are_events_one_by_one(ask: Ask, rows: Database) -> None:
    job_id = body(submit(ask))["id"]
    worked.take_in(rows, job_id, 3)
    worked.read(rows, job_id, 1)
    assert ask("DELETE", f"/api/jobs/{job_id}").status_code == 202
    ids = [int(number or 0) for number, _, _ in events(ask("GET", f"/api/jobs/{job_id}/events"))]
    assert ids == sorted(set(ids))
    assert len(ids) == 4


def test_a_stream_ends_when_the_database_goes_away(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = body(submit(ask))["id"]

    def away(*_: object) -> None:
        raise OperationalError("", None, OSError())

    monkeypatch.setattr("copyist.api.events.changes_of", away)
    stream = ask("GET", f"/api/jobs/{job_id}/events")
    assert [name for _, name, _ in events(stream)] == ["job"]
    assert "Traceback" not in caplog.text


# --- lists -----------------------------------------------------------------------------------------------------------


def listed(ask: Ask, query: str) -> list[str]:
    return [job["filename"] for job in body(ask("GET", f"/api/jobs?{query}"))["jobs"]]


def test_a_list_is_filtered_by_state_name_time_and_metadata(ask: Ask) -> None:
    for name, labels in (("May.png", {"shelf": 3}), ("june.png", {"shelf": "3", "a'b\"c": "x"}), ("july.png", {})):
        ask("POST", "/api/jobs", files={"file": (name, png())}, data={"metadata": json.dumps(labels)})
    first = body(ask("GET", "/api/jobs?filename=may"))["jobs"][0]
    ask("DELETE", f"/api/jobs/{first['id']}")
    assert listed(ask, "status=cancelled") == ["May.png"]
    assert listed(ask, "status=cancelled&status=pending") == ["july.png", "june.png", "May.png"]
    assert listed(ask, "filename=JU") == ["july.png", "june.png"]
    assert listed(ask, "filename=%25") == []
    assert listed(ask, "metadata=shelf:3") == ["june.png", "May.png"]
    assert listed(ask, "metadata=shelf:3&metadata=a'b%22c:x") == ["june.png"]
    moment = first["created_at"].replace("+", "%2B")
    assert listed(ask, f"created_after={moment}") == ["july.png", "june.png"]
    assert listed(ask, f"created_before={moment}") == []
    assert ask("GET", "/api/jobs?metadata=shelf").status_code == 422


def test_a_list_takes_whatever_a_client_may_have_put_into_its_metadata(ask: Ask) -> None:
    for labels in ({"ok": True, "n": 1.5}, {"ok": 1, "nul": "\0"}):
        submit(ask, metadata=json.dumps(labels))
    for query, count in (("ok:true", 1), ("n:1.5", 1), ("other:x", 0)):
        assert len(listed(ask, f"metadata={query}")) == count, query


@pytest.mark.parametrize(
    "query",
    [
        "filename=%00",
        "batch=%00",
        "created_after=0001-01-01T00:00:00%2B14:00",
        "created_before=9999-12-31T23:00:00-14:00",
    ],
)
def test_a_filter_that_can_be_of_no_row_is_refused(ask: Ask, query: str) -> None:
    response = ask("GET", f"/api/jobs?{query}")
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


def test_a_list_says_of_each_job_how_many_are_ahead(ask: Ask) -> None:
    for priority in ("normal", "batch", "interactive", "normal"):
        submit(ask, priority=priority)
    listed = body(ask("GET", "/api/jobs"))["jobs"]
    assert [job["queue_position"] for job in listed] == [2, 0, 3, 1]
    assert [body(ask("GET", job["links"]["self"]))["queue_position"] for job in listed] == [2, 0, 3, 1]


def test_who_looks_at_a_job_takes_one_connection_and_not_two(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are would wait for each other's second one, and all of them fail."""
    monkeypatch.setattr(Paces, "FRESH_S", 0.0)
    job_id = body(submit(ask))["id"]
    out, most = 0, 0

    def taken(*_: object) -> None:
        nonlocal out, most
        out += 1
        most = max(most, out)

    def given_back(*_: object) -> None:
        nonlocal out
        out -= 1

    event.listen(Pool, "checkout", taken)
    event.listen(Pool, "checkin", given_back)
    try:
        assert ask("GET", f"/api/jobs/{job_id}").status_code == 200
    finally:
        event.remove(Pool, "checkout", taken)
        event.remove(Pool, "checkin", given_back)
    assert most == 1


def test_a_list_goes_on_by_its_link(ask: Ask) -> None:
    for _ in range(3):
        submit(ask)
    first = ask("GET", "/api/jobs?limit=2&filename=a")
    following = first.links["next"]["url"]
    assert "filename=a" in following
    last = ask("GET", following)
    assert (len(last.json()["jobs"]), last.json()["next_cursor"], last.links) == (1, None, {})


# --- again -----------------------------------------------------------------------------------------------------------


def test_a_retry_reads_only_what_failed(ask: Ask, rows: Database) -> None:
    job_id = body(submit(ask))["id"]
    assert ask("POST", f"/api/jobs/{job_id}/retry").json()["code"] == "not_ended"
    worked.take_in(rows, job_id, 2)
    worked.read(rows, job_id, 1, "one")
    worked.fail(rows, job_id, 2, WorkerCrashed(attempts=3))
    ended = body(ask("GET", f"/api/jobs/{job_id}"))
    assert (ended["status"], ended["links"]["retry"]) == ("completed", f"/api/jobs/{job_id}/retry")
    assert ask("GET", f"/api/jobs/{job_id}/result.txt").text == "one\n\f"
    again = ask("POST", f"/api/jobs/{job_id}/retry")
    assert (again.status_code, again.json()["status"], again.json()["progress"]["pages_done"]) == (202, "processing", 1)
    worked.read(rows, job_id, 2, "two")
    assert ask("GET", f"/api/jobs/{job_id}/result.txt").text == "one\n\ftwo\n", "what was kept is not what is there now"
    assert ask("POST", f"/api/jobs/{job_id}/retry").json()["code"] == "nothing_to_retry"


def test_a_cancelled_job_can_be_taken_up_again(ask: Ask, rows: Database) -> None:
    never_begun, half = body(submit(ask))["id"], body(submit(ask, 9))["id"]
    worked.take_in(rows, half, 2)
    worked.read(rows, half, 1)
    for job_id in (never_begun, half):
        ask("POST", f"/api/jobs/{job_id}/cancel")
    assert body(ask("POST", f"/api/jobs/{never_begun}/retry"))["status"] == "pending"
    assert body(ask("POST", f"/api/jobs/{half}/retry"))["status"] == "processing"
    worked.read(rows, half, 2)
    assert body(ask("GET", f"/api/jobs/{half}"))["progress"]["pages_done"] == 2
    worked.take_in(rows, never_begun)


# --- an end ----------------------------------------------------------------------------------------------------------


def test_a_job_that_expired_is_gone_and_one_that_was_deleted_was_never_there(ask: Ask, rows: Database) -> None:
    class Nothing:
        def delete_file(self, sha256: str) -> None: ...

        def delete_results(self, job_id: str) -> None: ...

    expired, deleted = body(submit(ask))["id"], body(submit(ask))["id"]
    for job_id in (expired, deleted):
        ask("POST", f"/api/jobs/{job_id}/cancel")
    with rows.write() as session:
        assert forgetting.expire(session, expired, timedelta(microseconds=1), blobs=Nothing())
    assert ask("DELETE", f"/api/jobs/{deleted}").status_code == 204
    for path in ("", "/result.txt", "/pages/1", "/events"):
        gone = ask("GET", f"/api/jobs/{expired}{path}")
        assert (gone.status_code, gone.json()["code"]) == (410, "expired"), path
        assert ask("GET", f"/api/jobs/{deleted}{path}").status_code == 404


def test_a_time_of_its_own_shows_when_a_job_goes(ask: Ask) -> None:
    kept, brief = body(submit(ask)), body(submit(ask, keep_days="1"))
    for job in (kept, brief):
        assert job["expires_at"] is None
        ask("POST", f"/api/jobs/{job['id']}/cancel")
    assert body(ask("GET", f"/api/jobs/{kept['id']}"))["expires_at"] is None
    ended = body(ask("GET", f"/api/jobs/{brief['id']}"))
    assert ended["expires_at"][:8] == ended["finished_at"][:8]
    assert ended["expires_at"] > ended["finished_at"]
