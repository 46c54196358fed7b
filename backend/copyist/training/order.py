"""What a run of training is told, what it tells on its way, and what it leaves behind: the contract of its processes.

A run has a folder. Whoever orders it writes there ``order.json``, ``examples.jsonl`` (``examples.Example``, one JSON
object a line) and the pictures, ``lines/<sha256>.png``. The two processes leave: ``checkpoint/`` (to go on from after a
kill), ``merged/`` (the model as transformers saves it, with its processor, without peft), ``trained.json``
(``Trained``) and ``evaluation.json`` (``Evaluation``). On the standard output they tell ``Event`` by ``Event``, one
JSON object a line; their log goes to the standard error. They end with 0, or with 1 after an event ``failed``.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field

from copyist.document import Record

ORDER, EXAMPLES, LINES = "order.json", "examples.jsonl", "lines"
CHECKPOINT, MERGED, TRAINED, EVALUATION = "checkpoint", "merged", "trained.json", "evaluation.json"


class Parameters(Record):
    """How to train; the defaults are those of the research (``training.md``, A5), as far as measured here."""

    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    encoder_layers: int = Field(default=2, ge=0)
    """LoRA goes into so many of the encoder's last layers (0: all of them) and into the whole decoder."""
    learning_rate: float = Field(default=3e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: float = Field(default=0.05, ge=0, le=1)
    """The share of all steps in which the learning rate rises."""
    clip: float = Field(default=1.0, gt=0)
    batch: int = Field(default=8, ge=1)
    epochs: int = Field(default=10, ge=1)
    patience: int = Field(default=3, ge=1)
    """It ends after so many epochs in which the CER on the dev lines did not fall."""
    variants: int = Field(default=2, ge=0)
    """How many ways each line is augmented in, one after the other in the epochs; 0 shows it as it is."""
    replay: float = Field(default=0.4, ge=0, lt=1)
    """The share of general lines in each epoch, against forgetting."""
    blend: float = Field(default=1.0, gt=0, le=1)
    """How far the model goes from the base to what was trained; less than all the way forgets less (Wortsman et al.,
    arXiv 2109.01903), which is what the service does (``TRAIN_BLEND``)."""
    seed: int = Field(default=0, ge=0)


class Order(Record):
    """A run. Folders of checkpoints are those that ``engines.trocr_models.trocr_checkpoint`` accepts."""

    run_id: str
    base: Path
    """Where training begins, always: the published model, never one that was trained here."""
    champion: Path | None = None
    """What serves now and is to be beaten; ``None``: the base itself."""
    general_set: Path | None = None
    """A folder with a ``manifest.jsonl`` of general lines (``examples.Example`` with pictures in ``lines/``); ``None``
    for lines drawn in many hands (``training.general``)."""
    general_lines: int = 800
    """How many general lines are read by both models."""
    parameters: Parameters = Parameters()
    use_gpu: bool = True
    threads: int = Field(default=1, ge=1)
    cache_bytes: int = Field(default=8_000_000_000, ge=0)
    """So much disk the frozen part's results may take up in the run's folder."""


class Phase(StrEnum):
    """Where a run is."""

    LOADING = "loading"
    TRAINING = "training"
    MERGING = "merging"
    GOLDEN = "golden"
    HOLDOUT = "holdout"
    GENERAL = "general"


class Event(Record):
    """One thing that happened. Which fields are set depends on ``event``."""

    event: Literal["phase", "step", "epoch", "done", "failed"]
    phase: Phase | None = None
    device: str | None = None
    """With the phase ``training``: ``cpu`` or ``cuda``."""
    step: int | None = None
    """From 1."""
    steps: int | None = None
    """How many there are at most."""
    epoch: int | None = None
    loss: float | None = None
    learning_rate: float | None = None
    seconds: float | None = None
    """What the step took."""
    dev_cer: float | None = None
    done: int | None = None
    """Lines that are evaluated so far, of ``total``."""
    total: int | None = None
    code: str | None = None
    """Of ``failed``: ``out_of_memory``, ``disk_full``, ``base_unusable``, ``damaged_picture``, ``too_few_lines``,
    ``not_the_same`` (the merged model reads other than the trained one) or ``broken``."""
    detail: str | None = None
    """Of ``failed``, for a person, with the way out."""


class Golden(Record):
    """A line and what the trained model read on it before it was merged and saved."""

    sha256: str
    text: str


class Trained(Record):
    """What the first process leaves behind beside the model in ``merged/``."""

    device: str
    base_sha256: str
    """Of the base's weights file."""
    steps: int
    epochs: int
    best_epoch: int
    dev_cer: float | None
    """Of the best epoch, before the model was taken back by ``Parameters.blend``."""
    dev_cer_before: float | None
    train_loss: float
    encoder_parameters: int
    """Trained ones in the encoder; never 0."""
    decoder_parameters: int
    """Trained ones in the decoder; never 0."""
    seconds: float
    resumed: int
    """How often it went on from a checkpoint."""
    peak_memory_bytes: int
    golden: tuple[Golden, ...]
    libraries: dict[str, str]
    """Versions of torch, transformers, peft and of Copyist's code."""
    left_out: dict[str, int] = Field(default_factory=dict)
    """Examples that could not be learned from, by reason."""


class LineScore(Record):
    """One line as one model read it. ``errors`` and ``length`` are in characters, after normalising both texts."""

    sha256: str
    page: str
    errors: int
    length: int
    word_errors: int
    words: int
    exact: bool
    read: str
    confidence: float | None
    cut_short: bool = False
    """The model fell into a loop, or had to be stopped."""


class Interval(Record):
    """A figure with the 95 % interval of a bootstrap over pages."""

    value: float
    low: float
    high: float


class Score(Record):
    """How one model reads a set of lines. Rates are 0 to 1 (CER and WER may be larger), counted over all characters."""

    lines: int
    pages: int
    cer: Interval
    wer: Interval
    exact: Interval
    """The share of lines without an error."""
    empty: float
    """The share of lines in which nothing was read although something stands there."""
    cut_short: float
    length_ratio: float
    """Characters read, over those that stand there."""
    calibration_error: float | None
    """Expected calibration error of the lines' confidence, 10 bins."""
    seconds_per_line: float


class Compared(Record):
    """Champion and challenger on the same lines, now, with the same settings."""

    champion: Score
    challenger: Score
    champion_lines: tuple[LineScore, ...]
    challenger_lines: tuple[LineScore, ...]


class Evaluation(Record):
    """What the second process found. ``holdout`` is ``None`` where no page is held out yet."""

    golden: bool
    """The saved model, loaded anew without peft, reads the golden lines as the trained one did."""
    unchanged: bool = False
    """No epoch read better than the base, and the base serves: champion and challenger are the same model."""
    holdout: Compared | None
    general: Compared
    general_name: str
    """``drawn``, or the name of the folder."""
    calibration: dict[str, float] | None
    """What was fitted on the dev lines and saved with the model (``engines.calibration``)."""
    risk_coverage: tuple[tuple[float, float], ...] = ()
    """Of the challenger on the holdout: (share of lines kept, most sure first; their CER)."""
