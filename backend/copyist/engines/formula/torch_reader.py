"""Reads formulas with torch, on a GPU or a CPU, from ``model.safetensors``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from copyist.engines.base import Stop
from copyist.engines.formula.config import TENSORS
from copyist.engines.formula.decoding import Floats, Integers, ReadFormula
from copyist.engines.formula.network import FormulaNetwork, from_weights
from copyist.engines.formula.picture import Picture
from copyist.engines.formula.reader import ModelFolder, ModelReader, Search

_AT_ONCE_ON_CPU, _AT_ONCE_ON_GPU = 8, 64
_MISFIT = "does not fit its config.json and vocabulary.json"


class TorchReader(ModelReader):
    """A model in memory; ``device`` is a name of torch's, ``cpu`` or ``cuda``.

    Where there is too little memory for a batch, half of it is tried, and so on.
    """

    def __init__(self, folder: Path, device: str, search: Search | None = None) -> None:
        """Raises ``NotReady`` for a folder that holds no model of ours, or one that is damaged."""
        model = ModelFolder.open(folder)
        self._device = device
        self.at_once = _AT_ONCE_ON_CPU if device == "cpu" else _AT_ONCE_ON_GPU
        super().__init__(model, TorchDecoder(_network(model).to(device)), search)

    def close(self) -> None:
        """Give the memory back, on the GPU too."""
        super().close()
        self._give_back()

    def _read_some(self, pixels: Sequence[Picture], stop: Stop) -> list[ReadFormula]:
        try:
            return super()._read_some(pixels, stop)
        except torch.OutOfMemoryError:
            if len(pixels) == 1:
                raise MemoryError("There is too little memory for a single formula.") from None
        # The failed call's tensors are let go of before the next try, outside of the handler.
        self._give_back()
        half = len(pixels) // 2
        return [*self._read_some(pixels[:half], stop), *self._read_some(pixels[half:], stop)]

    def _give_back(self) -> None:
        if self._device != "cpu":
            torch.cuda.empty_cache()


@dataclass
class _State:
    """Keys and values of the pictures and of what is written, one tensor each for each layer."""

    cross: list[torch.Tensor]
    past: list[torch.Tensor]


class TorchDecoder:
    """A ``Decoder`` on a network, on whatever device that is; it must be in evaluation mode."""

    def __init__(self, network: FormulaNetwork) -> None:
        self._network = network

    def cross(self, pictures: Floats) -> _State:
        """See ``Decoder``."""
        with torch.inference_mode():
            cross = self._network.cross_each(self._here(pictures))
            return _State(cross, list(self._network.no_past(len(pictures))))

    def step(self, tokens: Integers, position: int, state: _State) -> Floats:
        """See ``Decoder``."""
        at = self._here(np.array([position]))
        with torch.inference_mode():
            logits, state.past = self._network.grow(self._here(tokens), at, state.past, state.cross)
            found: Floats = logits.float().cpu().numpy()
        return found

    def reorder(self, state: _State, rows: Integers) -> _State:
        """See ``Decoder``."""
        taken = self._here(rows)
        return _State(
            [one.index_select(1, taken) for one in state.cross], [one.index_select(1, taken) for one in state.past]
        )

    def _here(self, array: Floats | Integers) -> torch.Tensor:
        return torch.from_numpy(array).to(self._network.head.weight.device)


def _network(model: ModelFolder) -> FormulaNetwork:
    path = model.folder / TENSORS
    if not path.is_file():
        raise model.refused(TENSORS, "is missing")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise model.refused(TENSORS, "is damaged or no safetensors file") from error
    # What config.json says is not believed before memory is taken for it.
    if any(name not in tensors or tensors[name].shape != shape for name, shape in _shapes(model).items()):
        raise model.refused(TENSORS, _MISFIT)
    try:
        return from_weights(model.config, len(model.vocabulary), tensors)
    except (RuntimeError, ValueError, ArithmeticError, AssertionError) as error:
        raise model.refused(TENSORS, _MISFIT) from error


def _shapes(model: ModelFolder) -> dict[str, tuple[int, ...]]:
    """Of those tensors that tell how large the decoder is."""
    config = model.config
    return {
        "embedding.weight": (len(model.vocabulary), config.width),
        f"layers.{config.layers - 1}.wide.weight": (config.feedforward, config.width),
    }
