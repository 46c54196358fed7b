from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from copyist.engines.base import Stop
from copyist.engines.formula.config import PRESETS, Frame
from copyist.engines.formula.decoding import Limits, ReadFormula, greedy
from copyist.engines.formula.network import FormulaNetwork
from copyist.engines.formula.onnx_reader import DECODER, ENCODER, OnnxDecoder, OnnxReader
from copyist.engines.formula.reader import ModelFolder
from copyist.engines.formula.torch_reader import TorchDecoder
from copyist.training.formula import decoder_graph
from copyist.training.formula.export import Exported, encoder_in_8_bits, export
from tests.engines.formula.tiny_formula import (
    FORMULAS,
    VOCABULARY,
    picture_of,
    random_network,
    taught_network,
    write_tensors,
)

EXAMPLES = [(picture_of(text), tuple(text)) for text in FORMULAS]


@pytest.fixture(name="taught")
def _taught() -> FormulaNetwork:
    return taught_network()


def _operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


def test_8_bits_are_kept_where_every_example_is_read_as_before(taught: FormulaNetwork, tmp_path: Path) -> None:
    folder = write_tensors(taught, tmp_path)
    done = export(taught, folder, VOCABULARY, EXAMPLES)
    assert done == Exported("float32", "int8", exact=5, exact_in_float32=5, of=5)
    assert "MatMulNBits" in _operators(folder / DECODER)
    found = OnnxReader(folder).read([picture for picture, _ in EXAMPLES], Stop())
    assert [one.latex for one in found if isinstance(one, ReadFormula)] == list(FORMULAS)


def test_8_bits_are_refused_where_an_example_is_lost(
    taught: FormulaNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = decoder_graph.in_8_bits

    def negated(weight: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        numbers, scales = exact(weight)
        return 255 - numbers, scales

    monkeypatch.setattr(decoder_graph, "in_8_bits", negated)
    folder = write_tensors(taught, tmp_path)
    done = export(taught, folder, VOCABULARY, EXAMPLES)
    assert done == Exported("float32", "float32", exact=5, exact_in_float32=5, of=5)
    assert "MatMulNBits" not in _operators(folder / DECODER)


def test_an_export_is_two_valid_files_and_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    network = random_network().train()
    export(network, tmp_path, VOCABULARY)
    assert sorted(path.name for path in tmp_path.iterdir()) == [DECODER, ENCODER]
    assert network.training
    for name in (ENCODER, DECODER):
        onnx.checker.check_model(tmp_path / name, full_check=True)


def test_numbers_in_8_bits_are_near_the_weights() -> None:
    weight = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    weight[1, :32] = 0
    numbers, scales = decoder_graph.in_8_bits(weight)
    again = (numbers.astype(np.float32) - 128) * scales[..., None]
    assert numbers.shape == (3, 2, 32)
    assert np.abs(again.reshape(3, 64) - weight).max() <= scales.max() / 2 + 1e-6


@pytest.mark.slow
def test_the_reference_configuration_reads_as_torch_does(tmp_path: Path) -> None:
    config = replace(PRESETS["reference"], frame=Frame(64, 128, fixed=True), layers=2)
    network = random_network(config)
    folder = write_tensors(network, tmp_path / "model")
    export(network, folder, VOCABULARY)
    pictures = np.random.default_rng(0).random((2, 1, 64, 128), dtype=np.float32)
    limits = Limits(10, loops=False)
    wanted = greedy(TorchDecoder(network), pictures, limits)
    found = greedy(OnnxDecoder(ModelFolder.open(folder)), pictures, limits)
    assert [one.ids for one in found] == [one.ids for one in wanted]
    assert found[0].log_probabilities == pytest.approx(wanted[0].log_probabilities, abs=1e-3)

    smaller = tmp_path / "int8.onnx"
    encoder_in_8_bits(folder / ENCODER, smaller)
    assert smaller.stat().st_size < 0.4 * (folder / ENCODER).stat().st_size
    smaller.replace(folder / ENCODER)
    ours, theirs = (
        decoder.cross(pictures) for decoder in (OnnxDecoder(ModelFolder.open(folder)), TorchDecoder(network))
    )
    keys = ours.cross["cross_keys_0"].numpy()
    assert np.abs(keys - theirs.cross[0][0].numpy()).max() < 0.1 * np.abs(keys).max()
