"""The model that serves: workers keep its files beside their data, and take a new one between two pages.

``DATA_DIR/models/<version>`` holds the files of a version, fetched from the storage and compared with their hashes;
``DATA_DIR/models/handwriting`` is a link to the one that serves, and missing where the base does, as published. The
engine looks at the link at every page. All that is here is under a lock, since several processes share the folder.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copyist import storage
from copyist.db import models
from copyist.db.learning_tables import ModelVersion
from copyist.db.runs import KIND
from copyist.document import Mode
from copyist.engines.base import Stop, TimedOut
from copyist.engines.checkpoints import CheckpointUnusable
from copyist.errors import CopyistError
from copyist.queue import published
from copyist.queue.alone import alone
from copyist.queue.footing import Footing
from copyist.queue.published import models_folder, write
from copyist.queue.watch import Cancelled, Watch
from copyist.reasons import why

log = logging.getLogger(__name__)

ENGINE = "trocr"
FETCH_S = 300.0
"""The longest that a page waits for the files of a new version."""
AGAIN_S = 60.0
"""After a failure what served before serves on for so long; then it is tried again."""
PART, LOCK, PROBLEM = ".part-", ".lock", "problem.txt"
CHECK_S = 300.0
"""So often it is looked whether the base is still the one that the champion was trained from."""
_not_before: dict[Path, float] = {}
"""When each folder is tried again by this process."""
_check_at: dict[Path, float] = {}
"""When each folder is looked at by this process although nothing has changed."""


class Damaged(Exception):
    """What the storage gave is not what was stored."""


@dataclass(frozen=True)
class Wanted:
    """What the database says should serve."""

    version: int
    base_sha256: str
    files: Mapping[str, Any]
    created: float
    """When it was made: its files get this time, so that all machines find the same readings in the cache."""
    replaced: int | None


def concerns(options: Mapping[str, Any]) -> bool:
    """Whether pages of a job with these options are read by the champion."""
    return options.get("mode") == Mode.HANDWRITING or options.get("engine") == ENGINE


def is_due(here: Footing, options: Mapping[str, Any]) -> bool:
    """Whether ``refresh`` has anything to do before a page with these options; a quick question."""
    home = models_folder(here)
    if not concerns(options) or time.monotonic() < _not_before.get(home, 0.0):
        return False
    wanted, serves = _wanted(here), serving(home)
    if wanted is None:
        return serves is not None
    return serves != wanted.version or time.monotonic() >= _check_at.get(home, 0.0)


def refresh(here: Footing, stop: Stop | None = None) -> None:
    """See to it that the champion serves here: fetch its files, and move the link.

    What served before serves on where that cannot be: the storage is away, the disk full, a file damaged. Where the
    base is not the one that the champion was trained from, the base serves. Raises ``stop``'s reason, and what the
    database does.
    """
    home, stop = models_folder(here), stop or Stop()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with alone(home / LOCK, stop):
            _refresh(here, home, stop)
    except (CopyistError, OSError, Damaged, TimedOut) as error:
        _not_before[home] = time.monotonic() + AGAIN_S
        told = str(error) if isinstance(error, Damaged) else why(error)
        log.warning("the champion cannot be fetched, what served before serves on: %s", told)
        _tell(home, f"The newest champion could not be fetched: {told.rstrip('.')}.")


def bring(here: Footing, watch: Watch) -> bool:
    """The same as a stage of work on a page; ``False`` when that was cancelled, or taken over, meanwhile."""
    try:
        watch.stage("model", FETCH_S, stops=True)
        refresh(here, watch.stop)
    except Cancelled:
        log.info("the page was cancelled or taken over while a model was fetched")
        return False
    return True


def fetched(here: Footing, stop: Stop) -> tuple[int, Path] | None:
    """The version that serves, with the folder that it is in now; ``None``: the base does.

    Raises where it cannot be fetched, unlike ``refresh``.
    """
    home = models_folder(here)
    home.mkdir(parents=True, exist_ok=True)
    with alone(home / LOCK, stop):
        _refresh(here, home, stop)
    version = serving(home)
    return None if version is None else (version, home / str(version))


def told(here: Footing) -> dict[str, Any]:
    """Which version serves here (``None``: the base), and what keeps the champion from it, for people to see."""
    home, problem = models_folder(here), ""
    with suppress(OSError):
        problem = (home / PROBLEM).read_text(encoding="utf-8")
    return {"version": serving(home), "problem": problem}


def serving(home: Path) -> int | None:
    """The version that the link in ``home`` points to."""
    with suppress(OSError, ValueError):
        return int((home / KIND).readlink().name)
    return None


def _wanted(here: Footing) -> Wanted | None:
    with here.db.read() as session:
        found = models.champion(session)
        return None if found is None else _facts(found)


def _facts(version: ModelVersion) -> Wanted:
    made = version.created_at.timestamp()
    return Wanted(version.id, version.base_sha256, version.files, made, version.replaced_id)


def _refresh(here: Footing, home: Path, stop: Stop) -> None:
    """Do it; whoever calls this holds the lock."""
    wanted, before = _wanted(here), serving(home)
    _check_at[home] = time.monotonic() + CHECK_S
    problem = "" if wanted is None else _mismatch(here, wanted)
    if problem:
        if (home / PROBLEM).is_file() and (home / PROBLEM).read_text(encoding="utf-8") == problem:
            log.debug("%s", problem)
        else:
            log.warning("%s", problem)
        _not_before[home] = time.monotonic() + AGAIN_S
        wanted = None
    if wanted is not None and not _is_here(home / str(wanted.version), wanted):
        _fetch(here, home, wanted, stop)
    _point(home, None if wanted is None else str(wanted.version))
    if before != (wanted and wanted.version):
        log.info("handwriting is read by %s from now on", f"version {wanted.version}" if wanted else "the base")
    _tell(home, problem)
    _clear(home, {str(number) for number in (before, wanted and wanted.version, wanted and wanted.replaced) if number})


def _mismatch(here: Footing, wanted: Wanted) -> str:
    """Why the champion does not fit the base that is here; empty when it does."""
    try:
        base = published.find(here)
    except CheckpointUnusable:
        return ""  # With no base to compare it to, the champion is the one that can read.
    if published.sha256(here, base) == wanted.base_sha256:
        return ""
    return (
        f"Version {wanted.version} was trained from another base than {base.folder.name}, which is here now: the base "
        "serves. Put the former base back, or train anew."
    )


def _is_here(folder: Path, wanted: Wanted) -> bool:
    """Whether ``folder`` has the version; after a backup was restored another one may have had the same number."""
    try:
        there = {name: (folder / name).stat() for name in wanted.files}
    except OSError:
        return False
    return folder.is_dir() and all(
        found.st_size == wanted.files[name]["size"] and abs(found.st_mtime - wanted.created) < 1
        for name, found in there.items()
    )


def _fetch(here: Footing, home: Path, wanted: Wanted, stop: Stop) -> None:
    """Bring the files of a version here, whole or not at all."""
    part = home / f"{PART}{wanted.version}-{os.getpid()}"
    # Of a process that was killed; in a container the next one may have its number.
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        for name, facts in wanted.files.items():
            if Path(name).name != name or name.startswith("."):
                raise Damaged(f"Version {wanted.version} names a file {name[:60]!r}, which is no name of one")
            _fetch_file(here, storage.model_key(wanted.version, name), part / name, facts, stop)
            os.utime(part / name, (wanted.created, wanted.created))
        shutil.rmtree(home / str(wanted.version), ignore_errors=True)
        part.rename(home / str(wanted.version))
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fetch_file(here: Footing, key: str, path: Path, facts: Mapping[str, Any], stop: Stop) -> None:
    found = here.storage.open(key)
    if found is None:
        raise Damaged(f"{path.name} is not in the storage any more")
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in found[1]:
            stop.check()
            digest.update(chunk)
            size += file.write(chunk)
    if (digest.hexdigest(), size) != (facts["sha256"], facts["size"]):
        raise Damaged(f"{path.name} is not in the storage as it was written")


def _point(home: Path, target: str | None) -> None:
    """Let the link point to ``target`` from one moment to the next; ``None``: to nothing."""
    link = home / KIND
    if target is None:
        link.unlink(missing_ok=True)
        return
    fresh = home / f"{PART}link-{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)


def _clear(home: Path, keep: set[str]) -> None:
    """Delete folders of versions that are served no more, and what was fetched by half."""
    for path in home.iterdir():
        if path.is_symlink():
            if path.name.startswith(PART):
                path.unlink(missing_ok=True)
        elif path.is_dir() and path.name not in keep:
            shutil.rmtree(path, ignore_errors=True)


def _tell(home: Path, problem: str) -> None:
    with suppress(OSError):
        if problem:
            write(home / PROBLEM, problem)
        else:
            (home / PROBLEM).unlink(missing_ok=True)
