"""Which folder is a formula model, which one serves, and what it takes to read with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from copyist.engines.base import EngineSettings
from copyist.engines.checkpoints import CheckpointUnusable
from copyist.engines.formula import models
from copyist.engines.formula.config import PRESETS
from copyist.engines.formula.models import FormulaModel, Kind, Place, Runtime, find, open_model, place_of
from copyist.engines.formula.vocabulary import Vocabulary


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineSettings:
    monkeypatch.setattr(models, "PACKAGED", tmp_path / "package" / "small")
    return EngineSettings(weights=tmp_path, use_gpu=False)


def written(folder: Path, *, onnx: bool = True) -> Path:
    """What looks like a whole model of ours, without a weight."""
    folder.mkdir(parents=True)
    PRESETS["tiny"].save(folder)
    Vocabulary(("1", "x")).save(folder)
    for name in models.ONNX_FILES if onnx else ():
        (folder / name).write_bytes(b"onnx")
    return folder


def theirs(folder: Path) -> Path:
    """What looks like a TrOCR."""
    folder.mkdir(parents=True)
    config = {"model_type": "vision-encoder-decoder", "decoder": {"model_type": "trocr"}}
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"one": np.zeros(1, np.float32)}, folder / "model.safetensors")
    for name in ("preprocessor_config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Take packages away."""

    def take(*packages: str) -> None:
        monkeypatch.setattr(models, "_is_installed", lambda name: name not in packages)

    return take


def test_kinds_are_known_by_their_files(tmp_path: Path) -> None:
    assert open_model(written(tmp_path / "ours")) == FormulaModel(Kind.COPYIST, tmp_path / "ours")
    assert open_model(theirs(tmp_path / "theirs")).kind is Kind.TROCR


def test_the_folder_that_is_named_goes_before_all(settings: EngineSettings, tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnusable, match="FORMULA_MODEL"):
        find(settings)
    packaged = written(models.PACKAGED)
    assert find(settings).folder == packaged
    theirs(tmp_path / "TrOCR_Math_handwritten")
    assert find(settings).kind is Kind.TROCR
    pulled = written(tmp_path / "formula-large")
    assert find(settings).folder == pulled
    named = written(tmp_path / "elsewhere" / "mine")
    assert find(replace(settings, formula=named)).folder == named


def test_a_damaged_folder_does_not_stand_in_the_way_of_the_next(settings: EngineSettings, tmp_path: Path) -> None:
    (written(tmp_path / "formula-a") / "vocabulary.json").unlink()
    whole = written(tmp_path / "formula-b")
    assert find(settings).folder == whole


def test_others_are_asked_for_by_name_and_never_from_outside(settings: EngineSettings, tmp_path: Path) -> None:
    packaged, other = written(models.PACKAGED), written(tmp_path / "formula-other")
    assert find(settings, "formula-other").folder == find(settings, "somebody/formula-other").folder == other
    assert find(settings, "small").folder == packaged
    for name in ("formula-none", "../package/none", "..", "", "/"):
        with pytest.raises(CheckpointUnusable, match="no model for formulas"):
            find(settings, name)


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (shutil.rmtree, "no folder m "),
        (_remove("config.json"), "no model for formulas"),
        (_write("config.json", "{"), "no model for formulas"),
        (_write("config.json", json.dumps({"model_type": "t5"})), "no model for formulas"),
        (_write("config.json", json.dumps({"model_type": "copyist-formula", "format": 99})), "format"),
        (_remove("vocabulary.json"), "vocabulary.json is missing"),
        (_write("vocabulary.json", '{"tokens": ["a", "a"]}'), "token twice"),
        (_remove("decoder.onnx"), r"neither encoder.onnx and decoder.onnx nor model.safetensors"),
        (_write("decoder.onnx", ""), "decoder.onnx is empty"),
        (_write("model.safetensors", "x" * 100), "model.safetensors"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path, damage: Callable[[Path], object], reason: str) -> None:
    folder = written(tmp_path / "m")
    damage(folder)
    with pytest.raises(CheckpointUnusable, match=reason) as refused:
        open_model(folder)
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize(
    "claim",
    [
        {"width": 10**9},
        {"width": 250},
        {"width": "256"},
        {"layers": -1},
        {"layers": 10**9},
        {"longest": 10**9},
        {"dropout": float("nan")},
        {"encoder": "hf-hub:somebody/model"},
        {"frame": {"height": 0, "width": 512}},
        {"frame": {"height": 10**6, "width": 10**6}},
        {"frame": {"height": 128, "width": 512, "symbol_px": 0}},
        {"frame": {"height": 128, "width": 512, "multiple": 0}},
        {"frame": None},
    ],
)
def test_a_shape_that_no_model_has_is_refused(tmp_path: Path, claim: dict[str, object]) -> None:
    folder = written(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | claim))
    with pytest.raises(CheckpointUnusable, match=r"m cannot be used: config\.json"):
        open_model(folder)


def test_a_model_is_computed_with_what_is_installed(
    settings: EngineSettings, tmp_path: Path, without: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = open_model(written(tmp_path / "ours"))
    (ours.folder / "model.safetensors").touch()
    assert place_of(ours, settings) == Place(Runtime.ONNX, "cpu")
    without("onnxruntime")
    assert place_of(ours, settings) == Place(Runtime.TORCH, "cpu")
    monkeypatch.setattr(models, "why_no_cuda", lambda: "")
    assert place_of(ours, replace(settings, use_gpu=True)) == Place(Runtime.TORCH, "cuda")
    without("timm")
    assert place_of(ours, replace(settings, use_gpu=True)) == Place(Runtime.ONNX, "cpu")


def test_what_has_to_be_installed_is_said(
    settings: EngineSettings, tmp_path: Path, without: Callable[..., None]
) -> None:
    ours, trocr = open_model(written(tmp_path / "ours")), open_model(theirs(tmp_path / "theirs"))
    without("onnxruntime", "torch")
    with pytest.raises(CheckpointUnusable, match=r"onnxruntime is not installed.*\[formula\]"):
        place_of(ours, settings)
    with pytest.raises(CheckpointUnusable, match=r"torch is not installed.*\[models\]"):
        place_of(trocr, settings)


def test_the_version_changes_with_the_files_and_with_what_computes_them(tmp_path: Path) -> None:
    ours = open_model(written(tmp_path / "ours"))
    before = models.version(ours, Place(Runtime.ONNX, "cpu"))
    assert "ours" in before
    assert models.version(ours, Place(Runtime.TORCH, "cuda")) != before
    (ours.folder / "decoder.onnx").write_bytes(b"another")
    assert models.version(ours, Place(Runtime.ONNX, "cpu")) != before


def test_people_are_told_what_the_model_is(tmp_path: Path) -> None:
    ours = open_model(written(tmp_path / "ours"))
    (ours.folder / "report.json").write_text(
        json.dumps({"exact": 0.81234, "formulas": 20, "cer": [1, 2], "at": "2026"})
    )
    told = models.details(ours)
    assert (told["exact"], told["formulas"], told["tokens"]) == ("0.8123", "20", "6")
    assert told.keys() & {"cer", "at"} == set(), "one is no figure, the other not for people"
