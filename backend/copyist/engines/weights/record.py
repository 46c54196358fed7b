"""``pulled.json``: what was pulled into a folder, beside the files, so that it travels with them to another machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from copyist.engines.weights.manifest import is_plain

FILE = "pulled.json"


@dataclass(frozen=True)
class Pulled:
    """One file as it was when it arrived: its size, its SHA-256, and what it was checked against, in words."""

    size: int
    sha256: str
    checked: str


@dataclass(frozen=True)
class Record:
    """What one entry of the manifest became: where from, which commit, what was asked for, when, and the files."""

    source: str
    commit: str
    asked: str
    pulled_at: str
    files: Mapping[str, Pulled] = field(default_factory=dict)


def read_record(folder: Path, entry: str) -> Record | None:
    """What was written down about ``entry``; ``None`` where nothing was, or nothing that can be understood."""
    try:
        values = _all(folder)[entry]
        record = Record(**{**values, "files": {name: Pulled(**one) for name, one in values["files"].items()}})
    except (TypeError, KeyError, AttributeError):
        return None
    return record if _is_sound(record) else None


def write_record(folder: Path, entry: str, record: Record) -> None:
    """Write down what was pulled; other entries of the folder keep theirs."""
    content = json.dumps({**_all(folder), entry: asdict(record)}, indent=2) + "\n"
    fresh = folder / f".{FILE}"
    fresh.write_text(content, encoding="utf-8")
    fresh.replace(folder / FILE)


def _is_sound(record: Record) -> bool:
    """Whether the names lead nowhere else: the file comes with the weights, and what it names may be deleted."""
    texts = (record.source, record.commit, record.asked)
    return all(isinstance(text, str) for text in texts) and all(
        is_plain(name) and isinstance(one.size, int) and isinstance(one.sha256, str)
        for name, one in record.files.items()
    )


def _all(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
