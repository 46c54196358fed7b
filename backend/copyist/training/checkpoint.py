"""Where training stands, on the disk: written whole or not at all, so that a kill loses one epoch at most.

No state of random numbers is kept: each step seeds its own, by its number, and each epoch its order.
"""

from __future__ import annotations

import io
import logging
import os
import pickle
from pathlib import Path
from typing import Any

import torch

log = logging.getLogger(__name__)

_FILE = "state.pt"


def save(folder: Path, mark: str, state: dict[str, Any]) -> None:
    """Write ``state`` in place of what was in ``folder``. ``mark`` names the run's order and lines.

    Raises ``OSError`` when the disk is full; what was there before is still there then, and nothing half-written is.
    """
    content = io.BytesIO()
    torch.save({"mark": mark, **state}, content)
    folder.mkdir(exist_ok=True)
    write_whole(folder / _FILE, content.getvalue())


def load(folder: Path, mark: str) -> dict[str, Any] | None:
    """What was saved for the same ``mark``, if anything was that can be read."""
    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        log.warning("the checkpoint cannot be read, training begins anew: %s", error)
        return None
    if state.pop("mark", None) != mark:
        log.warning("the checkpoint is of another order, training begins anew")
        return None
    return state


def write_whole(path: Path, content: bytes) -> None:
    """Put ``content`` into ``path`` at once: it is there, and safe from a power cut, or what was there before is."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` safe from a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
