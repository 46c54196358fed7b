"""The model that comes with the package reads simple formulas out of the box, with nothing but ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from copyist.engines.base import EngineSettings, Mode, PageImage, ReadOptions
from copyist.engines.formula import latex
from copyist.engines.formula.engine import Formula
from copyist.engines.formula.models import PACKAGED
from tests.servers import ROOT

FORMULAS = ROOT / "tests" / "samples" / "formulas"
TRUTHS: dict[str, str] = json.loads((FORMULAS / "formulas.json").read_text(encoding="utf-8"))
STROKES = (
    "ink-3-times-2.png",
    "ink-sqrt-2.png",
    "ink-3-plus-1.png",
    "ink-2x-plus-5.png",
    "ink-1943.png",
    "ink-cases-sqrt3-sqrt6.png",
)
"""Of the collected samples those that it reads."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Formula:
    return Formula(EngineSettings(weights=tmp_path_factory.mktemp("no-weights"), use_gpu=False))


def read(engine: Formula, path: Path) -> tuple[str, float]:
    (page,) = engine.read([PageImage(np.asarray(cv2.imread(str(path)), np.uint8))], ReadOptions(mode=Mode.FORMULA))
    (block,) = page.blocks
    return block.markup or "", block.lines[0].confidence or 0.0


@pytest.mark.parametrize("name", TRUTHS)
def test_it_reads_the_projects_own_samples(engine: Formula, name: str) -> None:
    found, confidence = read(engine, FORMULAS / name)
    assert latex.normalize(found) == latex.normalize(TRUTHS[name])
    assert confidence > 0.3


@pytest.mark.parametrize("name", STROKES)
def test_it_reads_strokes_of_people(engine: Formula, samples_dir: Path, name: str) -> None:
    truth = next(
        entry["truth"]
        for entry in json.loads((samples_dir / "math" / "manifest.json").read_text(encoding="utf-8"))
        if entry["file"] == name
    )
    assert latex.normalize(read(engine, samples_dir / "math" / name)[0]) == latex.normalize(truth)


def test_it_is_small_and_says_what_it_can() -> None:
    assert sum(path.stat().st_size for path in PACKAGED.iterdir()) <= 25_000_000
    report = json.loads((PACKAGED / "report.json").read_text(encoding="utf-8"))
    assert (report["split"], report["formulas"]) == ("test", 1000)
    assert report["exact"] >= 0.5
    assert report["parameters"] < 5_000_000
