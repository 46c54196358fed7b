"""One step of the decoder as a graph of ONNX, written out from the weights.

An exporter turns each layer into some hundred nodes, most of which look at shapes, and a step takes longer for them
than for its arithmetic: 3.1 ms against 2.2 ms for the reference configuration, 1.2 ms with weights in 8 bits. Here a
layer has twenty. Tests hold it against ``FormulaNetwork.step``.

Weights in 8 bits are symmetric, with a scale for every ``BLOCK`` of a row (``MatMulNBits`` of ONNX Runtime, which
computes on 8-bit states as well). States are scaled row by row, so that what is read together does not mix.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from copyist.engines.formula.config import ModelConfig
from copyist.engines.formula.onnx_reader import LOGITS, POSITION, TOKENS, cross_names, grown_names, past_names

Weights = Mapping[str, npt.NDArray[np.float32]]
"""The tensors of a ``FormulaNetwork`` by name, and its ``positions``."""

OPSET, IR_VERSION = 23, 11
"""The first opset with ``Attention``, which keeps keys and values; ONNX Runtime has it since 1.23."""
CONTRIB = "com.microsoft"
BLOCK = 32
_EPSILON = 1e-5


def decoder_graph(config: ModelConfig, weights: Weights, *, int8: bool) -> onnx.ModelProto:
    """What ``OnnxReader`` runs for each token."""
    graph = _Graph(weights, int8=int8)
    layers, width = config.layers, config.width
    past, grown, cross = past_names(layers), grown_names(layers), cross_names(layers)
    embedding = graph.constant(weights["embedding.weight"] * np.float32(math.sqrt(width)))
    positions = graph.constant(weights["positions"])
    state = graph.add(graph.node("Gather", embedding, TOKENS), graph.node("Gather", positions, POSITION))
    for number in range(layers):
        keys, values = 2 * number, 2 * number + 1
        layer = _Layer(graph, config, f"layers.{number}.")
        state = layer.written(state, past[keys : values + 1], grown[keys : values + 1])
        state = layer.shown(state, cross[keys : values + 1])
        state = layer.thought(state)
    graph.node("Identity", graph.linear(graph.norm(state, "norm"), "head"), into=[LOGITS])
    return graph.model(_inputs(config, past, cross), _outputs(config, grown, len(weights["head.bias"])))


class _Graph:
    """Nodes and constants as they come."""

    def __init__(self, weights: Weights, *, int8: bool) -> None:
        self.weights, self._int8 = weights, int8
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, into: Sequence[str] = (), domain: str = "", **attributes: Any) -> str:
        """The name of the first output; ``into`` names them all."""
        names = list(into) or [f"value_{len(self._nodes)}"]
        self._nodes.append(helper.make_node(kind, list(inputs), names, domain=domain, **attributes))
        return names[0]

    def constant(self, array: npt.NDArray[Any]) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, one: str, other: str) -> str:
        return self.node("Add", one, other)

    def norm(self, state: str, name: str) -> str:
        scale, shift = (self.constant(self.weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.node("LayerNormalization", state, scale, shift, axis=-1, epsilon=_EPSILON)

    def linear(self, state: str, name: str) -> str:
        weight, bias = self.weights[f"{name}.weight"], self.constant(self.weights[f"{name}.bias"])
        rows, columns = weight.shape
        if not self._int8 or columns % BLOCK:
            return self.node("Gemm", state, self.constant(weight), bias, transB=1)
        numbers, scales = in_8_bits(weight)
        shape = {"N": rows, "K": columns, "bits": 8, "block_size": BLOCK, "accuracy_level": 4}
        inputs = (state, self.constant(numbers), self.constant(scales), "", "", bias)
        return self.node("MatMulNBits", *inputs, domain=CONTRIB, **shape)

    def model(self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
        graph = helper.make_graph(self._nodes, "decoder", inputs, outputs, self._constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="copyist")


class _Layer:
    """The nodes of ``network._Layer`` for one token: (batch, width) in, (batch, width) out."""

    def __init__(self, graph: _Graph, config: ModelConfig, name: str) -> None:
        self._graph, self._name = graph, name
        # For a single token heads are taken apart and joined by a look at the same numbers.
        self._apart = graph.constant(np.array([0, config.heads, 1, config.width // config.heads]))
        self._joined = graph.constant(np.array([0, config.width]))

    def written(self, state: str, past: Sequence[str], grown: Sequence[str]) -> str:
        """Attention to what is written; ``grown`` gets keys and values with one place more than ``past``."""
        graph = self._graph
        asked = self._linear(self._norm(state, 0), "own")
        parts = [f"{self._name}{part}" for part in ("query", "key", "value")]
        graph.node("Split", asked, into=parts, axis=1, num_outputs=3)
        query, key, value = (graph.node("Reshape", part, self._apart) for part in parts)
        found = graph.node("Attention", query, key, value, "", *past, into=[f"{self._name}found", *grown])
        return graph.add(state, self._linear(graph.node("Reshape", found, self._joined), "own_out"))

    def shown(self, state: str, cross: Sequence[str]) -> str:
        """Attention to the picture."""
        graph = self._graph
        query = graph.node("Reshape", self._linear(self._norm(state, 1), "asked"), self._apart)
        found = graph.node("Attention", query, *cross)
        return graph.add(state, self._linear(graph.node("Reshape", found, self._joined), "seen_out"))

    def thought(self, state: str) -> str:
        """The network of two layers."""
        hidden = self._graph.node("Gelu", self._linear(self._norm(state, 2), "wide"))
        return self._graph.add(state, self._linear(hidden, "narrow"))

    def _norm(self, state: str, number: int) -> str:
        return self._graph.norm(state, f"{self._name}norms.{number}")

    def _linear(self, state: str, name: str) -> str:
        return self._graph.linear(state, self._name + name)


def in_8_bits(weight: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """``weight`` (rows, columns) as numbers (rows, blocks, BLOCK), 128 for 0, and scales (rows, blocks)."""
    blocks = weight.reshape(len(weight), -1, BLOCK)
    scales = np.abs(blocks).max(2) / np.float32(127)
    scales[scales == 0] = 1
    numbers = np.round(blocks / scales[..., None]) + 128
    return numbers.astype(np.uint8), scales.astype(np.float32)


def _inputs(config: ModelConfig, past: Sequence[str], cross: Sequence[str]) -> list[onnx.ValueInfoProto]:
    tokens = [
        helper.make_tensor_value_info(TOKENS, TensorProto.INT64, ["batch"]),
        helper.make_tensor_value_info(POSITION, TensorProto.INT64, [1]),
    ]
    return (
        tokens + [_heads(config, name, "written") for name in past] + [_heads(config, name, "places") for name in cross]
    )


def _outputs(config: ModelConfig, grown: Sequence[str], vocabulary: int) -> list[onnx.ValueInfoProto]:
    logits = helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", vocabulary])
    return [logits] + [_heads(config, name, "grown") for name in grown]


def _heads(config: ModelConfig, name: str, length: str) -> onnx.ValueInfoProto:
    shape = ["batch", config.heads, length, config.width // config.heads]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
