"""Formula models of ours for tests: random ones, and one that was taught a handful of pictures in seconds."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch.nn import functional

from copyist.engines.formula.config import PRESETS, TENSORS, ModelConfig
from copyist.engines.formula.network import FormulaNetwork
from copyist.engines.formula.picture import batch, prepare
from copyist.engines.formula.vocabulary import END, START, Vocabulary

Picture = npt.NDArray[np.uint8]

TINY = replace(PRESETS["tiny"], longest=24)
VOCABULARY = Vocabulary(tuple("+-0123456789=abxy"))
FORMULAS = ("1+2=3", "x-4", "8", "a+b=y-7", "9=9")
"""What the taught model reads when ``picture_of`` has drawn it."""


def picture_of(text: str) -> Picture:
    """``text`` in black on white, 40 pixels high."""
    canvas = np.full((80, 40 + 30 * len(text)), 255, np.uint8)
    cv2.putText(canvas, text, (20, 58), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 0, 3, cv2.LINE_AA)
    return canvas


def random_network(config: ModelConfig = TINY, vocabulary: Vocabulary = VOCABULARY) -> FormulaNetwork:
    """A network with the same random weights each time, ready to read."""
    torch.manual_seed(0)
    return FormulaNetwork(config, len(vocabulary)).eval()


@cache
def taught_network() -> FormulaNetwork:
    """A network that reads ``FORMULAS``; three seconds on one thread, and many more on two that are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _taught()
    finally:
        torch.set_num_threads(threads)


def write_talking_formula(folder: Path) -> Path:
    """Write the folder of a model, for torch, that writes something of every picture: random, and without an end."""
    network = random_network()
    with torch.no_grad():
        network.head.bias[END] = -100.0
    return write_tensors(network, folder)


def write_tensors(network: FormulaNetwork, folder: Path, vocabulary: Vocabulary = VOCABULARY) -> Path:
    """Write the folder of a model without its ONNX files."""
    folder.mkdir(parents=True, exist_ok=True)
    network.config.save(folder)
    vocabulary.save(folder)
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / TENSORS)
    return folder


def _taught() -> FormulaNetwork:
    network = random_network().train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    lessons = [
        (torch.from_numpy(batch([prepare(picture_of(text), TINY.frame).pixels])), _ids(text)) for text in FORMULAS
    ]
    # A random encoder tells a handful of pictures apart; only the decoder learns.
    network.encoder.eval().requires_grad_(False)
    for _ in range(40):
        optimizer.zero_grad()
        for pictures, ids in lessons:
            logits = network(pictures, ids[:, :-1])
            functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return network.eval()


def _ids(text: str) -> torch.Tensor:
    return torch.tensor([[START, *VOCABULARY.ids(list(text)), END]])
