"""The model as it was published, which training begins with, and the hash by which it is known again."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from copyist.engines.checkpoints import Checkpoint
from copyist.engines.setup import engine_settings
from copyist.engines.trocr_models import published_checkpoint
from copyist.queue.footing import Footing

HASHES = "bases.json"


def find(here: Footing) -> Checkpoint:
    """The checkpoint as published, which training begins with; raises ``CheckpointUnusable``."""
    return published_checkpoint(engine_settings(here.settings.model_dump()))


def sha256(here: Footing, base: Checkpoint) -> str:
    """SHA-256 of the base's weights, of several files that of their hashes; computed once for each file."""
    known_file = models_folder(here) / HASHES
    known: dict[str, str] = {}
    with suppress(OSError, ValueError):
        known = json.loads(known_file.read_text(encoding="utf-8"))
    marks = [_mark(path) for path in base.files]
    missing = {
        mark: _sha256_of(path)
        for mark, path in zip(marks, base.files, strict=True)
        if not isinstance(known.get(mark), str)
    }
    if missing:
        # Those of files that are gone are forgotten.
        known = {mark: known[mark] for mark in marks if mark not in missing} | missing
        write(known_file, json.dumps(known))
    hashes = [known[mark] for mark in marks]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def models_folder(here: Footing) -> Path:
    """Where this machine keeps the versions that it serves."""
    return here.settings.data_dir.absolute() / "models"


def write(path: Path, text: str) -> None:
    """Put a note there, whole or not at all; one that cannot be kept is found out anew."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)


def _mark(path: Path) -> str:
    there = path.stat()
    return f"{path.absolute()}|{there.st_size}|{there.st_mtime_ns}"


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
