"""What of an entry is on the disk: at a glance for a list, and file by file with hashes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from copyist.engines.weights.intact import fault_of
from copyist.engines.weights.manifest import Entry
from copyist.engines.weights.record import Record, read_record
from copyist.engines.weights.wanted import Algorithm, Digest, Progress, hashed, tell_nobody

PULLING = ".pulling"
"""The folder in a model's folder that holds what has come so far."""
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


class Presence(StrEnum):
    """How much of an entry is there."""

    ABSENT = "absent"
    PARTIAL = "partial"
    """Some files are missing: a pull was broken off, or not all of it was copied."""
    CUT = "cut"
    """A file is there that cannot be whole."""
    COMPLETE = "complete"


@dataclass(frozen=True)
class State:
    """How an entry looks without hashing: how much is there, what is wrong with it in words, and its size in bytes."""

    presence: Presence
    reason: str
    size: int


@dataclass(frozen=True)
class Finding:
    """What came of checking one file: ``fault`` is empty when it is right; ``by`` says what it was held against."""

    file: str
    fault: str
    by: str


def look_at(entry: Entry, root: Path) -> State:
    """How much of ``entry`` is in the weights folder ``root``."""
    folder, record = root / entry.folder, read_record(root / entry.folder, entry.name)
    wanted = _expected(entry, folder, record)
    there = {name: folder / name for name in wanted if (folder / name).is_file()}
    size = sum(path.stat().st_size for path in there.values())
    faults = [f"{name} {fault}" for name, path in there.items() if (fault := _fault(path, name, record))]
    missing = [name for name in wanted if name not in there]
    if faults:
        return State(Presence.CUT, faults[0], size)
    if not missing:
        return State(Presence.COMPLETE, _origin(entry, record), size)
    begun = _begun(entry, folder)
    if there or begun:
        return State(Presence.PARTIAL, f"{missing[0]} is missing", size + begun)
    return State(Presence.ABSENT, "", 0)


def _origin(entry: Entry, record: Record | None) -> str:
    """What there is to say of complete weights; nothing when they are those of the manifest."""
    if record is None:
        return "not pulled by this command: nothing to compare it with"
    is_another = re.fullmatch(r"[0-9a-f]{40}", entry.revision) and record.commit != entry.revision
    return f"of commit {record.commit[:8]}, not {entry.revision[:8]} as in the manifest" if is_another else ""


def verify(entry: Entry, root: Path, watch: Progress = tell_nobody) -> Iterator[Finding]:
    """Check every file of ``entry``: against the manifest, else against what was written down when it was pulled.

    Where neither knows a hash, only what can be seen at its edges is checked, and the finding says so.
    """
    folder = root / entry.folder
    record = read_record(folder, entry.name)
    for name in _expected(entry, folder, record):
        path = folder / name
        if not path.is_file():
            yield Finding(name, "is missing", "")
            continue
        digest = _digest(entry, name, record)
        fault = _fault(path, name, record)
        if not fault and digest is not None and not hashed(path, digest, name=name, watch=watch).fits():
            fault = f"is not the file it should be: another {digest.algorithm}"
        yield Finding(name, fault, str(digest) if digest else "its shape alone: no hash is known")


def known_digest(entry: Entry, name: str) -> Digest | None:
    """What the manifest says that a file hashes to."""
    if name in entry.sha256:
        return Digest(Algorithm.SHA256, entry.sha256[name], "the manifest")
    md5 = {release.name: release.md5 for release in entry.releases}.get(name)
    return Digest(Algorithm.MD5, md5, "the manifest") if md5 else None


def _digest(entry: Entry, name: str, record: Record | None) -> Digest | None:
    if record is not None and name in record.files:
        # Another revision than the manifest's may have been asked for; its files were checked as they came.
        known = known_digest(entry, name) if record.asked == entry.revision or entry.releases else None
        return known or Digest(Algorithm.SHA256, record.files[name].sha256, "pulled.json")
    return known_digest(entry, name)


def _expected(entry: Entry, folder: Path, record: Record | None) -> tuple[str, ...]:
    """The files that belong to an entry: as pulled, as the manifest lists them, else what every checkpoint has."""
    if record is not None:
        return tuple(record.files)
    if entry.releases:
        return tuple(release.name for release in entry.releases)
    return ("config.json", *_tensor_files(folder))


def _tensor_files(folder: Path) -> tuple[str, ...]:
    try:
        parts: Mapping[str, str] = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        return (INDEX, *sorted({Path(str(name)).name for name in parts.values()}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return (INDEX,) if (folder / INDEX).is_file() else (SINGLE,)


def _fault(path: Path, name: str, record: Record | None) -> str:
    if record is not None and name in record.files and path.stat().st_size != record.files[name].size:
        return f"is cut or was changed: {path.stat().st_size:,} of {record.files[name].size:,} bytes are there"
    return fault_of(path)


def _begun(entry: Entry, folder: Path) -> int:
    """How many bytes of a pull that has not ended are there."""
    return sum(path.stat().st_size for path in (folder / PULLING / entry.name).glob("*") if path.is_file())
