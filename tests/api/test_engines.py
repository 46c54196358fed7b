"""``GET /api/engines``: what the living workers tell of their engines, put together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from copyist.db import migrate, presence
from copyist.db.session import Database
from copyist.db.tables import Worker, now
from tests.api.conftest import Ask

OLD = {"ready": True, "reason": "", "version": "1", "languages": ["eng"], "needs_gpu": False, "modes": ["document"]}
NEW = OLD | {
    "device": "cuda",
    "model": "small",
    "memory_bytes": 5_000_000,
    "state": "loaded",
    "details": {"size": "10 MB"},
}
ABSENT = OLD | {"ready": False, "reason": "No weights.", "languages": [], "state": "failed"}

Show = Callable[..., None]


@pytest.fixture
def database_url(fresh_database: Callable[[str], str]) -> str:
    return fresh_database("sqlite")


@pytest.fixture
def show(database_url: str) -> Show:
    """Let a worker show itself with its engines."""
    migrate.upgrade(database_url)
    database = Database(database_url)

    def tell(name: str, **engines: dict[str, Any]) -> None:
        with database.write() as session:
            presence.show(session, name, queues=["cpu"], concurrency=1, engines=engines)

    return tell


def engines(ask: Ask) -> dict[str, dict[str, Any]]:
    answer = ask("GET", "/api/engines")
    assert answer.status_code == 200
    return {one["name"]: one for one in answer.json()}


def test_tells_where_an_engine_reads_and_how_far_its_model_is(show: Show, ask: Ask) -> None:
    show("one", easyocr=NEW)
    assert engines(ask)["easyocr"] == {
        "name": "easyocr",
        "ready": True,
        "reason": "",
        "version": "1",
        "languages": ["eng"],
        "modes": ["document"],
        "needs_gpu": False,
        "device": "cuda",
        "model": "small",
        "memory_bytes": 5_000_000,
        "details": {"size": "10 MB"},
        "state": "loaded",
        "workers": 1,
    }


def test_understands_a_worker_that_tells_less(show: Show, ask: Ask) -> None:
    show("old", easyocr=OLD)
    found = engines(ask)["easyocr"]
    assert (found["device"], found["model"], found["memory_bytes"], found["state"]) == ("", "", None, "unloaded")
    assert (found["workers"], found["details"]) == (1, {})


def test_counts_the_workers_that_have_it_and_lets_the_readiest_speak(show: Show, ask: Ask) -> None:
    show("a", easyocr=ABSENT)
    show("b", easyocr=NEW | {"state": "loading", "languages": ["deu"]})
    show("c", easyocr=NEW | {"device": "cpu"}, mock=OLD)
    found = engines(ask)
    assert (found["easyocr"]["workers"], found["easyocr"]["state"], found["easyocr"]["device"]) == (2, "loaded", "cpu")
    assert found["easyocr"]["languages"] == ["deu", "eng"]
    assert found["mock"]["workers"] == 1


def test_says_why_nobody_has_an_engine(show: Show, ask: Ask) -> None:
    show("a", easyocr=ABSENT)
    found = engines(ask)["easyocr"]
    assert (found["ready"], found["reason"], found["state"], found["workers"]) == (False, "No weights.", "failed", 0)


def test_forgets_a_worker_that_is_gone(show: Show, ask: Ask, database_url: str) -> None:
    show("a", easyocr=NEW)
    with Database(database_url).write() as session:
        session.get_one(Worker, "a").seen_at = now() - timedelta(hours=1)
    assert engines(ask) == {}
