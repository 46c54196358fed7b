"""dots.ocr written down a second time, slowly, in float64 and with patches addressed by row and column.

It shares no code with the engine, so that a slip in one of them shows. Written from the description of the layout, not
from the engine's modules: loops where those have tensors, complex numbers where those turn pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def tensors(folder: Path) -> dict[str, Array]:
    """Every tensor of a checkpoint, whatever its files, in float64."""
    import torch
    from safetensors.torch import load_file

    return {
        name: tensor.to(torch.float64).numpy()
        for path in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def patch(pixels: npt.NDArray[np.uint8], row: int, column: int) -> Array:
    """The 588 numbers of one patch: channel by channel, pixel row by pixel row."""
    numbers = []
    for channel in range(3):
        for y in range(row * 14, row * 14 + 14):
            for x in range(column * 14, column * 14 + 14):
                numbers.append((int(pixels[y, x, channel]) / 255 - MEAN[channel]) / DEVIATION[channel])
    return np.array(numbers)


def tower(weights: Mapping[str, Array], config: Mapping[str, Any], pixels: npt.NDArray[np.uint8]) -> Array:
    """The rows that one image becomes, in raster order of its cells of 28 x 28 pixels."""
    own = {name.removeprefix("vision_tower."): value for name, value in weights.items()}
    eps, heads = config["rms_norm_eps"], config["num_attention_heads"]
    down, across = pixels.shape[0] // 14, pixels.shape[1] // 14
    places = [(row, column) for row in range(down) for column in range(across)]
    kernel = own["patch_embed.patchifier.proj.weight"].reshape(config["embed_dim"], 588)
    rows = np.array([kernel @ patch(pixels, *place) for place in places]) + own["patch_embed.patchifier.proj.bias"]
    rows = rms(rows, own["patch_embed.patchifier.norm.weight"], eps)
    for number in range(config["num_hidden_layers"]):
        block = {name.removeprefix(f"blocks.{number}."): value for name, value in own.items()}
        rows = rows + attended(rms(rows, block["norm1.weight"], eps), block, places, heads)
        inner = rms(rows, block["norm2.weight"], eps)
        gate = inner @ block["mlp.fc1.weight"].T
        rows = rows + (silu(gate) * (inner @ block["mlp.fc3.weight"].T)) @ block["mlp.fc2.weight"].T
    at = dict(zip(places, rms(rows, own["post_trunk_norm.weight"], eps), strict=True))
    return np.array([cell(own, at, y, x) for y in range(0, down, 2) for x in range(0, across, 2)])


def attended(rows: Array, block: Mapping[str, Array], places: Sequence[tuple[int, int]], heads: int) -> Array:
    """Self-attention over all patches of one image, head by head."""
    width = rows.shape[1] // heads
    query, key, value = np.split(rows @ block["attn.qkv.weight"].T, 3, axis=1)
    angles = np.array([angle(*place, width) for place in places])
    mixed = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = rotated(query[:, part], angles) @ rotated(key[:, part], angles).T / math.sqrt(width)
        mixed.append(softmax(scores) @ value[:, part])
    return np.concatenate(mixed, axis=1) @ block["attn.proj.weight"].T


def angle(row: int, column: int, width: int) -> list[float]:
    """The angles of the pairs of a head: those of the row, then those of the column."""
    quarter = width // 4
    frequencies = [10000.0 ** (-j / quarter) for j in range(quarter)]
    return [row * f for f in frequencies] + [column * f for f in frequencies]


def rotated(vectors: Array, angles: Array) -> Array:
    """Each pair of elements, d and d + half, as a complex number, turned by its angle."""
    half = vectors.shape[1] // 2
    turned = (vectors[:, :half] + 1j * vectors[:, half:]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag], axis=1)


def cell(own: Mapping[str, Array], at: Mapping[tuple[int, int], Array], y: int, x: int) -> Array:
    """The four patches of a cell as one row for the language model."""
    normed = [
        layer_norm(at[y + dy, x + dx], own["merger.ln_q.weight"], own["merger.ln_q.bias"])
        for dy in (0, 1)
        for dx in (0, 1)
    ]
    hidden = own["merger.mlp.0.weight"] @ np.concatenate(normed) + own["merger.mlp.0.bias"]
    exact = np.array([value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in hidden])
    return own["merger.mlp.2.weight"] @ exact + own["merger.mlp.2.bias"]


def logits(weights: Mapping[str, Array], config: Mapping[str, Any], rows: Array) -> Array:
    """Qwen2's scores after every one of ``rows``, which stand at positions 0, 1, 2, ...; no cache."""
    eps = config["rms_norm_eps"]
    for number in range(config["num_hidden_layers"]):
        start = f"model.layers.{number}."
        layer = {name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)}
        rows = rows + looked_back(rms(rows, layer["input_layernorm.weight"], eps), layer, config)
        inner = rms(rows, layer["post_attention_layernorm.weight"], eps)
        gate = silu(inner @ layer["mlp.gate_proj.weight"].T)
        rows = rows + (gate * (inner @ layer["mlp.up_proj.weight"].T)) @ layer["mlp.down_proj.weight"].T
    return rms(rows, weights["model.norm.weight"], eps) @ weights["lm_head.weight"].T


def looked_back(rows: Array, layer: Mapping[str, Array], config: Mapping[str, Any]) -> Array:
    """Causal attention, several query heads on one key head."""
    heads, kept = config["num_attention_heads"], config["num_key_value_heads"]
    width = rows.shape[1] // heads
    query, key, value = (
        rows @ layer[f"self_attn.{name}_proj.weight"].T + layer[f"self_attn.{name}_proj.bias"] for name in "qkv"
    )
    frequencies = np.array([config["rope_theta"] ** (-2 * j / width) for j in range(width // 2)])
    angles = np.arange(len(rows))[:, None] * frequencies
    later = np.triu(np.full((len(rows), len(rows)), -np.inf), 1)
    mixed = []
    for head in range(heads):
        own, shared = slice(head * width, (head + 1) * width), head // (heads // kept)
        other = slice(shared * width, (shared + 1) * width)
        scores = rotated(query[:, own], angles) @ rotated(key[:, other], angles).T / math.sqrt(width)
        mixed.append(softmax(scores + later) @ value[:, other])
    return np.concatenate(mixed, axis=1) @ layer["self_attn.o_proj.weight"].T


def rms(rows: Array, weight: Array, eps: float) -> Array:
    return rows / np.sqrt((rows**2).mean(axis=-1, keepdims=True) + eps) * weight


def layer_norm(row: Array, weight: Array, bias: Array) -> Array:
    return (row - row.mean()) / math.sqrt(row.var() + 1e-6) * weight + bias


def silu(values: Array) -> Array:
    return values / (1 + np.exp(-values))


def softmax(scores: Array) -> Array:
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)
