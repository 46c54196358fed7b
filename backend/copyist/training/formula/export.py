"""Writes what ONNX Runtime reads: ``encoder.onnx`` and ``decoder.onnx``, in 8 bits where nothing is lost by it.

The encoder goes through torch's older exporter: the newer one takes 44 s instead of 6 for the reference configuration,
and its graph is no faster. Its 8 bits are for Transformers (Swin): weights by column, states by the picture's own
range (``DynamicQuantizeMatMul``). A convolutional encoder takes milliseconds and stays as it is. For the decoder see
``decoder_graph``.
"""

# mypy: disable-error-code="misc"
# torch has no types here, so that a module of it would be refused for its base class.

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.quant_utils import add_pre_process_metadata
from torch import Tensor, nn

from copyist.engines.base import Stop
from copyist.engines.formula.decoding import ReadFormula
from copyist.engines.formula.network import FormulaNetwork
from copyist.engines.formula.onnx_reader import DECODER, ENCODER, PICTURES, OnnxReader, cross_names
from copyist.engines.formula.picture import Picture
from copyist.engines.formula.reader import Search
from copyist.engines.formula.vocabulary import Vocabulary
from copyist.training.formula.decoder_graph import decoder_graph

log = logging.getLogger(__name__)

_OPSET = 17
FLOAT, INT8 = "float32", "int8"

Example = tuple[Picture, Sequence[str]]
"""A picture as people send it, and the canonical tokens of its formula."""


@dataclass(frozen=True)
class Exported:
    """How the two files are written, and how many ``of`` the examples are read exactly: so, and in float32."""

    encoder: str = FLOAT
    decoder: str = FLOAT
    exact: int = 0
    exact_in_float32: int = 0
    of: int = 0


def export(network: FormulaNetwork, folder: Path, vocabulary: Vocabulary, examples: Sequence[Example] = ()) -> Exported:
    """Write ``encoder.onnx`` and ``decoder.onnx`` into ``folder``, each whole or not at all.

    In 8 bits where that reads no fewer of ``examples`` exactly than float32 does; without examples nothing is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as made:
        work = Path(made)
        network.config.save(work)
        vocabulary.save(work)
        _write_encoder(network, work / ENCODER)
        onnx.save(decoder_graph(network.config, weights_of(network), int8=False), work / DECODER)
        done = _smaller(network, work, examples) if examples else Exported()
        for name in (ENCODER, DECODER):
            (work / name).replace(folder / name)
    return done


def _smaller(network: FormulaNetwork, work: Path, examples: Sequence[Example]) -> Exported:
    """Put the 8-bit files in the place of the others, one after the other, as long as nothing is lost."""
    exact = in_float32 = _exact(work, examples)
    chosen = {ENCODER: FLOAT, DECODER: FLOAT}
    candidates: list[tuple[str, Callable[[Path], None]]] = [
        (DECODER, lambda path: onnx.save(decoder_graph(network.config, weights_of(network), int8=True), path)),
        (ENCODER, lambda path: encoder_in_8_bits(work / f"{ENCODER}.kept", path)),
    ]
    for name, write in candidates:
        if name == ENCODER and not _is_transformer(network):
            continue
        kept = (work / name).rename(work / f"{name}.kept")
        write(work / name)
        found = _exact(work, examples)
        if found >= exact:
            chosen[name], exact = INT8, found
        else:
            log.info("%s in 8 bits reads %d of %d, not %d: it stays in float32", name, found, len(examples), exact)
            kept.replace(work / name)
    return Exported(chosen[ENCODER], chosen[DECODER], exact, in_float32, len(examples))


def _exact(folder: Path, examples: Sequence[Example]) -> int:
    """How many of ``examples`` the model in ``folder`` reads without an error."""
    reader = OnnxReader(folder, Search(beam=1))
    found = reader.read([picture for picture, _ in examples], Stop())
    reader.close()
    return sum(
        isinstance(one, ReadFormula) and one.tokens == tuple(truth)
        for one, (_, truth) in zip(found, examples, strict=True)
    )


def encoder_in_8_bits(source: Path, target: Path) -> None:
    """Write the encoder ``source`` with 8-bit weights in its products of matrices"""
    model = onnx.load(source)
    # The preparation that is asked for otherwise is what an exporter of torch leaves to be done: nothing.
    add_pre_process_metadata(model)
    quantize_dynamic(model, target, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)


class _Encoder(nn.Module):
    """Pictures to keys and values of each layer, one after the other, in the order of ``cross_names``."""

    def __init__(self, network: FormulaNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        return tuple(part for layer in self.network.cross_each(pictures) for part in layer.unbind())


def _write_encoder(network: FormulaNetwork, path: Path) -> None:
    frame = network.config.frame
    names = cross_names(network.config.layers)
    moving = {PICTURES: {0: "batch"}} | {name: {0: "batch", 2: "places"} for name in names}
    if not frame.fixed:
        moving[PICTURES] |= {2: "height", 3: "width"}
    was, device = network.training, network.head.weight.device
    example = torch.zeros(1, 1, frame.height, frame.width, device=device)
    with warnings.catch_warnings():
        # Of the older exporter's age, and of Swin's shapes, which are constants for one size of picture.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Encoder(network).eval(),
            (example,),
            str(path),
            input_names=[PICTURES],
            output_names=names,
            dynamic_axes=moving,
            opset_version=_OPSET,
            dynamo=False,
        )
    network.train(was)


def weights_of(network: FormulaNetwork) -> dict[str, npt.NDArray[np.float32]]:
    """What ``decoder_graph`` takes."""
    tensors = {**network.state_dict(), "positions": network.positions}
    return {name: tensor.detach().float().cpu().numpy() for name, tensor in tensors.items()}


def _is_transformer(network: FormulaNetwork) -> bool:
    sizes = {True: 0, False: 0}
    for module in network.encoder.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            sizes[isinstance(module, nn.Linear)] += module.weight.numel()
    return sizes[True] > sizes[False]
