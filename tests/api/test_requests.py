"""What goes round every request: its id, and its line in the log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from typing import Any

import pytest

from copyist import log as logs
from copyist.api import requests
from copyist.db import presence
from copyist.db.session import Database
from tests.api.conftest import Ask
from tests.api.test_metrics import make_job

SHOWN = "X-Request-ID"


@pytest.fixture
def database_url(fresh_database: Callable[[str], str]) -> str:
    return fresh_database("sqlite")


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What was logged since, as ``LOG_FORMAT=json`` writes it."""
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    written = io.StringIO()
    with redirect_stderr(written):
        logs.setup("info", "json")
    logging.getLogger("copyist").setLevel("DEBUG")
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    logging.getLogger("copyist").setLevel(logging.NOTSET)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_an_id_that_is_sane_comes_back(ask: Ask) -> None:
    assert ask("GET", "/livez", headers={SHOWN: "shop-17_a.b"}).headers[SHOWN] == "shop-17_a.b"


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "{}", "a/b", "ü".encode(), b"a\x1b[31m"])
def test_any_other_is_replaced(ask: Ask, sent: str | bytes) -> None:
    made = ask("GET", "/livez", headers={SHOWN: sent}).headers[SHOWN]
    assert len(made) == 32
    assert made != ask("GET", "/livez").headers[SHOWN]


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/nothing/here", {}, 404),
        ("GET", "/api/jobs?limit=x", {}, 422),
        ("POST", "/api/jobs", {"content": b"x" * 2_000_000}, 413),
        ("PATCH", "/api/jobs", {}, 405),
        ("GET", "/", {}, 200),
    ],
)
def test_every_answer_has_it(ask: Ask, method: str, path: str, content: dict[str, Any], status: int) -> None:
    answer = ask(method, path, headers={SHOWN: "mine"}, **content)
    assert (answer.status_code, answer.headers.get_list(SHOWN)) == (status, ["mine"])


def test_what_nobody_foresaw_has_it_too_and_says_nothing(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(presence, "engines", broken)
    answer = ask("GET", "/api/engines", headers={SHOWN: "mine"})
    assert (answer.status_code, answer.headers[SHOWN]) == (500, "mine")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "foresaw" not in answer.text
    trouble, line = lines()
    assert (trouble["request"], trouble["level"]) == ("mine", "error")
    assert "nobody foresaw this" in trouble["exception"]
    assert (line["request"], line["status"]) == ("mine", 500)


def test_a_request_leaves_one_line(db: Database, ask: Ask, lines: Callable[[], list[dict[str, Any]]]) -> None:
    job_id = make_job(db)
    ask("GET", f"/api/jobs/{job_id}?wait=0", headers={SHOWN: "mine"})
    (line,) = lines()
    assert 0 < line.pop("ms") < 10_000
    assert line.pop("timestamp")
    assert line == {
        "event": "answered",
        "level": "debug",
        "logger": "copyist.api.requests",
        "request": "mine",
        "method": "GET",
        "route": "/api/jobs/{job_id}",
        "status": 200,
        "job": job_id,
    }


@pytest.mark.parametrize("path", ["/v1/result/{}", "/api/status/{}/"])
def test_a_line_names_the_job_whatever_an_old_client_calls_it(
    db: Database, ask: Ask, lines: Callable[[], list[dict[str, Any]]], path: str
) -> None:
    job_id = make_job(db)
    ask("GET", path.format(job_id))
    assert [line["job"] for line in lines()] == [job_id]


def test_what_changes_something_or_goes_wrong_is_worth_a_line(
    ask: Ask, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    ask("POST", "/api/jobs")
    ask("GET", "/nothing/here")
    assert [(line["level"], line["status"]) for line in lines()] == [("info", 400), ("info", 404)]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/metrics"])
def test_what_machines_ask_all_the_time_leaves_none(
    ask: Ask, lines: Callable[[], list[dict[str, Any]]], path: str
) -> None:
    ask("GET", path)
    assert [line for line in lines() if line["event"] == "answered"] == []


def test_what_becomes_known_on_the_way_stands_in_the_line(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    def engines(*_: object) -> dict[str, Any]:
        requests.note(job="j-1")
        logging.getLogger("copyist").info("on the way")
        return {}

    monkeypatch.setattr(presence, "engines", engines)
    ask("GET", "/api/engines", headers={SHOWN: "mine"})
    ask("GET", "/api/jobs", headers={SHOWN: "other"})
    on_the_way, first, second = lines()
    assert (on_the_way["event"], on_the_way["request"], on_the_way["job"]) == ("on the way", "mine", "j-1")
    assert (first["job"], first["request"]) == ("j-1", "mine")
    assert "job" not in second
