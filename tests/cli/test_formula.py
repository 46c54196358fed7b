"""``copyist formula`` and ``copyist train formula``, as people give them."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from copyist.cli import app, formula
from copyist.training.formula import saying
from copyist.training.formula.__main__ import _PROCESSES
from copyist.training.formula.order import FormulaOrder
from tests.servers import process_environment

Orders = list[tuple[str, ...]]


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Orders:
    """What would have been started, in an empty folder, so that no ``.env`` is found there."""
    monkeypatch.chdir(tmp_path)
    found: Orders = []
    monkeypatch.setattr(formula, "become", lambda *command: found.append(command))
    return found


def test_options_become_the_order_of_a_process(orders: Orders, tmp_path: Path) -> None:
    options = ["--preset", "tiny", "--epoch-size", "50", "--time-limit", "2", "--fresh", "--processes", "3"]
    arguments = ["train", "formula", "--data", str(tmp_path), *options]
    done = CliRunner().invoke(app, arguments, env={"DATA_DIR": str(tmp_path / "d"), "MLFLOW_TRACKING_URI": "http://m"})
    assert done.exit_code == 0, done.output
    ((module, process, told),) = orders
    assert (module, process) == ("copyist.training.formula", "train")
    order = FormulaOrder.model_validate_json(told)
    assert (order.data, order.out, order.fresh) == (tmp_path, tmp_path / "d" / "formula", True)
    assert (order.time_limit_s, order.processes, order.tracking_uri) == (120, 3, "http://m")
    assert (order.recipe.preset, order.recipe.epoch_size, order.recipe.highest_rate) == ("tiny", 50, 2e-3)


def test_a_preset_that_is_none_is_said_with_those_there_are(orders: Orders, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train", "formula", "--data", str(tmp_path), "--preset", "huge"])
    assert done.exit_code == os.EX_USAGE and "compact" in done.output and orders == []


def test_packages_that_are_missing_are_said(orders: Orders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formula, "PACKAGES", ("torch", "not_a_package"))
    done = CliRunner().invoke(app, ["train", "formula", "--data", str(tmp_path)])
    assert done.exit_code == 1 and "not_a_package" in done.output and orders == []


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process of its own sets these up for itself."""
    monkeypatch.setattr(saying.logs, "setup", lambda *_: None)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "formula", "--data", "nothing"), "copyist formula generate"),
        (("formula", "evaluate", "model", "--data", "data"), "model holds no model for formulas"),
        (("formula", "evaluate", "model", "--data", "data", "--split", "valid"), "no formulas in the split valid"),
        (("formula", "export", "model"), "config.json is missing"),
        (("formula", "generate", "data", "--count", "1"), "name a new folder"),
    ],
)
@pytest.mark.usefixtures("quiet")
def test_what_cannot_be_done_is_a_sentence_and_not_a_traceback(
    orders: Orders, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    for folder in ("model", "nothing", "data/test", "data/train"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data" / "test" / "a.inkml").write_text("<ink/>")
    done = CliRunner().invoke(app, arguments, env={"DATA_DIR": str(tmp_path)})
    assert done.exit_code == 0, done.output
    ((_, process, told),) = orders
    assert importlib.import_module(_PROCESSES[process]).main(told) == 1
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_hundred_formulas_are_learned_by_heart_within_five_minutes(tmp_path: Path) -> None:
    """The split ``valid`` is what is learned from: the best epoch is the one that reads these best."""
    data, out, page = tmp_path / "data", tmp_path / "out", tmp_path / "page.html"
    made = _copyist("formula", "generate", data, "--count", 100, "--seed", 3, "--valid", 1, "--test", 5)
    assert made.returncode == 0, made.stderr
    shutil.rmtree(data / "valid")
    shutil.copytree(data / "train", data / "valid")
    options = ("--preset", "tiny", "--plain", "--batch", 16, "--epoch-size", 500, "--epochs", 16, "--time-limit", 5)
    trained = _copyist("train", "formula", "--data", data, "--out", out, *options, "--cpu")
    assert trained.returncode == 0, trained.stderr
    read = _copyist("formula", "evaluate", out, "--data", data, "--split", "train", "--report", page)
    assert read.returncode == 0, read.stderr
    found = json.loads(read.stdout)
    assert (found["formulas"], page.is_file()) == (100, True)
    assert found["exact"] > 0.95, (found, trained.stderr)
    assert json.loads((out / "report.json").read_text())["seconds"] < 330


def _copyist(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "copyist", *map(str, arguments)]
    return subprocess.run(command, env=process_environment(), capture_output=True, text=True, timeout=1000, check=False)
