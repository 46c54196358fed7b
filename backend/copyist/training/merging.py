"""The trained model as one that serves: the matrices of LoRA added to the model's own, in the layout it came in."""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from copyist.training.checkpoint import sync_folder

log = logging.getLogger(__name__)

_AS_THEY_ARE = (
    *("preprocessor_config.json", "processor_config.json", "generation_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("sentencepiece.bpe.model", "vocab.json", "merges.txt"),
    *("LICENSE", "LICENSE.md", "LICENSE.txt"),
)
"""Files of the base that training changes nothing in."""


def save_merged(learner: Any, base: Path, folder: Path) -> None:
    """Merge ``learner``, a ``PeftModel``, and write it to ``folder`` with the tokenizer and image settings of ``base``.

    ``folder`` is there in the end, whole, or not at all: raises ``OSError`` (or what safetensors makes of it) when the
    disk is full, and leaves nothing.
    """
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        _save(learner.merge_and_unload().to("cpu"), part)
        for name in _AS_THEY_ARE:
            if (base / name).is_file():
                shutil.copyfile(base / name, part / name)
        for path in sorted(part.iterdir()):
            with path.open("rb") as file:
                os.fsync(file.fileno())
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def _save(model: Any, folder: Path) -> None:
    generation = model.generation_config
    # How a line is read is decided by whoever reads it; what a published model says of it comes with its files.
    model.generation_config = GenerationConfig(
        decoder_start_token_id=generation.decoder_start_token_id,
        eos_token_id=generation.eos_token_id,
        pad_token_id=generation.pad_token_id,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)
