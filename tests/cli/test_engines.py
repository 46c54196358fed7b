"""``copyist engines``: what can read here, and why the rest cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import SURE, Run

PLAIN = {"OCR_PLUGINS": "", "OCR_BACKEND": "auto", "OCR_FALLBACK": ""}


def told(copyist: Run, **environment: str) -> dict[str, dict[str, Any]]:
    done = copyist("engines", "--json", **{**PLAIN, **environment})
    assert (done.returncode, done.stderr) == (0, "")
    return {one["name"]: one for one in json.loads(done.stdout)}


def test_tells_of_every_engine_whether_it_is_ready_or_why_not(copyist: Run, tmp_path: Path) -> None:
    engines = told(copyist, WEIGHTS_DIR=str(tmp_path / "none"))
    assert engines["tesseract"]["ready"]
    assert engines["mock"]["modes"] == ["document", "formula", "handwriting", "paper"]
    easyocr = engines["easyocr"]
    assert not easyocr["ready"]
    assert "copyist weights pull easyocr" in easyocr["reason"]
    assert easyocr.keys() >= {"version", "device", "model", "memory_bytes", "modes", "languages", "needs_gpu"}


def test_prints_a_table_for_people(copyist: Run, tmp_path: Path) -> None:
    done = copyist("engines", **PLAIN, WEIGHTS_DIR=str(tmp_path / "none"))
    assert done.returncode == 0
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert ["tesseract", "ready"] in [row[:2] for row in rows]
    assert {"engine", "state", "device", "version", "model", "memory", "modes"} <= set(rows[0])


def test_shows_plugins_too(copyist: Run) -> None:
    assert told(copyist, OCR_PLUGINS=SURE)["faulty"]["ready"]


@pytest.mark.parametrize("wrong", [{"OCR_PLUGINS": "nowhere:Engine"}, {"MAX_PAGES": "none"}])
def test_a_setting_that_cannot_work_is_a_sentence(copyist: Run, wrong: dict[str, str]) -> None:
    done = copyist("engines", **{**PLAIN, **wrong})
    assert done.returncode == 1
    assert next(iter(wrong)) in done.stderr
    assert "Traceback" not in done.stderr
