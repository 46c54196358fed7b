"""Runs as MLflow has them: in a store of its own, by a process of its own, and never in the way."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from copyist.training import tracking
from copyist.training.tracking import Facts, Step

BEGUN = datetime(2025, 12, 1, 9, 30, tzinfo=UTC)
FIGURES = {
    "holdout": {"pages": 14, "champion": {"cer": 0.084}, "challenger": {"cer": 0.031}, "better": True},
    "general": {"challenger": {"cer": 0.05, "calibration_error": None, "wer": float("nan")}},
}
SHOW = f"""
import json, sys
from mlflow import MlflowClient

client = MlflowClient(sys.argv[1], registry_uri=sys.argv[1])
experiment = client.get_experiment_by_name("{tracking.NAME}")
runs = client.search_runs([experiment.experiment_id])
aliases = client.get_registered_model("{tracking.NAME}").aliases
versions = client.search_model_versions("name='{tracking.NAME}'")
losses = client.get_metric_history(runs[-1].info.run_id, "loss")
print(json.dumps({{
    "runs": [[run.info.status, run.info.run_name, run.data.metrics, run.data.params, run.data.tags] for run in runs],
    "losses": [[one.step, one.value, one.timestamp] for one in losses],
    "aliases": {{name: str(version) for name, version in aliases.items()}},
    "versions": {{str(one.version): [one.source, one.tags] for one in versions}},
}}))
"""


def facts(**changed: Any) -> Facts:
    told: dict[str, Any] = {
        "run_id": "0b8f4b0e-6c2d-4f0a-9a57-3d5a4f0f9c11",
        "status": "completed",
        "trigger": "manual",
        "created_at": BEGUN,
        "started_at": BEGUN,
        "finished_at": BEGUN + timedelta(minutes=5),
        "base": "trocr-small-handwritten",
        "dataset_sha256": "d" * 64,
        "code_version": "0.1.0",
        "libraries": {"torch": "2.13.0"},
        "parameters": {"rank": 16, "learning_rate": 1e-4},
        "figures": FIGURES,
        "outcome": "promoted",
        "reason": "It reads better: 3.1 % in place of 8.4 %.",
        "version": 3,
        "champion": 3,
        "steps": tuple(
            Step(step=step, epoch=1, loss=1 / step, learning_rate=1e-4, at=BEGUN + timedelta(seconds=step))
            for step in range(1, 1101)
        ),
    }
    return Facts(**told | changed)


def shown(uri: str) -> dict[str, Any]:
    """What MLflow's own client finds there; in a process of its own, since MLflow warns of what pytest forbids."""
    environment = os.environ | tracking.SILENT
    done = subprocess.run(
        [sys.executable, "-c", SHOW, uri], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_a_run_is_shown_with_its_figures_and_its_version(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    later = facts(run_id="other", version=4, champion=4, steps=(), started_at=BEGUN + timedelta(hours=1))
    assert [tracking.report(one, uri) for one in (facts(champion=None), later)] == [None, None]
    found = shown(uri)
    assert [(run[0], run[1]) for run in found["runs"]] == [("FINISHED", "v4"), ("FINISHED", "v3")]
    _, _, metrics, parameters, tags = found["runs"][1]
    assert metrics["holdout.challenger.cer"] == 0.031 and metrics["holdout.champion.cer"] == 0.084
    assert (metrics["holdout.pages"], metrics["loss"]) == (14, 1 / 1100)
    assert metrics.keys().isdisjoint({"holdout.better", "general.challenger.wer", "dev_cer"})
    assert parameters == {"rank": "16", "learning_rate": "0.0001"}
    assert (tags["copyist.outcome"], tags["copyist.dataset_sha256"]) == ("promoted", "d" * 64)
    assert len(found["losses"]) == 1100
    assert found["losses"][-1] == [1100, 1 / 1100, 1000 * int(BEGUN.timestamp() + 1100)]
    ours = {number: version[1]["copyist.version"] for number, version in found["versions"].items()}
    assert sorted(ours.values()) == ["3", "4"]
    # Version 3 was a challenger until 4 served.
    assert {alias: ours[number] for alias, number in found["aliases"].items()} == {"champion": "4"}


@pytest.fixture
def silent() -> Iterator[str]:
    """An address at which somebody listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://ann:secret@127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_is_away_is_a_sentence_soon(silent: str) -> None:
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    away = tracking.report(facts(), f"http://127.0.0.1:{port}")
    assert away == f"MLflow (http://127.0.0.1:{port}) was not told of the run: it does not answer."
    mute = tracking.report(facts(), silent, longest_s=4)
    assert mute is not None and mute.endswith("it took longer than 4 s.") and "secret" not in mute
    assert time.monotonic() - began < 30


def test_what_no_store_can_be_is_a_sentence(tmp_path: Path) -> None:
    assert tracking.report(facts(), "") is None
    assert "was not told of the run: it refused" in str(tracking.report(facts(), str(tmp_path / "mlruns")))
    assert not (tmp_path / "mlruns").exists()
