"""Checkpoints in the layout of Hugging Face: looked at without loading them, so that nothing half there is loaded.

A folder holds ``config.json`` and the tensors as safetensors, in one file or in shards behind an index.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_PLAIN = re.compile(r"[\w-][\w .+-]{0,199}")
"""The name of a file or folder without a way to anywhere else."""
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds: its ``config``, the ``files`` of tensors, and the shape of every tensor by name."""

    folder: Path
    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    files: tuple[Path, ...]


class CheckpointUnusable(Exception):
    """The folder holds no checkpoint that could be loaded; the message is the reason, for a person."""


def open_checkpoint(folder: Path) -> Checkpoint:
    """Look into ``folder``: only headers are read, some kilobytes.

    Raises ``CheckpointUnusable`` naming the file that is missing, cut or no
    safetensors file; paths in it are relative to ``folder``'s parent.
    """
    if not folder.is_dir():
        raise CheckpointUnusable(f"There is no folder {folder.name} with a checkpoint.")
    require(folder, ("config.json",))
    config = _json(folder / "config.json")
    files = _tensor_files(folder)
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        shapes.update(_shapes(path))
    return Checkpoint(folder, config, shapes, tuple(files))


def require(folder: Path, names: Iterable[str]) -> None:
    """Raise ``CheckpointUnusable`` for the first of the files ``names`` that is not in ``folder``."""
    for name in names:
        if not (folder / name).is_file():
            raise CheckpointUnusable(f"{folder.name}/{name} is missing; pull the weights again.")


def first_usable(folders: Iterable[Path], look_into: Callable[[Path], _Found], *, none: str) -> _Found:
    """What ``look_into`` makes of the first of ``folders``, by name, that it does not refuse.

    Raises the ``CheckpointUnusable`` of the first folder when it refuses all, and one that says ``none`` for no folder.
    """
    refusals = []
    for folder in sorted(folders):
        try:
            return look_into(folder)
        except CheckpointUnusable as error:
            refusals.append(error)
    raise refusals[0] if refusals else CheckpointUnusable(none)


def folder_named(weights: Path, name: str) -> Path | None:
    """The folder in ``weights`` that somebody calls ``name``, if it is there; of a published name the last part counts.

    A name never leads out of ``weights``.
    """
    last = PurePosixPath(name.replace("\\", "/")).name
    return weights / last if _PLAIN.fullmatch(last) and (weights / last).is_dir() else None


def refuse_endless(checkpoint: Checkpoint) -> None:
    """Raise ``CheckpointUnusable`` when more layers are asked for, in any part of the model, than there are tensors.

    Nobody should wait for a model of a million layers to be made, only to learn that its weights are missing.
    """
    tensors = len(checkpoint.shapes)
    for part in (checkpoint.config, *checkpoint.config.values()):
        for name, value in part.items() if isinstance(part, dict) else ():
            counts = value if isinstance(value, list) else [value]
            if "layers" in name and any(isinstance(count, int | float) and count > tensors for count in counts):
                raise CheckpointUnusable(
                    f"{checkpoint.folder.name}/config.json asks for more layers than there are weights; it is another "
                    "model's. Pull the weights again."
                )


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
        names = sorted({str(name) for name in weight_map.values()})
        if not all(map(_PLAIN.fullmatch, names)):
            raise CheckpointUnusable(
                f"{folder.name}/{INDEX} names files outside of its folder; pull the weights again."
            )
        files = [folder / name for name in names]
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
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointUnusable(f"{path.parent.name}/{path.name} is not JSON; pull the weights again.") from error
    if not isinstance(content, dict):
        raise CheckpointUnusable(f"{path.parent.name}/{path.name} holds no object; pull the weights again.")
    return content
