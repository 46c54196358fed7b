"""The study behind ``benchmarks.formula``; it needs what ``copyist[training]`` installs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from torch import nn

from benchmarks.report import Figure, at_least, at_most, median, plain
from copyist.engines.base import Stop
from copyist.engines.formula.config import PRESETS
from copyist.engines.formula.decoding import Decoder, Floats, Limits, greedy
from copyist.engines.formula.network import FormulaNetwork, parameters
from copyist.engines.formula.onnx_reader import DECODER, ENCODER, OnnxDecoder
from copyist.engines.formula.picture import Picture, batch, prepare
from copyist.engines.formula.reader import ModelFolder
from copyist.engines.formula.torch_reader import TorchDecoder
from copyist.engines.formula.vocabulary import START, Vocabulary
from copyist.training.formula.decoder_graph import decoder_graph
from copyist.training.formula.export import encoder_in_8_bits, export, weights_of

TOKENS = 30
_BAR, _FAST_MS = 3.0, 150.0
_THREADS = 2
_VOCABULARY = Vocabulary(tuple(f"\\token{number}" for number in range(256)))
_LIMITS = Limits(TOKENS - 1, shortest=TOKENS - 1, loops=False)
"""So many tokens and the end, whatever random weights would write."""


@dataclass(frozen=True)
class Took:
    """Seconds of one turn."""

    wall: float
    cpu: float


def speed(*, quick: bool) -> list[Figure]:
    """The figures; ``quick`` takes a single turn."""
    turns = 1 if quick else 7
    before = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    try:
        with tempfile.TemporaryDirectory(prefix="copyist-formula-") as made:
            return [*_reference(Path(made), turns), *_compact(Path(made), turns)]
    finally:
        torch.set_num_threads(before)


def _reference(work: Path, turns: int) -> list[Figure]:
    network = _network("reference")
    folders = _written(network, work / "reference")
    pictures = np.random.default_rng(0).random((1, 1, 384, 384), dtype=np.float32)
    without_cache = PlainPyTorch(network)
    ways = {
        "plain": lambda: without_cache.write(pictures),
        "torch": _way(TorchDecoder(network), pictures),
        "float32": _way(_onnx(folders["float32"]), pictures),
        "int8": _way(_onnx(folders["int8"]), pictures),
    }
    took = _in_turns(ways, turns)
    slow = took["plain"]
    figures = [
        plain("reference configuration: weights", f"{parameters(network) / 1e6:.2f} M", f"{len(_VOCABULARY)} tokens"),
        plain("plain PyTorch, no cache", _ms(slow), "median of the turns; wall and CPU time"),
    ]
    for name, about in (
        ("torch", "torch, cache"),
        ("float32", "ONNX Runtime, float32"),
        ("int8", "ONNX Runtime, int8"),
    ):
        wall, cpu = _ratio(slow, took[name])
        note = f"{_ms(took[name])}; by CPU time {cpu:.2f}"
        what = f"{about}: times faster than plain PyTorch"
        figures.append(at_least(what, wall, _BAR, note=note) if name == "int8" else plain(what, f"{wall:.2f}", note))
    return figures


def _compact(work: Path, turns: int) -> list[Figure]:
    network = _network("compact")
    folders = _written(network, work / "compact")
    frame, picture = network.config.frame, _picture()
    readers = {name: _onnx(folder) for name, folder in folders.items()}
    ways = {
        name: lambda decoder=decoder: greedy(decoder, batch([prepare(picture, frame).pixels]), _LIMITS)
        for name, decoder in readers.items()
    }
    took = _in_turns(ways, turns)
    size = " x ".join(map(str, prepare(picture, frame).pixels.shape))
    files = {name: sum(path.stat().st_size for path in folder.glob("*.onnx")) / 1e6 for name, folder in folders.items()}
    return [
        plain("fast configuration: weights", f"{parameters(network) / 1e6:.2f} M", f"a picture of {size} pixels"),
        *[
            at_most(
                f"fast configuration, {name}: one formula",
                1000 * median([one.wall for one in took[name]]),
                _FAST_MS,
                unit=" ms",
                note=f"{1000 * median([one.cpu for one in took[name]]):.0f} ms of CPU, files of {files[name]:.1f} MB",
            )
            for name in folders
        ],
    ]


class PlainPyTorch:
    """The same network as torch's own parts make it: all that is written is decoded anew for each token."""

    def __init__(self, network: FormulaNetwork) -> None:
        config = network.config
        layer = nn.TransformerDecoderLayer(config.width, config.heads, config.feedforward, batch_first=True)
        self._network, self._decoder = network, nn.TransformerDecoder(layer, config.layers).eval()

    def write(self, pictures: Floats) -> list[int]:
        """The tokens of one picture."""
        network = self._network
        with torch.inference_mode():
            memory = network.memory(torch.from_numpy(pictures))
            ids = torch.tensor([[START]])
            for _ in range(TOKENS):
                length = ids.shape[1]
                states = network.embedding(ids) * network.config.width**0.5 + network.positions[:length]
                mask = nn.Transformer.generate_square_subsequent_mask(length)
                states = self._decoder(states, memory, tgt_mask=mask, tgt_is_causal=True)
                ids = torch.cat([ids, network.head(states[:, -1]).argmax(-1, keepdim=True)], 1)
        return [int(number) for number in ids[0, 1:]]


def _network(preset: str) -> FormulaNetwork:
    torch.manual_seed(0)
    network = FormulaNetwork(PRESETS[preset], len(_VOCABULARY))
    network.eval()
    return network


def _written(network: FormulaNetwork, folder: Path) -> dict[str, Path]:
    """Folders of the model in float32, and in 8 bits wherever an export would try that."""
    folders = {name: folder / name for name in ("float32", "int8")}
    for made in folders.values():
        made.mkdir(parents=True)
        network.config.save(made)
        _VOCABULARY.save(made)
    export(network, folders["float32"], _VOCABULARY)
    onnx.save(decoder_graph(network.config, weights_of(network), int8=True), folders["int8"] / DECODER)
    if network.config.encoder.startswith("swin"):
        encoder_in_8_bits(folders["float32"] / ENCODER, folders["int8"] / ENCODER)
    else:
        (folders["int8"] / ENCODER).write_bytes((folders["float32"] / ENCODER).read_bytes())
    return folders


def _onnx(folder: Path) -> OnnxDecoder:
    return OnnxDecoder(ModelFolder.open(folder), threads=_THREADS)


def _way(decoder: Decoder, pictures: Floats) -> Callable[[], object]:
    return lambda: greedy(decoder, pictures, _LIMITS, Stop())


def _in_turns(ways: Mapping[str, Callable[[], object]], turns: int) -> dict[str, list[Took]]:
    for way in ways.values():
        way()  # Memory is had, threads are there.
    took: dict[str, list[Took]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            took[name].append(Took(time.perf_counter() - wall, time.process_time() - cpu))
    return took


def _ratio(slow: list[Took], fast: list[Took]) -> tuple[float, float]:
    """How often ``fast`` fits into ``slow``, by the clock and by CPU time."""
    pairs = list(zip(slow, fast, strict=True))
    return median([one.wall / other.wall for one, other in pairs]), median(
        [one.cpu / other.cpu for one, other in pairs]
    )


def _ms(took: list[Took]) -> str:
    return f"{1000 * median([one.wall for one in took]):.0f} ms, {1000 * median([one.cpu for one in took]):.0f} ms CPU"


def _picture() -> Picture:
    """Writing that fills the whole frame: two long lines."""
    canvas = np.full((240, 1000), 255, np.uint8)
    for line, text in enumerate(("x+a=b-37+y+12=z-4+6a+9", "a+b=y-7+x=31-z+8=2x+5")):
        cv2.putText(canvas, text, (20, 90 + 100 * line), cv2.FONT_HERSHEY_SIMPLEX, 2.2, 0, 4, cv2.LINE_AA)
    return canvas
