"""The whole of a training: from a folder to a model that reads, over a kill, with bad examples among the good."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from copyist.engines.base import NotReady, Stop
from copyist.engines.formula.config import TENSORS
from copyist.engines.formula.decoding import ReadFormula
from copyist.engines.formula.onnx_reader import OnnxReader
from copyist.errors import FormulaDataMissing
from copyist.training import tracking
from copyist.training.events import Failed, Stopped
from copyist.training.formula import finishing, trainer
from copyist.training.formula.export import Exported, export
from copyist.training.formula.lessons import shown
from copyist.training.formula.order import HISTORY, PAGE, REPORT, FormulaOrder
from copyist.training.formula.progress import Display
from copyist.training.formula.saying import listening
from copyist.training.formula.sets import open_set
from copyist.training.formula.trainer import train
from tests.training.formula.small_sets import SMALL, add, order, state_file, told, write_set

FORMULAS = 24


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The preset ``tiny`` is smaller still, nothing is exported, and signals are as they were afterwards."""
    monkeypatch.setattr(trainer, "PRESETS", SMALL)
    monkeypatch.setattr(finishing, "export", lambda *_: Exported())
    threads = torch.get_num_threads()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    torch.set_num_threads(threads)
    for number, handler in before.items():
        signal.signal(number, handler)


class Quiet(Display):
    """Keeps what it is told; asks for an end by a real signal after a step."""

    def __init__(self, kill_at: int = 0) -> None:
        super().__init__(every_s=1e9)
        self.lines: list[str] = []
        self._kill_at = kill_at

    def step(self, **told: Any) -> None:
        super().step(**told)
        if told["step"] == self._kill_at:
            os.kill(os.getpid(), signal.SIGTERM)

    def say(self, text: str) -> None:
        self.lines.append(text)


def run(asked: FormulaOrder, *, kill_at: int = 0) -> Quiet:
    display = Quiet(kill_at)
    with display:
        train(asked, stop=listening(), display=display)
    return display


def losses(out: Path) -> list[float]:
    saved = torch.load(state_file(out), weights_only=True)
    found: list[float] = saved["progress"]["losses"]
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("formulas"), train=FORMULAS)


def test_stopped_by_a_signal_and_gone_on_with_it_ends_with_the_same_curve(data: Path, tmp_path: Path) -> None:
    whole, killed = order(data, tmp_path / "whole"), order(data, tmp_path / "killed")
    run(whole)
    with pytest.raises(Stopped):
        run(killed, kill_at=2)
    assert len(losses(killed.out)) == 2 and not (killed.out / REPORT).exists()
    display = run(killed)
    assert any(line.startswith("going on after step 2") for line in display.lines)
    assert losses(killed.out) == losses(whole.out)
    ours, theirs = load_file(killed.out / TENSORS), load_file(whole.out / TENSORS)
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    assert told(killed.out, REPORT)["resumed"] == 1


def test_a_training_that_is_over_can_be_made_longer_and_one_of_another_kind_not(data: Path, tmp_path: Path) -> None:
    run(order(data, tmp_path / "out", epochs=1))
    steps = len(losses(tmp_path / "out"))
    run(order(data, tmp_path / "out", epochs=2))
    assert len(losses(tmp_path / "out")) > steps
    with pytest.raises(Failed, match="--seed 0"):
        run(order(data, tmp_path / "out", seed=1))
    state_file(tmp_path / "out").write_bytes(b"damaged")
    with pytest.raises(Failed, match="--fresh"):
        run(order(data, tmp_path / "out"))
    run(order(data, tmp_path / "out", seed=1, epochs=1).model_copy(update={"fresh": True}))
    assert told(tmp_path / "out", REPORT)["epochs"] == 1


def test_bad_examples_are_counted_and_the_rest_is_learned(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "data", train=12, valid=2, test=3)
    add(folder, "train", "braces", "1", latex="\\frac{1}{")
    add(folder, "train", "long", "1", latex="1+" * 9 + "1")
    add(folder, "train", "broken", "1").write_text("<ink><trace>1 1</tra")
    empty = add(folder, "train", "empty", "1")
    empty.write_text(empty.read_text().replace("<trace ", "<trace hidden='' ").split("<trace")[0] + "<trace/></ink>")
    add(folder, "test", "unknown", "1", latex="1+\\omega")
    display = run(order(folder, tmp_path / "out", epochs=1))
    found = told(tmp_path / "out", REPORT)
    assert found["trained_without"] == {
        "broken_inkml": 1,
        "label_too_long": 1,
        "no_strokes": 1,
        "unbalanced_braces": 1,
    }
    assert found["formulas"] == 4 and "\\omega" not in (tmp_path / "out" / "vocabulary.json").read_text()
    assert "3 of 16 formulas are left out" in " ".join(display.lines)
    html = (tmp_path / "out" / PAGE).read_text()
    assert "unbalanced_braces: 1 (" in html and "no_strokes: 1 (" in html


def test_pictures_that_hold_nothing_are_counted_too(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "ink", train=10, valid=2, test=2)
    formulas = open_set(folder)
    table = ["image,latex,split"]
    (tmp_path / "data").mkdir()
    for split in ("train", "valid", "test"):
        for number, name in enumerate(formulas.names(split)):  # type: ignore[arg-type]
            example = formulas.load(split, name)  # type: ignore[arg-type]
            Image.fromarray(shown(example, None)).save(tmp_path / "data" / f"{split}{number}.png")
            table.append(f"{split}{number}.png,{''.join(example.label)},{split}")
    for name, picture in (("blank", np.full((40, 60), 255)), ("strip", np.zeros((1, 5000)))):
        Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "data" / f"{name}.png")
        table.append(f"{name}.png,1,train")
    (tmp_path / "data" / "labels.csv").write_text("\n".join([*table, "gone.png,1,train"]) + "\n")
    run(order(tmp_path / "data", tmp_path / "out", epochs=1))
    found = told(tmp_path / "out", REPORT)
    assert found["trained_without"] == {"broken_image": 1, "no_ink": 1, "too_thin": 1}
    assert found["seen"] == 10


def test_a_folder_of_nothing_but_bad_examples_is_a_sentence(tmp_path: Path) -> None:
    add(tmp_path / "data", "train", "a", "1", latex="{")
    with pytest.raises(FormulaDataMissing, match="unbalanced_braces: 1"):
        run(order(tmp_path / "data", tmp_path / "out"))


def test_what_is_left_behind_reads_formulas_with_onnx(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing, "export", export)
    told_to_mlflow: list[tracking.Facts] = []

    def refuse(facts: tracking.Facts, uri: str) -> str:
        told_to_mlflow.append(facts)
        return f"MLflow ({uri}) was not told of the run: it does not answer."

    monkeypatch.setattr(tracking, "report", refuse)
    display = run(order(data, tmp_path / "out", epochs=1).model_copy(update={"tracking_uri": "http://away"}))
    assert any("does not answer" in line for line in display.lines)
    (facts,) = told_to_mlflow
    assert (facts.experiment, facts.status, len(facts.steps)) == ("copyist-formula", "completed", 1)
    assert facts.figures["cer"] == told(tmp_path / "out", REPORT)["cer"]
    assert len(told(tmp_path / "out", HISTORY)["epochs"]) == 1  # type: ignore[arg-type]
    reader = OnnxReader(tmp_path / "out")
    formulas = open_set(data)
    picture = shown(formulas.load("test", formulas.names("test")[0]), None)
    (read,) = reader.read([picture], Stop())
    assert isinstance(read, ReadFormula)


def test_a_warm_start_takes_over_weights_token_by_token(data: Path, tmp_path: Path) -> None:
    run(order(data, tmp_path / "first", epochs=1))
    other = write_set(tmp_path / "other", train=12)
    add(other, "train", "new", "1", latex="1+\\omega")
    asked = order(other, tmp_path / "second", epochs=1).model_copy(update={"warm_start": tmp_path / "first"})
    display = run(asked)
    assert any(line.startswith("begins with") for line in display.lines)
    shutil.rmtree(tmp_path / "first")
    with pytest.raises(NotReady, match=r"config\.json is missing"):
        run(asked.model_copy(update={"fresh": True}))


SHOW = """
import sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
experiment = client.get_experiment_by_name("copyist-formula")
(run,) = client.search_runs([experiment.experiment_id])
print(run.info.status, "cer" in run.data.metrics, run.data.params["preset"])
"""


@pytest.mark.slow
def test_mlflow_shows_the_training(data: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run(order(data, tmp_path / "out", epochs=1).model_copy(update={"tracking_uri": uri}))
    # MLflow warns of what pytest forbids.
    command = [sys.executable, "-c", SHOW, uri]
    done = subprocess.run(command, env=os.environ | tracking.SILENT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["FINISHED", "True", "tiny"]
