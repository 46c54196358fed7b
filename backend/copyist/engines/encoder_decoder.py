"""Loads what TrOCR and Nougat are made of: transformers' ``VisionEncoderDecoderModel``, whole or not at all."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from copyist.engines.base import NotReady
from copyist.engines.torchvision_shim import import_torchvision

MODEL_TYPE = "vision-encoder-decoder"
_UNUSED = "encoder.pooler."
"""A layer that transformers adds to the encoder and the decoder never sees; Microsoft's TrOCR checkpoints have none."""


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
    try:
        model, loading = VisionEncoderDecoderModel.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, use_safetensors=True, dtype=_dtype(device)
        )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise NotReady(f"The checkpoint in {folder.name} cannot be loaded; pull the weights again.") from error
    missing = (name for name in loading["missing_keys"] if not name.startswith(_UNUSED))
    problems = sorted([*missing, *(name for name, *_ in loading["mismatched_keys"])])
    if problems:
        raise NotReady(f"The checkpoint in {folder.name} has no fitting {problems[0]}; it is another model's or cut.")
    return model.to(device).eval(), device


def _dtype(device: str) -> Any:
    """Half the memory on a GPU; on a CPU what it computes fastest."""
    import torch

    if device == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
