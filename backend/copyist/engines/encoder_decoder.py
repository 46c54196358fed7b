"""Loads what TrOCR and Nougat are made of: transformers' ``VisionEncoderDecoderModel``, whole or not at all."""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from copyist.engines.base import Availability, EngineSettings, NotReady
from copyist.engines.checkpoints import Checkpoint, CheckpointUnusable, open_checkpoint
from copyist.engines.gpu import why_no_cuda
from copyist.engines.memory import GB, free_here
from copyist.engines.torchvision_shim import import_torchvision

MODEL_TYPE = "vision-encoder-decoder"
_UNUSED = "encoder.pooler."
"""A layer that transformers adds to the encoder and the decoder never sees; Microsoft's TrOCR checkpoints have none."""
_WAY_OUT = {
    "cpu": "free some, or use a smaller model.",
    "cuda": "free some, use a smaller model, or read on the CPU with CUDA_VISIBLE_DEVICES empty.",
}
_MARGIN = 1.2
"""What has to be free for the weights and for work on one page, in sizes of the weights."""
_MOST_PIXELS = 4_000_000
"""What no such model is shown; a page or line is brought to that size whatever it had before."""


def memory_bytes(checkpoint: Checkpoint, device: str) -> int:
    """What the loaded weights take up: four bytes each on a CPU, two on a GPU."""
    return sum(math.prod(shape) for shape in checkpoint.shapes.values()) * (2 if device == "cuda" else 4)


def availability(
    settings: EngineSettings,
    packages: Iterable[str],
    find: Callable[[EngineSettings], Checkpoint],
    version: Callable[[Path], str],
) -> Availability:
    """Whether an engine can read with the checkpoint that ``find`` finds: its ``packages`` are installed, it is whole.

    ``find`` raises ``CheckpointUnusable`` with the reason; ``version`` names engine and model from the folder.
    """
    missing = next((package for package in packages if not _is_installed(package)), None)
    if missing:
        reason = f"The package {missing.lower()} is not installed; install copyist with [models]."
        return Availability(ready=False, reason=reason)
    try:
        found = find(settings)
    except CheckpointUnusable as error:
        return Availability(ready=False, reason=str(error))
    device = "cuda" if settings.use_gpu and not why_no_cuda() else "cpu"
    return Availability(
        ready=True,
        version=version(found.folder),
        device=device,
        model=found.folder.name,
        memory_bytes=memory_bytes(found, device),
    )


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # Of "google.protobuf" there may be no "google".
        return False


def load_model(folder: Path, *, use_gpu: bool) -> tuple[Any, str]:
    """The model in ``folder``, ready to generate, and its device; raises ``NotReady`` rather than load half of one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_torchvision()
        import torch
        from transformers import VisionEncoderDecoderModel
        from transformers.utils import logging
    # A worker's log is no place for a bar, nor for a report of what is judged below.
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    _refuse_too_large(folder, device)
    try:
        model, loading = VisionEncoderDecoderModel.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, use_safetensors=True, dtype=_dtype(device)
        )
        model = model.to(device).eval()
    except torch.OutOfMemoryError as error:
        raise NotReady(f"The GPU's memory ran out while {folder.name} was loaded; {_WAY_OUT[device]}") from error
    except Exception as error:
        raise NotReady(f"The checkpoint in {folder.name} cannot be loaded; pull the weights again.") from error
    missing = (name for name in loading["missing_keys"] if not name.startswith(_UNUSED))
    problems = sorted([*missing, *(name for name, *_ in loading["mismatched_keys"])])
    if problems:
        raise NotReady(f"The checkpoint in {folder.name} has no fitting {problems[0]}; it is another model's or cut.")
    _refuse_unknown_tokens(model, folder)
    return model, device


def load_processor(kind: Any, folder: Path, model: Any) -> Any:
    """The tokenizer and image settings in ``folder``, of transformers' class ``kind``; ``NotReady`` unless they fit.

    Code that came with a checkpoint is never run, and nobody is asked whether it may be.
    """
    try:
        processor = kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        size, words = processor.image_processor.size, len(processor.tokenizer)
        pixels = math.prod(int(size[side]) for side in ("height", "width"))
    except Exception as error:
        raise NotReady(
            f"The tokenizer or the image settings in {folder.name} cannot be loaded; pull the weights again."
        ) from error
    known = int(model.config.decoder.vocab_size)
    if words > known:
        raise NotReady(f"The tokenizer in {folder.name} is another model's: it has {words} tokens, the model {known}.")
    if not 0 < pixels <= _MOST_PIXELS:
        raise NotReady(f"The image settings in {folder.name} ask for {pixels:,} pixels; pull the weights again.")
    return processor


def _refuse_too_large(folder: Path, device: str) -> None:
    """Raise ``NotReady`` where there is too little memory, before anything is loaded."""
    import torch

    try:
        checkpoint = open_checkpoint(folder)
    except CheckpointUnusable as error:
        raise NotReady(str(error)) from error
    free = free_here() if device == "cpu" else torch.cuda.mem_get_info()[0]
    needed = round(memory_bytes(checkpoint, device) * _MARGIN)
    if free is not None and free < needed:
        raise NotReady(
            f"There is too little memory for {folder.name}: {free / GB:.1f} GB are free and {needed / GB:.1f} GB are "
            f"needed; {_WAY_OUT[device]}"
        )


def _refuse_unknown_tokens(model: Any, folder: Path) -> None:
    """Raise ``NotReady`` for tokens without a row in the model: on a GPU, one of them ends all work of the process."""
    known = int(model.config.decoder.vocab_size)
    unknown = [token for token in _configured_tokens(model) if not (isinstance(token, int) and 0 <= token < known)]
    if unknown:
        raise NotReady(
            f"generation_config.json or config.json in {folder.name} names a token {unknown[0]}, which the model does "
            "not know; pull the weights again."
        )


def _configured_tokens(model: Any) -> Iterator[Any]:
    for place in (model.generation_config, model.config, model.config.decoder):
        for name in ("decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id"):
            value = getattr(place, name, None)
            yield from (value if isinstance(value, list) else [value] if value is not None else [])


def _dtype(device: str) -> Any:
    """Half the memory on a GPU; on a CPU what it computes fastest."""
    import torch

    if device == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
