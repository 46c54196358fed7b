"""Sets of formulas, whichever way they lie on disk: MathWriting, CROHME, or a table beside pictures.

Names are listed at once, and all else is read when it is asked for: a set may have 600,000 formulas.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from copyist.engines.formula.latex import joined
from copyist.errors import FormulaDataMissing
from copyist.lifeline import end_with_parent
from copyist.training.formula.examples import Example, ExampleUnusable
from copyist.training.formula.sources import SPLITS, TABLE, InkFiles, Source, Split, Table, label_of

Label = tuple[str, ...]

_VALID, _TEST = 5, 5
"""Of a hundred, where the set does not say what they are."""
_ALONE = 4_000
"""Labels that are read before other processes have even started."""
_CHUNK = 256


class FormulaSet:
    """Formulas by name, in three splits. It can be sent to another process, and then does not look for names again."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._names: dict[Split, tuple[str, ...]] | None = None

    @property
    def kind(self) -> str:
        """One of mathwriting, crohme, csv."""
        return self._source.kind

    def names(self, split: Split) -> Sequence[str]:
        """The names of a split, sorted; listed once, when the first are asked for.

        Where no formula is said to be for validation, a hash of the label takes 5 % of those for training, and 5 % for
        the test where nothing is said at all; then all labels are read once.
        """
        if self._names is None:
            self._names = self._split()
        return self._names[split]

    def load(self, split: Split, name: str) -> Example:  # noqa: ARG002 - a name says it all here
        """An example by its name; raises ``ExampleUnusable``."""
        return self._source.example(name)

    def labels(self, split: Split, processes: int = 1) -> Iterator[tuple[str, Label | ExampleUnusable]]:
        """The label of each, in the order of ``names``, or why it has none; strokes and pictures are not looked at."""
        return self._labels(self.names(split), processes)

    def _labels(self, names: Sequence[str], processes: int) -> Iterator[tuple[str, Label | ExampleUnusable]]:
        if processes <= 1 or len(names) <= _ALONE:
            yield from ((name, _label(self._source, name)) for name in names)
            return
        # A fork would take the locks of whatever threads are running with it.
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(processes, _begin, (self._source,)) as pool:
            yield from zip(names, pool.imap(_label_here, names, _CHUNK), strict=True)

    def _split(self) -> dict[Split, tuple[str, ...]]:
        found: dict[Split | None, list[str]] = {split: [] for split in (*SPLITS, None)}
        for name, split in self._source.names():
            found[split].append(name)
        unsaid = found.pop(None)
        said = any(found.values())
        found["train"] += unsaid
        if not found["valid"] and found["train"]:
            found |= self._parted(found["train"], test=not said)
        return {split: tuple(sorted(found[split])) for split in SPLITS}

    def _parted(self, names: Iterable[str], *, test: bool) -> dict[Split | None, list[str]]:
        parts: dict[Split | None, list[str]] = {split: [] for split in SPLITS if test or split != "test"}
        for name, label in self._labels(list(names), 1):
            place = _place(name if isinstance(label, ExampleUnusable) else joined(label))
            split: Split = "valid" if place < _VALID else "test" if test and place < _VALID + _TEST else "train"
            parts[split].append(name)
        return parts


def open_set(folder: Path) -> FormulaSet:
    """The set in ``folder``; raises ``FormulaDataMissing`` where there is none.

    Files of ink in train, valid, test (and synthetic, symbols, which are trained on) are MathWriting; else a labels.csv
    counts; else files of ink in folders of any names are CROHME.
    """
    if not folder.is_dir():
        raise FormulaDataMissing(reason=f"{folder} is no folder.")
    ink = InkFiles(folder)
    if ink.kind != "mathwriting" and (folder / TABLE).is_file():
        table = Table(folder)
        if next(table.names(), None) is None:
            raise FormulaDataMissing(reason=f"{folder / TABLE} names no images.")
        return FormulaSet(table)
    if next(ink.names(), None) is None:
        raise FormulaDataMissing(
            reason=f"{folder} holds neither .inkml files (links to folders are not followed) nor a {TABLE}."
        )
    return FormulaSet(ink)


def _place(text: str) -> int:
    """Where a text falls among a hundred places, always the same."""
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:8]) % 100


def _label(source: Source, name: str) -> Label | ExampleUnusable:
    try:
        return label_of(source.latex(name), name)
    except ExampleUnusable as unusable:
        return unusable


_here: Source


def _begin(source: Source) -> None:
    """In a process of its own: keep what to read from, end with the parent, leave Ctrl-C to it."""
    global _here
    _here = source
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _label_here(name: str) -> Label | ExampleUnusable:
    return _label(_here, name)
