"""The contract between the pipeline and an engine.

An engine is a guest. It gets upright page images and options, gives back one ``Page`` per image with boxes in pixels of
the image it was given, and starts no parallelism of its own: pages are shared out over processes by the queue. It runs
inside a worker's child process that may be killed at any moment. ``check`` is cheap and imports nothing heavy; heavy
libraries are imported in the constructor, which runs in the child, on first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from copyist.document import Mode as Mode
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


@dataclass(frozen=True)
class ReadOptions:
    """How to read. ``languages`` are ISO 639-3 codes as Tesseract names its models (``eng``, ``deu``, ``chi_sim``)."""

    mode: Mode = Mode.DOCUMENT
    languages: tuple[str, ...] = ("eng",)


@dataclass(frozen=True)
class EngineSettings:
    """What engines may know of the configuration; made from ``settings`` at the edge.

    ``tessdata`` is a folder of ``*.traineddata``, or ``None`` to look in the usual places.
    """

    weights: Path = Path("weights")
    tessdata: Path | None = None
    use_gpu: bool = True
    download: bool = False


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

    version: str

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        """Say whether the engine can read here; cheap, without heavy imports, never raising."""
        ...

    def __init__(self, settings: EngineSettings) -> None: ...

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        """Read ``images``, in order; a page without text has no blocks. May raise anything: the chain catches it."""
        ...

    def close(self) -> None:
        """Give back memory and devices."""
        ...


class Outcome(StrEnum):
    """How one try of one engine on a page ended."""

    READ = "read"
    KEPT_OTHER = "kept_other"
    """It read the page, but another engine's reading was kept."""
    NOT_READY = "not_ready"
    FAILED = "failed"
    GARBAGE = "garbage"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    """Its process died while the rest of the worker lived: the engine's own doing."""
    LOST = "lost"
    """The whole worker was gone: killed, or without power. Nobody's fault that we know of."""
    CACHED = "cached"


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


class GarbageError(Exception):
    """Raised by an engine's own guard: it produced output, and the output is not a reading (a loop, broken JSON)."""
