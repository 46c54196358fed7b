"""dots.ocr in this process: whether it can be loaded here, and the loaded model that answers questions.

``check`` looks at the headers of the files and at the driver's figures, so that this module imports nothing heavy; what
needs torch is imported when the model is loaded.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import math
import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from copyist.engines.base import Availability, EngineSettings, NotReady
from copyist.engines.checkpoints import (
    Checkpoint,
    CheckpointUnusable,
    fingerprint,
    first_usable,
    open_checkpoint,
    require,
)
from copyist.engines.dots.backend import Answer, Question
from copyist.engines.dots.local.architecture import MODEL_TYPE, Architecture, check_shapes, read_architecture
from copyist.engines.dots.local.batches import Batches
from copyist.engines.dots.local.footprint import GB, batch_bytes, weights_bytes
from copyist.engines.gpu import Gpu, gpus, why_no_cuda
from copyist.engines.memory import free_here

NEEDS = ("tokenizer.json",)
_CPU, _CUDA = "cpu", "cuda"
_MOST_AT_ONCE = 16
"""More pages together gain little: then the arithmetic and not the memory's speed bounds a GPU."""
_A4 = (2352, 1652)
"""Height and width, in pixels, of the page by which pages at once are counted: A4 at 200 dpi."""
_CPU_ROOM = 4 * GB
"""What a batch may take on a CPU, where no driver says how much there is."""
_MARGIN, _BESIDE, _CUDA_ITSELF = 1.1, 1_500_000_000, 500_000_000
"""Memory that must be free: the weights and a tenth, and for CUDA itself and one page at most this many bytes."""


_SHORTAGES = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


class Local:
    """A loaded dots.ocr or dots.mocr: a ``dots.backend.Backend``."""

    def __init__(self, settings: EngineSettings) -> None:
        """Load the model; raises ``NotReady`` with the reason when it cannot be had here."""
        found = check(settings)
        if not found.ready:
            raise NotReady(found.reason)
        self.settings, self.found, self.version = settings, found, found.version
        self._runner = _Runner(settings, found.device)
        self._batches = Batches(self._runner, at_once=found.at_once)
        _serving.add(self)

    def ask(self, question: Question) -> Answer:
        """Answer one question, together with those that other threads ask meanwhile (see ``Batches.ask``)."""
        return self._batches.ask(question)

    def close(self) -> None:
        """Give back the memory."""
        _serving.discard(self)
        self._batches.close()
        self._runner.close()


_serving: weakref.WeakSet[Local] = weakref.WeakSet()
"""The models that are loaded in this process. A forked child has none of them."""
os.register_at_fork(after_in_child=_serving.clear)


def check(settings: EngineSettings) -> Availability:
    """Say whether the model can be loaded here, and what it takes; never raises for what is wrong with files.

    While it is loaded in this process, what was found before still holds: the memory that is missing is its own.
    """
    for local in list(_serving):
        if local.settings == settings:
            return local.found
    try:
        checkpoint, architecture = _find(settings)
    except CheckpointUnusable as error:
        return Availability(ready=False, reason=str(error))
    reason = _why_no_device(settings)
    if reason:
        return Availability(ready=False, reason=reason, model=checkpoint.folder.name)
    return _measured(settings, checkpoint, architecture)


def _find(settings: EngineSettings) -> tuple[Checkpoint, Architecture]:
    """The checkpoint that is named, or the first usable one of dots.ocr in the weights folder.

    Raises ``CheckpointUnusable`` when there is none.
    """
    if settings.dots.model_path is not None:
        return _look_into(settings.dots.model_path)
    folders = settings.weights.iterdir() if settings.weights.is_dir() else ()
    none = (
        "There are no weights of dots.ocr here. Pull them with `copyist weights pull dots-mocr`, or name their folder "
        "in DOTS_OCR_MODEL_PATH, or a server that has them in DOTS_OCR_URL."
    )
    return first_usable((one for one in folders if _model_type(one) == MODEL_TYPE), _look_into, none=none)


def _model_type(folder: Path) -> object:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return config.get("model_type") if isinstance(config, dict) else None


def _look_into(folder: Path) -> tuple[Checkpoint, Architecture]:
    checkpoint = open_checkpoint(folder)
    try:
        architecture = read_architecture(checkpoint.config)
        check_shapes(architecture, checkpoint.shapes)
    except CheckpointUnusable as error:
        raise CheckpointUnusable(f"The checkpoint in {checkpoint.folder.name} cannot be loaded. {error}") from error
    require(folder, NEEDS)
    return checkpoint, architecture


def _device(settings: EngineSettings) -> str:
    return _CUDA if settings.use_gpu and not why_no_cuda() else _CPU


def _dtype(settings: EngineSettings, device: str) -> str:
    """The type of the weights where nobody chose one. fp16 is only on request: its range may not do for the tower."""
    if settings.dots.dtype != "auto":
        return settings.dots.dtype
    return "bf16" if device == _CUDA and _card().has_bf16 else "fp32"


def _card() -> Gpu:
    """The card that torch calls the first."""
    return gpus()[0]


def _why_no_device(settings: EngineSettings) -> str:
    """Why there is nothing to compute on, or not in the way that is asked for; empty when there is."""
    if _missing("torch") or _missing("transformers"):
        return "The packages torch and transformers are not installed; install copyist with [models]."
    device, quantization = _device(settings), settings.dots.quantization
    if device == _CPU and not settings.dots.on_cpu:
        why = why_no_cuda() or "No GPU is to be used here."
        return f"{why} On a CPU it takes minutes a page: DOTS_OCR_ON_CPU=true accepts that."
    if quantization == "none":
        return ""
    if device == _CPU:
        return f"DOTS_OCR_QUANTIZATION={quantization} needs a GPU; set it to none."
    if _missing("bitsandbytes") or _missing("accelerate"):
        return f"DOTS_OCR_QUANTIZATION={quantization} needs bitsandbytes and accelerate; install copyist with [gpu]."
    return ""


def _missing(package: str) -> bool:
    return importlib.util.find_spec(package) is None


def _measured(settings: EngineSettings, checkpoint: Checkpoint, architecture: Architecture) -> Availability:
    """Ready, with everything there is to say about it, unless the memory does not do."""
    device, folder, quantization = _device(settings), checkpoint.folder, settings.dots.quantization
    dtype = _dtype(settings, device)
    weights = weights_bytes(checkpoint.shapes, dtype=dtype, quantization=quantization)
    needed = round(weights * _MARGIN) + min(_BESIDE, _CUDA_ITSELF + _page_bytes(settings, architecture, dtype))
    free = _card().free_bytes if device == _CUDA else free_here()
    marks = (folder.name, fingerprint(folder), dtype, quantization if quantization != "none" else "")
    return Availability(
        ready=free is None or free >= needed,
        reason="" if free is None or free >= needed else _too_little(device, dtype, needed=needed, free=free),
        version=" ".join(("dots-local", *filter(None, marks))),
        device=device,
        model=folder.name,
        memory_bytes=weights,
        at_once=settings.dots.at_once
        or (1 if device == _CPU else _pages_at_once(settings, architecture, room=(free or 0) - needed, dtype=dtype)),
    )


def _too_little(device: str, dtype: str, *, needed: int, free: int) -> str:
    found = f"too little memory: {free / GB:.1f} GB are free and {needed / GB:.1f} GB are needed"
    if device == _CPU:
        return f"This machine has {found}. Free some, or let a server read: DOTS_OCR_URL."
    shorter = "DOTS_OCR_DTYPE=fp16, " if dtype == "fp32" else ""
    return f"The GPU has {found}; use {shorter}DOTS_OCR_QUANTIZATION=nf4 or a smaller DOTS_OCR_MAX_PIXELS."


def _page_bytes(settings: EngineSettings, architecture: Architecture, dtype: str) -> int:
    """What the largest page that the model is shown takes beside the weights."""
    side = math.isqrt(settings.dots.max_pixels)
    halves, longest = (architecture.vision, architecture.language), settings.dots.max_tokens
    return batch_bytes(*halves, images=[(side, side)], max_tokens=longest, dtype=dtype)


def _pages_at_once(settings: EngineSettings, architecture: Architecture, *, room: int, dtype: str) -> int:
    """How many A4 pages fit beside the weights, from 1 to the most that are of use."""

    def takes(pages: int) -> int:
        images, longest = [_A4] * pages, settings.dots.max_tokens
        return batch_bytes(architecture.vision, architecture.language, images=images, max_tokens=longest, dtype=dtype)

    return next((pages for pages in range(_MOST_AT_ONCE, 1, -1) if takes(pages) <= room), 1)


class _Runner:
    """The model as ``Batches`` sees it: what a batch takes, what there is, and the answers."""

    def __init__(self, settings: EngineSettings, device: str) -> None:
        loading = importlib.import_module("copyist.engines.dots.local.model")
        self._answering = importlib.import_module("copyist.engines.dots.local.answering")
        self._torch = importlib.import_module("torch")
        if device == _CPU:
            self._torch.set_num_threads(1)
        self._device, self._dtype = device, _dtype(settings, device)
        self._limits = self._answering.Limits(seconds=settings.dots.timeout_s)
        self._model: Any = None
        try:
            checkpoint, _ = _find(settings)
            self._model = loading.load(
                checkpoint.folder, dtype=self._dtype, device=device, quantization=settings.dots.quantization
            )
        except CheckpointUnusable as error:
            raise NotReady(str(error)) from error
        except self._torch.OutOfMemoryError as error:
            raise NotReady("Memory ran out while the model was loaded; another process uses the GPU.") from error

    def cost(self, questions: Sequence[Question]) -> int:
        """The memory that answering these together takes, in bytes."""
        architecture = self._model.architecture
        return batch_bytes(
            architecture.vision,
            architecture.language,
            images=[question.pixels.shape[:2] for question in questions],
            max_tokens=max(question.max_tokens for question in questions),
            dtype=self._dtype,
        )

    def room(self) -> int:
        """The memory that there is for a batch now, in bytes; what torch keeps for later use is free."""
        if self._device == _CPU:
            return _CPU_ROOM
        cuda = self._torch.cuda
        return int(cuda.mem_get_info()[0] + cuda.memory_reserved() - cuda.memory_allocated())

    def run(self, questions: Sequence[Question], deliver: Callable[[int, Answer], None]) -> None:
        """Answer all; raises ``MemoryError`` in the place of torch's own, with the memory freed."""
        try:
            self._answering.answer(self._model, questions, deliver, limits=self._limits)
            return
        except Exception as error:
            if not self._is_shortage(error):
                raise
        # Only here the error is gone, and with it the frames that hold the tensors of the step that failed.
        self._free()
        raise MemoryError(
            f"{len(questions)} pages did not fit into the memory that is free ({self.room() / GB:.1f} GB). A smaller "
            "DOTS_OCR_MAX_PIXELS takes less."
        )

    def close(self) -> None:
        """Let go of the model."""
        self._model = None
        self._free()

    def _is_shortage(self, error: Exception) -> bool:
        if isinstance(error, self._torch.OutOfMemoryError | MemoryError):
            return True
        # On a CPU, and for the libraries below it, torch has no class of its own for it.
        return isinstance(error, RuntimeError) and any(words in str(error) for words in _SHORTAGES)

    def _free(self) -> None:
        gc.collect()
        if self._device == _CUDA:
            self._torch.cuda.empty_cache()
