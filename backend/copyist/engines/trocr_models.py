"""Which TrOCR checkpoint is read with, and whether it is whole: looked at without loading it.

The published layouts differ in the tokenizer: the small models bring a sentencepiece model, base and large a
byte-level BPE. A model that was trained here and saved anew brings ``tokenizer.json`` and ``processor_config.json``.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from copyist.engines.base import EngineSettings
from copyist.engines.checkpoints import (
    Checkpoint,
    CheckpointUnusable,
    fingerprint,
    first_usable,
    folder_named,
    open_checkpoint,
    refuse_endless,
)
from copyist.engines.encoder_decoder import MODEL_TYPE

log = logging.getLogger(__name__)

_TOKENIZERS = (("sentencepiece.bpe.model",), ("vocab.json", "merges.txt"), ("tokenizer.json",))
_PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")


_refused: dict[tuple[Path, str], str] = {}
"""Why champions that were tried could not be loaded in this process, by folder and ``fingerprint``."""
_told: set[tuple[Path, str]] = set()
"""Refusals that the log of this process knows of."""


def default_checkpoint(settings: EngineSettings) -> Checkpoint:
    """The champion, where one serves and can be read with, else the published model (``published_checkpoint``)."""
    try:
        champion = champion_checkpoint(settings)
    except CheckpointUnusable:
        champion = None  # Whoever reads a page asks ``why_no_champion``.
    return champion or published_checkpoint(settings)


def champion_checkpoint(settings: EngineSettings) -> Checkpoint | None:
    """The model that was trained here and serves, in the folder that the link leads to now; ``None``: there is none.

    Raises ``CheckpointUnusable`` for one that is damaged, or that this process could not load (``refuse_champion``).
    """
    if settings.champion is None or not os.path.lexists(settings.champion):
        return None
    folder = settings.champion.resolve()
    found = trocr_checkpoint(folder)
    refusal = _refused.get(_state(folder))
    if refusal is not None:
        raise CheckpointUnusable(refusal)
    return found


def why_no_champion(settings: EngineSettings) -> str:
    """Why the published model reads although another serves, for a person; empty where all is well. Logged once."""
    try:
        champion_checkpoint(settings)
    except CheckpointUnusable as error:
        where = (settings.champion or settings.weights).resolve(), str(error)
        if where not in _told:
            _told.add(where)
            log.error("the champion in %s cannot be used, the published model reads: %s", where[0].name, error)
        return str(error)
    return ""


def refuse_champion(champion: Checkpoint, reason: str) -> None:
    """Do not try ``champion`` again in this process, unless its files change."""
    _refused[_state(champion.folder)] = reason


def published_checkpoint(settings: EngineSettings) -> Checkpoint:
    """``settings.trocr``, or the first usable of the folders ``trocr-*`` in the weights folder, by name.

    By name ``trocr-base-handwritten`` comes before the large and the small model: on the IAM lines it makes a fifth
    fewer errors than the small one (3.42 against 4.22 % CER, arXiv 2109.10282) for four times its time. Raises
    ``CheckpointUnusable`` with the reason and the way out.
    """
    if settings.trocr is not None:
        return trocr_checkpoint(settings.trocr)
    folders = (folder for folder in settings.weights.glob("trocr-*") if folder.is_dir())
    none = (
        "No weights for TrOCR: put a checkpoint into a folder trocr-* of the weights folder, or set OCR_MODEL to one."
    )
    return first_usable(folders, trocr_checkpoint, none=none)


def named_checkpoint(settings: EngineSettings, name: str) -> Checkpoint:
    """The checkpoint of the folder ``name`` in the weights folder; of a published name the last part counts.

    Raises ``CheckpointUnusable`` for what is not there, or no TrOCR; a name never leads out of the weights folder.
    """
    folder = folder_named(settings.weights, name)
    if folder is None:
        raise CheckpointUnusable(
            f'There is no TrOCR model "{name[:60]}" in the weights folder; pull its weights first.'
        )
    return trocr_checkpoint(folder)


def trocr_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in ``folder``; raises ``CheckpointUnusable`` when it is not whole or another model's."""
    found = open_checkpoint(folder)
    refuse_endless(found)
    decoder = found.config.get("decoder")
    kind = decoder.get("model_type") if isinstance(decoder, dict) else None
    if found.config.get("model_type") != MODEL_TYPE or kind != "trocr":
        other = kind or found.config.get("model_type") or "an unknown model"
        raise CheckpointUnusable(
            f"{folder.name} holds another model ({other}), no TrOCR; set OCR_MODEL to a TrOCR checkpoint."
        )
    if not any((folder / name).is_file() for name in _PREPROCESSORS):
        raise CheckpointUnusable(f"{folder.name}/{_PREPROCESSORS[0]} is missing; pull the weights again.")
    if not any(all((folder / name).is_file() for name in names) for names in _TOKENIZERS):
        raise CheckpointUnusable(
            f"{folder.name} has no tokenizer: neither sentencepiece.bpe.model nor vocab.json with merges.txt is there; "
            "pull the weights again."
        )
    return found


def _state(folder: Path) -> tuple[Path, str]:
    try:
        return folder, fingerprint(folder)
    except OSError:
        return folder, ""  # It was taken away a moment ago.
