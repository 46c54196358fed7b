"""What a training of formulas is told. Imports nothing heavy: the command line writes it, another process reads it."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import Field

from copyist.document import Record

CHECKPOINT, HISTORY, REPORT, PAGE = "checkpoint", "history.json", "report.json", "report.html"

RATES = MappingProxyType({"tiny": 2e-3, "compact": 1e-3, "reference": 3e-4, "reference-512": 2e-4})
"""The highest learning rate of each preset; large networks want small ones."""


class Recipe(Record):
    """How to train. What is 0 is chosen: the learning rate by the preset, an epoch is all there is to learn from."""

    preset: str = "compact"
    epochs: int = Field(default=30, ge=1)
    epoch_size: int = Field(default=0, ge=0)
    """Formulas in an epoch; a larger folder is gone through in several, a smaller one more than once."""
    batch: int = Field(default=32, ge=1)
    """Formulas in a batch; fewer of those that are large or long."""
    accumulate: int = Field(default=1, ge=1)
    """Batches in a step."""
    learning_rate: float = Field(default=0.0, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_steps: int = Field(default=500, ge=0)
    """The learning rate rises in so many steps, at most 3 % of all, and falls along a cosine to 2 % of its height."""
    clip: float = Field(default=1.0, gt=0)
    smoothing: float = Field(default=0.1, ge=0, lt=1)
    ema: float = Field(default=0.999, ge=0, lt=1)
    """How much of the averaged weights stays in a step; less in the first ones."""
    augment: bool = True
    watched: int = Field(default=500, ge=1)
    """So many formulas of the split ``valid`` are read after each epoch."""
    seed: int = Field(default=0, ge=0)

    @property
    def highest_rate(self) -> float:
        """The learning rate after warming up."""
        return self.learning_rate or RATES.get(self.preset, 1e-3)


class FormulaOrder(Record):
    """A training: ``data`` in, a folder ``out`` with a model. ``processes`` load and draw, 0: the trainer itself."""

    data: Path
    out: Path
    recipe: Recipe = Recipe()
    fresh: bool = False
    """Begin anew, whatever ``out`` holds; else it goes on from the checkpoint there."""
    warm_start: Path | None = None
    """The folder of a model whose weights to begin with, as far as they fit."""
    time_limit_s: float = Field(default=0.0, ge=0)
    """Training takes so long in all, and the learning rate falls in time; 0: no limit."""
    processes: int = Field(default=1, ge=0)
    threads: int = Field(default=0, ge=0)
    """Of torch; 0: one for each core that no other process of the training takes."""
    use_gpu: bool = True
    tested: int = Field(default=5000, ge=1)
    """So many formulas of the split ``test`` are read in the end."""
    tracking_uri: str = ""
    """Where MLflow is; empty: nobody is told."""


class ExportOrder(Record):
    """Write for ONNX Runtime what ``model`` holds; in 8 bits where formulas of ``data`` are read as well as before."""

    model: Path
    data: Path | None = None


class EvaluationOrder(Record):
    """Read a split of ``data`` with ``model`` and say how well; ``page`` is where the report goes, if anywhere."""

    model: Path
    data: Path
    split: Literal["train", "valid", "test"] = "test"
    page: Path | None = None
    most: int = Field(default=0, ge=0)
    """Formulas to read; 0: all."""
    threads: int = Field(default=0, ge=0)
    use_gpu: bool = True


class GenerationOrder(Record):
    """Formulas to make (``generate``). ``processes`` 0: one for each core."""

    folder: Path
    count: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    valid: int | None = None
    test: int | None = None
    processes: int = Field(default=0, ge=0)
