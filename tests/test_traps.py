"""Mistakes that others made and paid for, each kept out by a test here where no other test does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from copyist.api.app import create_app
from copyist.queue.context import build
from copyist.settings import Settings
from tests.api.test_jobs import png
from tests.servers import process_environment


def test_a_worker_leaves_the_threads_of_libraries_at_one() -> None:
    """Ten pages side by side took fifty times as long with a thread for every core in each of them."""
    code = "import copyist.queue.app, os; print(os.environ['OMP_THREAD_LIMIT'], os.environ['OMP_NUM_THREADS'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=process_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 1\n"


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "handwriting"},
        {"languages": ["deu"]},
        {"text": "force"},
        {"decoding": {"temperature": 0.5}},
    ],
)
def test_a_page_is_not_taken_for_one_that_was_read_with_other_options(
    change: dict[str, Any], redis_url: str, sqlite_url: str, tmp_path: Path
) -> None:
    context = build(Settings(redis_url=redis_url, database_url=sqlite_url, data_dir=tmp_path))
    options = {"mode": "document", "languages": ["eng"], "text": "auto", "decoding": {}}
    same = context.cache_key("a" * 64, 1, dict(options), "engines")
    assert context.cache_key("a" * 64, 1, options, "engines") == same
    others = {
        context.cache_key("a" * 64, 1, options | change, "engines"),
        context.cache_key("b" * 64, 1, options, "engines"),
        context.cache_key("a" * 64, 2, options, "engines"),
        context.cache_key("a" * 64, 1, options, "other engines"),
    }
    context.db.close()
    assert same not in others
    assert len(others) == 4


def test_a_job_is_known_to_every_process_of_the_api(
    redis_url: str, fresh_database: Callable[[str], str], tmp_path: Path
) -> None:
    settings = Settings(redis_url=redis_url, database_url=fresh_database("sqlite"), data_dir=tmp_path)
    with (
        TestClient(create_app(settings), base_url="http://localhost") as one,
        TestClient(create_app(settings), base_url="http://localhost") as other,
    ):
        job = one.post("/api/jobs", files={"file": ("a.png", png())}).json()
        found: httpx.Response = other.get(f"/api/jobs/{job['id']}")
        assert (found.status_code, found.json()["id"]) == (200, job["id"])
        assert other.delete(f"/api/jobs/{job['id']}").status_code == 202
        assert one.get(f"/api/jobs/{job['id']}").json()["status"] == "cancelled"
