"""One tiny checkpoint of dots.ocr for all tests, and copies of it to be broken."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.engines.dots.tiny_dots import write_tiny_dots

if TYPE_CHECKING:
    from copyist.engines.dots.local.model import Model


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a checkpoint with random weights, which nobody changes."""
    return write_tiny_dots(tmp_path_factory.mktemp("weights") / "dots.ocr")


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    """Return the loaded checkpoint, in float32 on one thread."""
    import torch

    from copyist.engines.dots.local.model import load

    torch.set_num_threads(1)
    return load(folder, dtype="fp32", device="cpu")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the checkpoint, to be broken."""
    return shutil.copytree(folder, tmp_path / "dots.ocr")
