from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from copyist.engines.base import NotReady, Stop, TimedOut
from copyist.engines.formula import torch_reader
from copyist.engines.formula.decoding import Floats, Limits, ReadFormula, greedy
from copyist.engines.formula.network import FormulaNetwork
from copyist.engines.formula.onnx_reader import DECODER, ENCODER, OnnxDecoder, OnnxReader
from copyist.engines.formula.picture import PictureUnusable
from copyist.engines.formula.reader import CUT_AT_MOST, ModelFolder, ModelReader, Search
from copyist.engines.formula.torch_reader import TorchDecoder, TorchReader
from copyist.engines.formula.vocabulary import Vocabulary
from copyist.engines.generation import Finish
from copyist.training.formula.export import export
from tests.engines.formula.tiny_formula import (
    FORMULAS,
    VOCABULARY,
    picture_of,
    write_tensors,
)
from tests.servers import process_environment

Open = Callable[[Path], ModelReader]
READERS = {"onnx": OnnxReader, "torch": lambda folder, *search: TorchReader(folder, "cpu", *search)}
PICTURES = [picture_of(text) for text in FORMULAS]


@pytest.fixture
def folder(taught_folder: Path, tmp_path: Path) -> Path:
    """The taught model, to be damaged."""
    return Path(shutil.copytree(taught_folder, tmp_path / "model"))


def _latex(reader: ModelReader, pictures: list[np.ndarray]) -> list[str]:
    return [found.latex for found in reader.read(pictures, Stop()) if isinstance(found, ReadFormula)]


def _noise(count: int, height: int, width: int) -> Floats:
    return np.random.default_rng(0).random((count, 1, height, width), dtype=np.float32)


@pytest.mark.parametrize("kind", READERS)
def test_pictures_of_several_sizes_are_read_in_order(kind: str, taught_folder: Path) -> None:
    reader = READERS[kind](taught_folder)
    found = reader.read(PICTURES, Stop())
    assert [one.latex for one in found if isinstance(one, ReadFormula)] == list(FORMULAS)
    first = found[0]
    assert isinstance(first, ReadFormula)
    assert (first.tokens, first.finish, first.others) == (tuple(FORMULAS[0]), Finish.STOP, ())
    assert 0.9 < first.least <= first.confidence <= 1
    assert reader.version
    reader.close()


def test_onnx_runtime_computes_what_torch_computes(taught: FormulaNetwork, taught_folder: Path) -> None:
    model = ModelFolder.open(taught_folder)
    onnx_decoder, torch_decoder = OnnxDecoder(model), TorchDecoder(taught)
    for size in ((32, 96), (96, 320)):
        pictures, tokens = _noise(2, *size), np.array([5, 9])
        states = onnx_decoder.cross(pictures), torch_decoder.cross(pictures)
        for position in range(4):
            ours = onnx_decoder.step(tokens, position, states[0])
            theirs = torch_decoder.step(tokens, position, states[1])
            np.testing.assert_allclose(ours, theirs, atol=1e-3)
            tokens = ours.argmax(1)


@pytest.mark.parametrize("int8", [False, True])
def test_a_picture_says_the_same_alone_and_among_others(int8: bool, tmp_path: Path, taught: FormulaNetwork) -> None:
    folder = write_tensors(taught, tmp_path / "model")
    export(taught, folder, VOCABULARY, [(PICTURES[2], tuple(FORMULAS[2]))] if int8 else [])
    decoder = OnnxDecoder(ModelFolder.open(folder))
    pictures = _noise(5, 64, 128)
    together = greedy(decoder, pictures, Limits(20))
    for number, found in enumerate(together):
        (alone,) = greedy(decoder, pictures[number : number + 1], Limits(20))
        assert alone.ids == found.ids
        assert alone.log_probabilities == pytest.approx(found.log_probabilities, abs=1e-4)


def test_the_reader_for_the_cpu_loads_no_torch(taught_folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from copyist.engines.formula.onnx_reader import OnnxReader; "
        "OnnxReader(Path(sys.argv[1])); print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(taught_folder)],
        env=process_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {"torch", "timm", "onnx", "transformers"} & set(done.stdout.split()) == set()


@pytest.mark.parametrize("kind", READERS)
def test_what_holds_no_ink_fails_no_other(kind: str, taught_folder: Path) -> None:
    blank = np.full((60, 200), 255, np.uint8)
    found = READERS[kind](taught_folder).read([PICTURES[0], blank, PICTURES[1]], Stop())
    assert isinstance(found[1], PictureUnusable)
    assert found[1].code == "no_ink"
    assert [one.latex for one in found if isinstance(one, ReadFormula)] == [FORMULAS[0], FORMULAS[1]]


@pytest.mark.parametrize("kind", READERS)
def test_a_reader_that_is_asked_to_stop_stops(kind: str, taught_folder: Path) -> None:
    stop = Stop()
    stop.ask(TimedOut())
    with pytest.raises(TimedOut):
        READERS[kind](taught_folder).read(PICTURES, stop)


def test_a_reading_that_was_cut_is_not_trusted(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"longest": 2}))
    (found,) = OnnxReader(folder).read(PICTURES[:1], Stop())
    assert isinstance(found, ReadFormula)
    assert (found.latex, found.finish) == (FORMULAS[0][:2], Finish.LENGTH)
    assert found.least > 0.9
    assert found.confidence <= CUT_AT_MOST


def test_confidence_is_what_the_calibration_makes_of_it(folder: Path) -> None:
    (folder / "calibration.json").write_text('{"a": 1.0, "b": -8.0}')
    (found,) = OnnxReader(folder).read(PICTURES[:1], Stop())
    assert isinstance(found, ReadFormula)
    assert found.confidence < 0.7 < 0.9 < found.least


def test_other_readings_are_looked_for_where_it_is_unsure(taught_folder: Path) -> None:
    reader = OnnxReader(taught_folder, Search(beam=3, unsure=1.1))
    (found,) = reader.read(PICTURES[:1], Stop())
    assert isinstance(found, ReadFormula)
    assert found.latex == FORMULAS[0]
    assert 1 <= len(found.others) <= 3
    assert max(sure for _, sure in found.others) < found.confidence


def test_too_little_memory_halves_the_batch(taught_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, sizes = TorchReader(taught_folder, "cpu"), []
    whole = TorchDecoder.cross

    def small(self: TorchDecoder, pictures: Floats) -> object:
        sizes.append(len(pictures))
        if len(pictures) > 2:
            raise torch.OutOfMemoryError
        return whole(self, pictures)

    monkeypatch.setattr(TorchDecoder, "cross", small)
    assert _latex(reader, [PICTURES[0]] * 5) == [FORMULAS[0]] * 5
    assert sizes == [5, 2, 3, 1, 2]


def test_too_little_memory_for_one_picture_is_said(taught_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(self: TorchDecoder, pictures: Floats) -> object:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(TorchDecoder, "cross", none)
    with pytest.raises(MemoryError, match="single formula"):
        TorchReader(taught_folder, "cpu").read(PICTURES[:2], Stop())


def _cut(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])


def _one_token_more(folder: Path) -> None:
    Vocabulary((*VOCABULARY.words, "z")).save(folder)


def _another_model(folder: Path) -> None:
    """A whole ONNX file, of something else."""
    node = onnx.helper.make_node("Relu", ["in"], ["out"])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("in", "out")]
    graph = onnx.helper.make_graph([node], "other", ends[:1], ends[1:])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), folder / ENCODER)


def _other_shape(folder: Path) -> None:
    """The decoder of a model with as many layers, and other heads."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"heads": 8}))


DAMAGES = {
    "a cut encoder": (lambda folder: _cut(folder, ENCODER), "encoder.onnx is damaged"),
    "a cut decoder": (lambda folder: _cut(folder, DECODER), "decoder.onnx is damaged"),
    "a text": (lambda folder: (folder / ENCODER).write_text("hello"), "encoder.onnx is damaged"),
    "no decoder": (lambda folder: (folder / DECODER).unlink(), "decoder.onnx is missing"),
    "another model": (_another_model, "encoder.onnx is not of the model"),
    "another shape": (_other_shape, "is not of the model"),
    "a vocabulary of another": (_one_token_more, "knows 21 tokens and its vocabulary.json 22"),
    "no vocabulary": (lambda folder: (folder / "vocabulary.json").unlink(), "vocabulary.json is missing"),
    "a broken config": (lambda folder: (folder / "config.json").write_text("{"), "cannot be used"),
    "another's config": (lambda folder: (folder / "config.json").write_text("{}"), "is not of a copyist-formula"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_folder_is_refused_with_a_sentence(damage: str, folder: Path) -> None:
    do, sentence = DAMAGES[damage]
    do(folder)
    with pytest.raises(NotReady, match=sentence) as refused:
        OnnxReader(folder)
    assert str(refused.value).endswith("set FORMULA_MODEL to another folder.")


@pytest.mark.parametrize(
    ("do", "sentence"),
    [
        (lambda folder: _cut(folder, "model.safetensors"), "model.safetensors is damaged"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (_one_token_more, "does not fit its config.json and vocabulary.json"),
    ],
)
def test_damaged_tensors_are_refused_with_a_sentence(do: Callable[[Path], None], sentence: str, folder: Path) -> None:
    do(folder)
    with pytest.raises(NotReady, match=sentence):
        TorchReader(folder, "cpu")


@pytest.mark.parametrize("claim", [{"layers": 64}, {"feedforward": 65_536}, {"width": 4096}])
def test_no_memory_is_taken_for_what_the_tensors_are_not(
    claim: dict[str, int], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch_reader, "from_weights")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | claim))
    with pytest.raises(NotReady, match=r"does not fit its config\.json"):
        TorchReader(folder, "cpu")


def test_no_folder_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match=r"config\.json is missing"):
        OnnxReader(tmp_path / "nowhere")
