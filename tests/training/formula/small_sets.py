"""Folders of formulas small enough for a test, written in a hand that draws a dozen symbols with straight lines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from copyist.engines.formula.config import PRESETS, Frame
from copyist.training.formula.ink import Ink, Written
from copyist.training.formula.inkml import write
from copyist.training.formula.order import CHECKPOINT, FormulaOrder, Recipe

SMALL = MappingProxyType(
    {
        "tiny": replace(
            PRESETS["tiny"], frame=Frame(32, 160), width=32, layers=1, heads=2, feedforward=32, longest=8, dropout=0.1
        )
    }
)
"""A network that a test trains in a second."""

_STROKES: dict[str, list[list[tuple[float, float]]]] = {
    "1": [[(0, 3), (3, 0), (3, 10)]],
    "4": [[(3, 0), (0, 6), (6, 6)], [(4, 3), (4, 10)]],
    "7": [[(0, 0), (6, 0), (2, 10)]],
    "x": [[(0, 2), (6, 10)], [(6, 2), (0, 10)]],
    "z": [[(0, 2), (6, 2), (0, 10), (6, 10)]],
    "+": [[(3, 2), (3, 8)], [(0, 5), (6, 5)]],
    "=": [[(0, 4), (6, 4)], [(0, 7), (6, 7)]],
}


def ink(text: str) -> Ink:
    """``text`` in strokes, symbol after symbol."""
    strokes = [
        np.array(stroke, float) + np.array([9.0 * place, 0.0])
        for place, symbol in enumerate(text)
        for stroke in _STROKES[symbol]
    ]
    return Ink(tuple(strokes))


def texts(count: int, seed: int = 0) -> list[str]:
    """So many sums, all different, the same each time."""
    dice = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        left, right, sum_ = ("".join(dice.choice(list("147xz"), int(dice.integers(1, 3)))) for _ in range(3))
        found[f"{left}+{right}={sum_}"[: int(dice.integers(3, 8))].rstrip("+=")] = None
    return list(found)


def add(folder: Path, split: str, name: str, text: str, *, latex: str | None = None) -> Path:
    """Write one more formula; ``latex`` where it says something else than is drawn."""
    path = folder / split / f"{name}.inkml"
    path.parent.mkdir(parents=True, exist_ok=True)
    write(Written(ink(text), text), path)
    if latex is not None:
        path.write_text(path.read_text().replace(f">{text}<", f">{latex}<"))
    return path


def write_set(folder: Path, *, train: int, valid: int = 6, test: int = 6) -> Path:
    """A folder in MathWriting's layout."""
    for split, count, seed in (("train", train, 0), ("valid", valid, 1), ("test", test, 2)):
        for number, text in enumerate(texts(count, seed)):
            add(folder, split, f"{split}-{number:03}", text)
    return folder


def order(data: Path, out: Path, **changes: object) -> FormulaOrder:
    """A training in this process; ``changes`` are of the recipe."""
    recipe = Recipe.model_validate({"preset": "tiny", "epochs": 2, "batch": 8, **changes})
    return FormulaOrder(data=data, out=out, recipe=recipe, processes=0, threads=1, use_gpu=False)


def told(out: Path, file: str) -> dict[str, object]:
    """What a JSON file of a training holds."""
    content: dict[str, object] = json.loads((out / file).read_text())
    return content


def state_file(out: Path) -> Path:
    """Where a training stands."""
    return out / CHECKPOINT / "state.pt"
