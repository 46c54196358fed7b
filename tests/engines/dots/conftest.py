"""One tiny checkpoint of dots.ocr for all tests, copies of it to be broken, and a server that has it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from copyist.engines.dots.remote import client, servers
from tests.engines.dots.tiny_dots import write_tiny_dots
from tests.fake_vllm import FakeVllm

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


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wait for less between tries, and know of no server from another test."""
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.02)
    servers.forget()
    yield
    servers.forget()


@pytest.fixture
def fake() -> Iterator[FakeVllm]:
    """Serve the model, by a fake that answers as it is told."""
    with FakeVllm() as server:
        yield server
