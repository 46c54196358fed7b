"""Models of formulas that several tests read with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from copyist.engines.formula.network import FormulaNetwork
from copyist.training.formula.export import export
from tests.engines.formula.tiny_formula import VOCABULARY, taught_network, write_tensors


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads of torch are slower than one where another process works beside them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def taught() -> FormulaNetwork:
    """A network that reads ``tiny_formula.FORMULAS``."""
    return taught_network()


@pytest.fixture(scope="session")
def taught_folder(taught: FormulaNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder, with the tensors and with ONNX files in float32; to be copied by those who change it."""
    folder = write_tensors(taught, tmp_path_factory.mktemp("formula") / "taught")
    export(taught, folder, VOCABULARY)
    return folder
