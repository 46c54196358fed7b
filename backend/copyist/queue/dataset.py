"""From verified lines in the database to a dataset in a folder: the manifest, and the pictures that it names."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from copyist import storage
from copyist.db import examples as rows
from copyist.db import runs
from copyist.db.examples import MOST_ALIKE, NOT_HANDWRITING
from copyist.db.session import Database
from copyist.db.tables import now
from copyist.engines.base import Stop
from copyist.errors import StorageFull, TooFewLines
from copyist.queue.footing import Footing
from copyist.reasons import is_full
from copyist.storage import Storage
from copyist.training.examples import Example, LeftOut, Split, choose, manifest, sha256_of
from copyist.training.order import EXAMPLES, LINES

log = logging.getLogger(__name__)

OF_PRINT, LOST, DAMAGED = "not_handwriting", "picture_lost", "picture_damaged"
"""Reasons why a line is left out, beside those of ``training.examples.LeftOut``."""
JUST_NOW = timedelta(minutes=10)
STALLED_S, LOOK_EVERY_S = 20.0, 0.5
"""Lines that were corrected just now are waited for while workers cut them out, until for so long none was."""


@dataclass(frozen=True)
class Selection:
    """What a dataset would be made of. ``left_out`` is by reason; ``upto`` is the last revision that was looked at."""

    examples: tuple[Example, ...]
    left_out: Mapping[str, int]
    upto: int

    def of(self, split: Split) -> int:
        """How many lines of ``split`` there are."""
        return sum(example.split is split for example in self.examples)

    def counts(self) -> dict[str, Any]:
        """The dataset in figures."""
        return {
            **{split.value: self.of(split) for split in Split},
            "holdout_pages": len({example.page for example in self.examples if example.split is Split.HOLDOUT}),
            "corrected": sum(example.corrected for example in self.examples),
            "left_out": dict(self.left_out),
        }


@dataclass(frozen=True)
class Made:
    """A dataset that lies in its folder."""

    sha256: str
    counts: dict[str, Any]
    last_correction_id: int
    examples: tuple[Example, ...]


def write(here: Footing, folder: Path, *, share: float, min_lines: int | None = None, stop: Stop | None = None) -> Made:
    """Write the dataset of this moment into the folder of a run, and keep its manifest in the storage.

    ``share`` is how much of the train lines shall have been corrected; ``min_lines`` stands for ``TRAIN_MIN_LINES``.
    Raises ``TooFewLines``, ``StorageFull``, ``Unavailable`` while the storage is away, and the reason of ``stop``. The
    manifest is written last: where it is, the dataset is whole.
    """
    needed, stop = here.settings.train_min_lines if min_lines is None else min_lines, stop or Stop()
    _await_cutting(here.db, stop)
    found = select(here.db, share=share, at_least=needed)
    _refuse_too_few(found, needed)
    found = fill(here.storage, folder, found, name=EXAMPLES, stop=stop)
    _refuse_too_few(found, needed)
    content, counts = manifest(found.examples), found.counts()
    sha256 = sha256_of(content)
    here.storage.put(storage.dataset_key(sha256), content)
    with here.db.write() as session:
        runs.dataset(session, sha256, counts)
    log.info("dataset %s: %s", sha256[:12], counts)
    return Made(sha256, counts, found.upto, found.examples)


def _await_cutting(db: Database, stop: Stop) -> None:
    """Let the lines be cut out that were corrected a moment ago: many come at once, and then a run begins."""
    since, fewest, until = now() - JUST_NOW, None, time.monotonic() + STALLED_S
    while True:
        with db.read() as session:
            left = rows.being_cut(session, since)
        if fewest is None or left < fewest:
            fewest, until = left, time.monotonic() + STALLED_S
        if not left or time.monotonic() >= until:
            return
        stop.check()
        time.sleep(LOOK_EVERY_S)


def select(db: Database, *, share: float, at_least: int = 0) -> Selection:
    """The lines that a dataset made now is made of."""
    with db.read() as session:
        upto = rows.last_correction_id(session)
        verified = rows.verified(session, upto)
    handwritten = [line for line in verified if line.problem != NOT_HANDWRITING]
    chosen = choose(handwritten, corrected_share=share, most_alike=MOST_ALIKE, at_least=at_least)
    left_out = {reason.value: count for reason, count in chosen.left_out.items()}
    if printed := len(verified) - len(handwritten):
        left_out[OF_PRINT] = printed
    return Selection(chosen.examples, left_out, upto)


def fill(store: Storage, folder: Path, found: Selection, *, name: str, stop: Stop | None = None) -> Selection:
    """Put the pictures into ``folder``/lines and then the manifest into the file ``name``; gives what is in it.

    A picture that is lost or damaged is left out. Raises ``StorageFull``, ``Unavailable`` and the reason of ``stop``.
    """
    stop = stop or Stop()
    try:
        (folder / LINES).mkdir(parents=True, exist_ok=True)
        faults = {example.sha256: _fetch(store, folder, example.sha256, stop) for example in found.examples}
        kept = tuple(example for example in found.examples if faults[example.sha256] is None)
        # Whole or not at all, as all that others look for.
        part = folder / f"{name}.part"
        part.write_bytes(manifest(kept))
        part.replace(folder / name)
    except OSError as error:
        if is_full(error):
            raise StorageFull from error
        raise
    return Selection(kept, {**found.left_out, **_counted(faults.values())}, found.upto)


def _fetch(store: Storage, folder: Path, sha256: str, stop: Stop) -> str | None:
    """Put a picture into the folder, or say why it cannot be."""
    stop.check()
    content = store.get(storage.line_key(sha256))
    if content is None or sha256_of(content) != sha256:
        log.warning("the picture of a line is %s: %s", "lost" if content is None else "damaged", sha256)
        return LOST if content is None else DAMAGED
    (folder / LINES / f"{sha256}.png").write_bytes(content)
    return None


def _counted(faults: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(fault for fault in faults if fault))


def _refuse_too_few(found: Selection, needed: int) -> None:
    have = found.of(Split.TRAIN)
    if have >= needed:
        return
    waits = found.left_out.get(LeftOut.WAITS, 0)
    hint = (
        f"{waits} lines are still to be cut out of their pages, which a worker does."
        if waits
        else "Correct lines of handwriting, or confirm right ones; those of three pages in ten are kept for the proof."
    )
    raise TooFewLines(have=have, needed=needed, missing=needed - have, hint=hint)
