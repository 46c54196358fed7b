"""The contract between the pipeline and an engine.

An engine is a guest. It gets upright page images and options, gives back one ``Page`` per image with boxes in pixels of
the image it was given, and starts no parallelism of its own: pages are shared out over processes by the queue. It runs
inside a worker's child process that may be killed at any moment. ``check`` is cheap and imports nothing heavy; heavy
libraries are imported in the constructor, which runs in the child, on first use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from copyist.document import Decoding as Decoding
from copyist.document import Mode as Mode
from copyist.document import Outcome as Outcome
from copyist.document import Page


@dataclass(frozen=True)
class PageImage:
    """Pixels of one page: ``uint8``, shape (height, width) grey or (height, width, 3) RGB; ``dpi`` where known."""

    pixels: npt.NDArray[np.uint8]
    dpi: int | None = None

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])


class Stop:
    """How a page that is being read is stopped without ending its process.

    Whoever watches the page calls ``ask`` from another thread, with the exception that is to end the reading. An engine
    with ``stops`` looks at ``asked`` at least once a second, and calls ``check`` to leave.
    """

    def __init__(self) -> None:
        self._why: Exception | None = None

    @property
    def asked(self) -> bool:
        """Whether the reading is to end."""
        return self._why is not None

    def ask(self, why: Exception) -> None:
        """End the reading by raising ``why`` where it is being done."""
        self._why = why

    def withdraw(self) -> None:
        """Let the next engine begin."""
        self._why = None

    def check(self) -> None:
        """Raise the reason, if somebody has asked."""
        if self._why is not None:
            raise self._why


@dataclass(frozen=True)
class ReadOptions:
    """How to read. ``languages`` are ISO 639-3 codes as Tesseract names its models (``eng``, ``deu``, ``chi_sim``)."""

    mode: Mode = Mode.DOCUMENT
    languages: tuple[str, ...] = ("eng",)
    decoding: Decoding = field(default_factory=Decoding)
    stop: Stop = field(default_factory=Stop, compare=False, repr=False)


@dataclass(frozen=True)
class DotsSettings:
    """How dots.ocr is reached or loaded.

    ``servers`` are base URLs of OpenAI-compatible servers (``http://host:8000/v1``); none means that the model in
    ``model_path`` (``None``: the first checkpoint of dots.ocr or dots.mocr in the weights folder) is loaded here.
    ``flavour`` is ``vllm``, ``sglang``, ``llamacpp`` or ``ollama``. ``at_once`` is how many pages are read together, 0
    for what fits; ``max_pixels`` the largest image that the model is shown; ``max_tokens`` the longest answer.
    ``dtype`` is ``auto``, ``bf16``, ``fp16`` or ``fp32``; ``quantization`` is ``none``, ``int8`` or ``nf4``; ``prompt``
    is a ``dots.backend.Prompt`` other than ``region``.
    """

    servers: tuple[str, ...] = ()
    flavour: str = "vllm"
    served_model: str = ""
    api_key: str = field(default="", repr=False)
    timeout_s: float = 180.0
    model_path: Path | None = None
    dtype: str = "auto"
    quantization: str = "none"
    on_cpu: bool = False
    at_once: int = 0
    max_pixels: int = 11_289_600
    max_tokens: int = 16_384
    prompt: str = "layout"


@dataclass(frozen=True)
class EngineSettings:
    """What engines may know of the configuration; made from ``settings`` at the edge.

    ``tessdata`` is a folder of ``*.traineddata``, or ``None`` to look in the usual places. ``trocr``, ``nougat`` and
    ``formula`` are folders of checkpoints, or ``None`` for the first that is found in the weights folder. ``champion``
    is where the TrOCR model that was trained here and serves lies, usually a link that is moved: it goes before
    ``trocr``, and where it leads nowhere the published model reads.
    """

    weights: Path = Path("weights")
    tessdata: Path | None = None
    use_gpu: bool = True
    download: bool = False
    trocr: Path | None = None
    champion: Path | None = None
    nougat: Path | None = None
    formula: Path | None = None
    dots: DotsSettings = DotsSettings()


@dataclass(frozen=True)
class Availability:
    """Whether an engine can read here: ``ready``, or the ``reason`` why not, in words for a person.

    ``version`` names engine and model; it is part of the cache key. ``languages`` are those it can read now; empty
    means that it does not choose by language.
    """

    ready: bool
    reason: str = ""
    version: str = ""
    languages: tuple[str, ...] = ()
    device: str = ""
    """Where it would read: ``cpu``, ``cuda``, or the address of a server."""
    model: str = ""
    """The model's name, for people; empty where the engine has only one."""
    memory_bytes: int | None = None
    """Roughly what the loaded model takes up there, where that is known."""
    at_once: int = 1
    """How many pages one instance reads at once: ``read`` is then called from that many threads."""
    details: Mapping[str, str] = field(default_factory=dict)
    """What else people may want to know of the model, by name: its shape, its size, what it was measured to do."""


class Engine(Protocol):
    """What every engine is. ``name`` is what people put in ``OCR_BACKEND``."""

    name: ClassVar[str]
    modes: ClassVar[frozenset[Mode]]
    needs_gpu: ClassVar[bool]
    """Engines that need a GPU are served from the queue ``gpu``, the others from ``cpu``."""
    cost: ClassVar[float]
    """Roughly the CPU seconds for an A4 page, to order engines from cheap to dear for ``OCR_STRATEGY=fast``."""
    dpi: ClassVar[int]
    """The resolution a PDF page is rendered at for this engine."""
    stops: ClassVar[bool]
    """Whether it heeds ``ReadOptions.stop`` within a second. The process of one that does not is ended instead."""
    heavy: ClassVar[bool]
    """Whether its model is worth unloading when nobody has used it for a while."""

    version: str

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        """Say whether the engine can read here; cheap, without heavy imports, never raising."""
        ...

    def __init__(self, settings: EngineSettings) -> None:
        """Load everything; raises ``NotReady`` for what ``check`` could not see."""
        ...

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        """Read ``images``, in order; a page without text has no blocks. May raise anything: the chain catches it."""
        ...

    def close(self) -> None:
        """Give back memory and devices."""
        ...


FAULTS = frozenset({Outcome.FAILED, Outcome.GARBAGE, Outcome.TIMED_OUT, Outcome.CRASHED})
"""Outcomes that say something broke, as against an engine that is absent or a reading that was less good."""


@dataclass(frozen=True)
class Try:
    """One step of a page's trail: which engine, how it ended, and why in words."""

    engine: str
    outcome: Outcome
    reason: str = ""
    seconds: float = field(default=0.0)
    confidence: float | None = None
    notes: tuple[str, ...] = ()
    """What the engine wrote down on its way (``engines.notes``), in words for a person."""


class GarbageError(Exception):
    """Raised by an engine's own guard: it produced output, and the output is not a reading (a loop, broken JSON)."""


class NotReady(Exception):
    """Raised while an engine is loaded, or reads, when it turns out that it cannot read here at all.

    Its message is the reason and the way out, for a person: weights that are cut, too little memory, a server that
    does not answer. The chain goes on with the next engine, and does not ask this one again for a while.
    """


class TimedOut(Exception):
    """The reason given to ``Stop.ask`` when an engine takes longer than it may; the chain goes on with the next."""
