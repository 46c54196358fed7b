"""Loads what TrOCR and Nougat are made of: transformers' ``VisionEncoderDecoderModel``, whole or not at all."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from copyist.engines.base import NotReady
from copyist.engines.torchvision_shim import import_torchvision

MODEL_TYPE = "vision-encoder-decoder"


def load_model(folder: Path, *, use_gpu: bool) -> tuple[Any, str]:
    """The model in ``folder``, ready to generate, and its device; raises ``NotReady`` rather than load half of one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_torchvision()
        import torch
        from transformers import VisionEncoderDecoderModel
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
    problems = sorted([*loading["missing_keys"], *(name for name, *_ in loading["mismatched_keys"])])
    if problems:
        raise NotReady(f"The checkpoint in {folder.name} has no fitting {problems[0]}; it is another model's or cut.")
    return model.to(device).eval(), device


def _dtype(device: str) -> Any:
    """Half the memory on a GPU; on a CPU what it computes fastest."""
    import torch

    if device == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
