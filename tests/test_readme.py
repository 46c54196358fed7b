"""The README's commands do what they say, as they stand there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT
from tests.service import Service

README = (ROOT / "README.md").read_text()


def block(heading: str) -> str:
    """The first shell block under a heading."""
    found = re.search(rf"^## {re.escape(heading)}$.*?```sh\n(.*?)```", README, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found[1]


def run(commands: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )


def test_the_api_in_five_calls(tmp_path: Path, redis_url: str, sqlite_url: str) -> None:
    commands = block("The API in five calls").replace("/tmp/job.json", str(tmp_path / "job.json"))
    settings = {"OCR_BACKEND": "auto", "OCR_STRATEGY": "fast"}
    with Service(tmp_path, redis_url=redis_url, database_url=sqlite_url, **settings) as service:
        service.start("api", "beat", "worker").await_ready()
        done = run(commands.replace("localhost:8000", f"127.0.0.1:{service.port}"))
        assert service.client.get("/api/jobs").json()["jobs"] == []
    job, end = json.JSONDecoder().raw_decode(done.stdout)
    assert job["status"] == "completed"
    text, page = done.stdout[end:].split('{"number":1,"status"')
    assert json.loads('{"number":1,"status"' + page)["text"].split() == text.split()


def test_reading_without_a_server(tmp_path: Path) -> None:
    command = block("Without a server").replace("/tmp/copyist-out", str(tmp_path))
    run(command.replace(".venv/bin/copyist", f"{sys.executable} -m copyist"))
    assert {file.name for file in tmp_path.iterdir()} == {"scan.md", "note.md"}


def test_reading_a_formula() -> None:
    command = block("It reads formulas").replace(".venv/bin/copyist", f"{sys.executable} -m copyist")
    assert run(command).stdout.strip() == "2x+5=9"


def test_what_ci_runs_is_what_the_readme_says() -> None:
    assert block("Test and measure").strip() == "make test"
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1].strip() == "make test"
    assert block("Run it").strip() == "make run"


def test_it_is_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) < 200
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


@pytest.mark.parametrize("word", ["simply", "TODO", "FIGURES"])
def test_it_says_nothing_empty(word: str) -> None:
    assert word not in README


def test_engines_and_weights_are_listed() -> None:
    said = run(block("What it reads")).stdout
    assert re.search(r"tesseract\s+ready", said)
    assert "nougat-small" in said
