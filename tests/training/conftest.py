"""Runs small enough for a test: a tiny TrOCR as the base, and a folder with an order and drawn lines it cannot read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from copyist.engines.lines import crop, find_lines
from copyist.training.examples import Example, Split
from copyist.training.order import EXAMPLES, LINES, ORDER, Order, Parameters
from tests.engines.drawing import drawn
from tests.engines.tiny_trocr import WORDS, write_reading_trocr

QUICK = {"encoder_layers": 1, "rank": 8, "learning_rate": 5e-3, "batch": 4, "epochs": 2, "variants": 1, "replay": 0.0}

RunWriter = Callable[..., Path]


def line(text: str, size: int) -> npt.NDArray[np.uint8]:
    """The picture of a line as it is cut out of a page."""
    page = drawn(text, size=size)
    return crop(page, find_lines(page)[0])


def mirrored(text: str, size: int) -> npt.NDArray[np.uint8]:
    """A line in a hand that the base cannot read: it writes from right to left."""
    return np.ascontiguousarray(line(text, size)[:, ::-1])


def add_example(folder: Path, picture: npt.NDArray[np.uint8], text: str, split: Split = Split.TRAIN) -> Path:
    """Put one more line into the run in ``folder``; returns its picture's path."""
    png = cv2.imencode(".png", picture)[1].tobytes()
    sha256 = hashlib.sha256(png).hexdigest()
    path = folder / LINES / f"{sha256}.png"
    path.write_bytes(png)
    example = Example(
        sha256=sha256,
        text=text,
        page=hashlib.sha256(text.encode()).hexdigest(),
        split=split,
        corrected=True,
        read="",
        line=f"job.1.{len(text)}",
        revision=1,
    )
    with (folder / EXAMPLES).open("a", encoding="utf-8") as file:
        file.write(example.model_dump_json() + "\n")
    return path


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reading_trocr(tmp_path_factory.mktemp("base") / "trocr-tiny-handwritten")


@pytest.fixture
def run_folder(tmp_path: Path, tiny_base: Path) -> RunWriter:
    """Writes the folder of a run: 12 lines to learn from, 4 dev lines; ``changes`` are of its ``Parameters``."""

    def write(
        name: str = "run", *, base: Path = tiny_base, order: dict[str, Any] | None = None, **changes: Any
    ) -> Path:
        folder = tmp_path / name
        (folder / LINES).mkdir(parents=True)
        asked = Order(
            run_id=name,
            base=base,
            parameters=Parameters.model_validate(QUICK | changes),
            use_gpu=False,
            **(order or {}),
        )
        (folder / ORDER).write_text(asked.model_dump_json())
        for text in WORDS:
            for size in (34, 38, 42):
                add_example(folder, mirrored(text, size), text)
            add_example(folder, mirrored(text, 40), text, Split.DEV)
        return folder

    return write
