"""Folders of formulas written by hand that nobody wrote, in MathWriting's layout: train, valid and test, of InkML.

Which formula and which writer an example has depends on the seed and its number only, so that the same seed makes the
same folder however many processes work on it. Held-out sets have writers of their own, and formulas that are in no
training set of any seed: a hash of the formula says where it may stand.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from copyist.engines.formula import latex
from copyist.errors import FormulaDataMissing
from copyist.lifeline import end_with_parent
from copyist.training.formula import grammar, inkml, tree, writing
from copyist.training.formula.ink import Written

VERSION = 1
"""Of what a seed gives; changes with grammar, layout, forms and writers."""
FILE = "generated.json"
SPLITS = ("train", "valid", "test")

_CHUNK = 200
"""Examples that one process writes at a time."""
_FORMULAS_PER_WRITER = 5
_HELD_OUT = 30
"""One formula in so many is kept for valid, and one for test."""


@dataclass(frozen=True)
class _Task:
    """A run of examples: numbers ``first`` to ``last`` of a split."""

    folder: Path
    split: str
    seed: int
    first: int
    last: int


def generate(
    folder: Path,
    *,
    count: int,
    seed: int = 0,
    valid: int | None = None,
    test: int | None = None,
    processes: int | None = None,
    told: Callable[[int, int], None] | None = None,
) -> None:
    """Write ``count`` formulas to train on into ``folder``, and ``valid`` and ``test`` held-out ones.

    Those are a twentieth of ``count`` where nothing else is said, 50 to 2,000. ``told`` gets how many are done, and of
    how many. What an interrupted call with the same numbers left is completed; raises ``FormulaDataMissing`` where
    something else is in ``folder``.
    """
    held_out = min(max(count // 20, 50), 2000)
    counts = {"train": count, "valid": held_out if valid is None else valid, "test": held_out if test is None else test}
    facts = {"version": VERSION, "seed": seed, "counts": counts, "complete": False}
    _begin(folder, facts)
    tasks = [
        _Task(folder, split, seed, first, min(first + _CHUNK, total))
        for split, total in counts.items()
        for first in range(0, total, _CHUNK)
    ]
    done = 0
    with closing(_each(tasks, processes or os.cpu_count() or 1)) as each:
        for task, _ in zip(tasks, each, strict=True):
            done += task.last - task.first
            if told:
                told(done, sum(counts.values()))
    _note(folder, facts | {"complete": True})


def examples(split: str, *, seed: int, first: int = 0) -> Iterator[Written]:
    """The examples that ``generate`` writes, from number ``first`` (a multiple of 200) on and without end."""
    for start in itertools.count(first, _CHUNK):
        for number, written in enumerate(_chunk(split, seed, start), start):
            yield Written(written.ink, written.latex, f"{split}-{number:07d}", written.writer)


def home(label: Sequence[str]) -> str:
    """The split that a formula belongs to, whatever the seed."""
    digest = hashlib.blake2b(" ".join(label).encode(), digest_size=4).digest()
    bucket = int.from_bytes(digest, "big") % _HELD_OUT
    return {0: "valid", 1: "test"}.get(bucket, "train")


def _each(tasks: Sequence[_Task], processes: int) -> Generator[None, None, None]:
    """Write one task after another; closed early, it leaves out those that nobody has begun."""
    if processes == 1:
        yield from map(_write, tasks)
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_as_child) as pool:
        yield from pool.map(_write, tasks)


def _as_child() -> None:
    """In a process of its own: end with the parent, leave Ctrl-C to it."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _begin(folder: Path, facts: dict[str, object]) -> None:
    """Make sure that nothing is mixed."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        try:
            found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        if not isinstance(found, dict) or {**found, "complete": False} != facts:
            raise FormulaDataMissing(reason=f"{folder} holds something else already; name a new folder.")
    for split in SPLITS:
        (folder / split).mkdir(parents=True, exist_ok=True)
    _note(folder, facts)


def _note(folder: Path, facts: dict[str, object]) -> None:
    (folder / FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _write(task: _Task) -> None:
    """Write the examples of ``task``; those of a run that was there already are left alone."""
    names = [task.folder / task.split / f"{task.split}-{number:07d}.inkml" for number in range(task.first, task.last)]
    # The last is written last: it is there only where all are.
    if names[-1].exists():
        return
    for written, path in zip(examples(task.split, seed=task.seed, first=task.first), names, strict=False):
        partial = path.with_suffix(".part")
        inkml.write(written, partial)
        partial.replace(path)


def _chunk(split: str, seed: int, first: int) -> Iterator[Written]:
    where = SPLITS.index(split)
    chunk = first // _CHUNK
    thoughts = grammar.formulas(int(np.random.SeedSequence([seed, where, chunk]).generate_state(1)[0]))
    labels = (label for label in thoughts if home(label) == split)
    for number, label in enumerate(itertools.islice(labels, _CHUNK)):
        person = (first + number) // _FORMULAS_PER_WRITER
        writer = _writer(seed, where, person)
        chance = np.random.default_rng([seed, where, first + number, 2])
        ink = writing.write(tree.parsed(label), writer, chance)
        yield Written(ink, latex.joined(label), writer=f"{split}-{seed}-{person}")


@lru_cache(maxsize=4)
def _writer(seed: int, where: int, person: int) -> writing.Writer:
    return writing.Writer.of(int(np.random.SeedSequence([seed, where, person, 1]).generate_state(1)[0]))
