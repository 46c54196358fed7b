"""Checkpoints in the layout of Hugging Face: looked at without loading them, so that nothing half there is loaded.

A folder holds ``config.json`` and the tensors as safetensors, in one file or in shards behind an index.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds: its ``config``, the shape of every tensor by name, and the size of its files in bytes."""

    folder: Path
    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    size_bytes: int


class CheckpointUnusable(Exception):
    """The folder holds no checkpoint that could be loaded; the message is the reason, for a person."""


def open_checkpoint(folder: Path, *, needs: Iterable[str] = ()) -> Checkpoint:
    """Look into ``folder``; ``needs`` are further files that must be there.

    Only headers are read: some kilobytes. Raises ``CheckpointUnusable`` naming the file that is missing, cut or no
    safetensors file; paths in it are relative to ``folder``'s parent.
    """
    if not folder.is_dir():
        raise CheckpointUnusable(f"There is no folder {folder.name} with a checkpoint.")
    for name in ("config.json", *needs):
        if not (folder / name).is_file():
            raise CheckpointUnusable(f"{folder.name}/{name} is missing; pull the weights again.")
    config = _json(folder / "config.json")
    files = _tensor_files(folder)
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        shapes.update(_shapes(path))
    return Checkpoint(folder, config, shapes, sum(path.stat().st_size for path in files))


def fingerprint(folder: Path) -> str:
    """Eight hex digits that change when a file of the folder is replaced, so that a cached reading dies with it."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    marks = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(marks).encode()).hexdigest()[:8]


def _tensor_files(folder: Path) -> list[Path]:
    if not (folder / INDEX).is_file():
        files = [folder / SINGLE]
    else:
        weight_map = _json(folder / INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise CheckpointUnusable(f"{folder.name}/{INDEX} names no files; pull the weights again.")
        # A name with a path in it would lead out of the folder.
        files = [folder / Path(str(name)).name for name in sorted(set(weight_map.values()))]
    for path in files:
        if not path.is_file():
            raise CheckpointUnusable(f"{folder.name}/{path.name} is missing; pull the weights again.")
    return files


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as tensors:
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointUnusable(
            f"{path.parent.name}/{path.name} is cut or no safetensors file; pull the weights again."
        ) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointUnusable(f"{path.parent.name}/{path.name} is not JSON; pull the weights again.") from error
    if not isinstance(content, dict):
        raise CheckpointUnusable(f"{path.parent.name}/{path.name} holds no object; pull the weights again.")
    return content
