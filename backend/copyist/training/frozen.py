"""The part of the encoder that no training changes: computed once for each picture, and kept on the disk.

Most of TrOCR's time goes into its encoder. Below the first layer with LoRA nothing changes from one epoch to the next,
so what comes out there for a picture is the same each time: exactly so where it has no dropout, and only there is it
kept. The file is read and written, not mapped: a full disk is then an error that can be caught, and what is read
belongs to the system's cache and not to this process.
"""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from copyist.training.lora import layers_of

FILE = "frozen"
"""In the run's folder, while it trains."""
_LEFT_FREE = 0.5
"""This share of the free disk is left to others."""


class Halves:
    """An encoder in two: ``below`` the first of its ``trained`` last layers, and ``above``.

    Both give what the whole one gives. ``kept`` tells whether what is below is worth keeping: it is the same each time,
    and is not the whole encoder.
    """

    def __init__(self, encoder: Any, trained: int, example: torch.Tensor) -> None:
        """``example`` is a picture as the encoder takes it, shape (1, 3, height, width), to try both halves on."""
        layers = layers_of(encoder)
        first = max(0, len(layers) - trained) if trained else 0
        self._encoder, self._lower, self._upper = encoder, layers[:first], layers[first:]
        self.exact = not any(_drops(module) for part in (encoder.embeddings, *self._lower) for module in part.modules())
        self.whole = not self._fits(example)

    @property
    def kept(self) -> bool:
        """Whether the frozen part's results can be kept."""
        return self.exact and not self.whole and bool(self._lower)

    def below(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the frozen layers make of ``pixels``, shape (count, tokens, width); nothing in it is learned."""
        if self.whole:
            return pixels
        with torch.no_grad():
            states = self._encoder.embeddings(pixels)
            for layer in self._lower:
                states = _states(layer(states))
        return states.detach()

    def above(self, states: torch.Tensor) -> torch.Tensor:
        """What the encoder says in the end, of what ``below`` gave."""
        if self.whole:
            return self._encoder(pixel_values=states).last_hidden_state
        for layer in self._upper:
            states = _states(layer(states))
        return self._encoder.layernorm(states)

    def _fits(self, example: torch.Tensor) -> bool:
        """Whether the two halves still make up the encoder of this version of transformers."""
        self.whole = False
        before = self._encoder.training
        self._encoder.eval()
        try:
            with torch.no_grad():
                halves, one = self.above(self.below(example)), self._encoder(pixel_values=example).last_hidden_state
            return bool(torch.allclose(halves, one, atol=1e-5))
        except (AttributeError, TypeError):
            return False
        finally:
            self._encoder.train(before)


class Shelf:
    """Arrays of one ``shape`` of float32 by number, in a file of a fixed size that is removed in the end."""

    def __init__(self, path: Path, rows: int, shape: tuple[int, ...]) -> None:
        """Reserves the space; raises ``OSError`` where there is too little."""
        self._path, self._shape = path, shape
        self._bytes = 4 * math.prod(shape)
        self._there = np.zeros(rows, bool)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.posix_fallocate(self._file, 0, max(1, rows * self._bytes))
        except OSError:
            self.close()
            raise

    def get(self, row: int) -> torch.Tensor | None:
        """What was put under ``row``; ``None`` for nothing yet."""
        if not self._there[row]:
            return None
        values = np.empty(self._shape, np.float32)
        if os.preadv(self._file, [values.data], row * self._bytes) != self._bytes:
            return None
        return torch.from_numpy(values)

    def put(self, row: int, values: torch.Tensor) -> None:
        """Keep ``values`` under ``row``."""
        array = np.ascontiguousarray(values.numpy(), np.float32)
        self._there[row] = os.pwritev(self._file, [array.data], row * self._bytes) == self._bytes

    def close(self) -> None:
        """Give the disk back."""
        os.close(self._file)
        self._path.unlink(missing_ok=True)


def views_that_fit(folder: Path, *, lines: int, once: int, row_bytes: int, limit: int, wished: int) -> int:
    """In how many views each of ``lines`` lines can be kept, beside ``once`` lines in one; 0: not even in one.

    ``limit`` is in bytes; half of the free disk is left alone whatever it is.
    """
    free = shutil.disk_usage(folder).free * _LEFT_FREE
    rows = int(min(limit, free)) // row_bytes - once
    return max(0, min(wished, rows // max(1, lines)))


def _drops(module: Any) -> bool:
    """Whether ``module`` drops values at random while it trains."""
    if isinstance(module, torch.nn.Dropout):
        return bool(module.p)
    return any(bool(getattr(module, name, 0.0)) for name in ("attention_dropout", "dropout_prob", "drop_prob"))


def _states(result: Any) -> torch.Tensor:
    """The hidden states that a layer gave; versions before 5 give them in a tuple."""
    states: torch.Tensor = result[0] if isinstance(result, tuple) else result
    return states
