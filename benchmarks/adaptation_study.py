"""The runs of the adaptation benchmark (``benchmarks.adaptation``), and what they say."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.table import Table

from benchmarks.adaptation_base import pretrain
from benchmarks.adaptation_runs import Lines, read_cer, tune_fully, tune_lora
from benchmarks.report import Figure, at_least, at_most, console, plain
from copyist.training.order import Parameters
from copyist.training.strokes import Hand, general_lines, texts, write

BASE = "COPYIST_BENCHMARK_BASE"
"""Names the folder of a base that is there; ``--base`` sets it."""
SAMPLES = Path(os.environ.get("COPYIST_SAMPLES", Path(__file__).resolve().parent.parent.parent / "shared" / "samples"))
METHODS = ("LoRA", "all weights")
SIZES = (50, 150, 300, 500)
HANDS = (
    Hand.of(1, ["scriptc"], strength=1.6),
    Hand.of(2, ["timesib"], strength=1.6),
    Hand.of(3, ["gothitt"], strength=1.6),
)
STEPS = 6000
_TEST, _GENERAL = 100, 200
_GENERAL_SEED = 7_001
LORA, FULL = Parameters(), Parameters()
_FALL, _RISE = 40.0, 5.0
_REAL_HELD_OUT = 2


@dataclass(frozen=True)
class Point:
    """CER of one model on unseen lines of ``hand`` and on the general set; ``lines`` is how many it was tuned on."""

    method: str
    hand: int
    lines: int
    own: float
    general: float
    seconds: float


def study(*, quick: bool) -> list[Figure]:
    """Tune the base to every hand with every number of lines, by both methods, and to the collected lines."""
    sizes = (50,) if quick else SIZES
    hands = range(1 if quick else len(HANDS))
    test, general = (20, 20) if quick else (_TEST, _GENERAL)
    with tempfile.TemporaryDirectory() as work:
        base = _base(Path(work) / "base", steps=200 if quick else STEPS)
        everybody = drawn_general(general)
        points = [point for hand in hands for point in of_hand(base, hand, sizes, test, everybody, Path(work))]
        console.print(_table(points))
        return [*_figures(points, sizes), *_real(base, Path(work))]


def _base(folder: Path, *, steps: int) -> Path:
    if given := os.environ.get(BASE):
        return Path(given)
    for step in pretrain(folder, steps=steps):
        console.print(f"  base: step {step} of {steps}")
    return folder


def of_hand(
    base: Path,
    number: int,
    sizes: tuple[int, ...],
    unseen: int,
    general: Lines,
    work: Path,
    methods: Sequence[str] = METHODS,
) -> list[Point]:
    """The base as it is and tuned to hand ``number`` with each of ``sizes``, on ``unseen`` other lines of that hand."""
    hand = HANDS[number]
    corrected, test = drawn_by(hand, max(sizes), 1), drawn_by(hand, unseen, 2)
    own, of_all = read_cer(base, test, general)
    points = [Point(method, number, 0, own, of_all, 0.0) for method in methods]
    for size, method in itertools.product(sizes, methods):
        tune, parameters = (tune_lora, LORA) if method == "LoRA" else (tune_fully, FULL)
        tuned = tune(base, corrected.first(size), work / f"{method}-{number}-{size}".replace(" ", "-"), parameters)
        own, of_all = read_cer(tuned.folder, test, general)
        points.append(Point(method, number, size, own, of_all, tuned.seconds))
        console.print(f"  {points[-1]}")
    return points


def drawn_by(hand: Hand, count: int, seed: int) -> Lines:
    """``count`` lines of ``hand``; another ``seed``, other lines."""
    chance = np.random.default_rng([hand.seed, seed])
    said = texts(count, 1_000 * hand.seed + seed)
    return Lines([write(text, hand, chance) for text in said], said)


def drawn_general(count: int) -> Lines:
    """Lines of many hands, of which none is ever learned from."""
    lines = general_lines(count, seed=_GENERAL_SEED)
    return Lines([picture for picture, _, _ in lines], [text for _, text, _ in lines])


def _table(points: list[Point]) -> Table:
    """CER in percent: each hand's own lines, their mean, the general set; seconds of tuning."""
    hands = sorted({point.hand for point in points})
    table = Table(title="CER in %, before and after", title_justify="left")
    for heading in ("method", "lines", *(f"hand {hand + 1}" for hand in hands), "mean", "general", "seconds"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for method in METHODS:
        for size in sorted({point.lines for point in points}):
            row = [point for point in points if (point.method, point.lines) == (method, size)]
            cers = [*(point.own for point in row), _mean(row, "own"), _mean(row, "general")]
            table.add_row(method, str(size), *(f"{cer:.1%}" for cer in cers), f"{_mean(row, 'seconds'):.0f}")
    return table


def _figures(points: list[Point], sizes: tuple[int, ...]) -> list[Figure]:
    bar_at = 300 if 300 in sizes else max(sizes)
    figures = []
    for method in METHODS:
        before = [point for point in points if (point.method, point.lines) == (method, 0)]
        for size in sizes:
            after = [point for point in points if (point.method, point.lines) == (method, size)]
            fall = 100 * (1 - _mean(after, "own") / _mean(before, "own"))
            rise = 100 * (_mean(after, "general") / _mean(before, "general") - 1)
            each = ", ".join(f"{old.own:.1%} to {new.own:.1%}" for old, new in zip(before, after, strict=True))
            general = f"{_mean(before, 'general'):.2%} to {_mean(after, 'general'):.2%}"
            learned, forgot = (
                f"{method}, {size} lines: CER of the hand falls by",
                f"{method}, {size} lines: general CER",
            )
            if size == bar_at and method == "LoRA":
                figures += [at_least(learned, fall, _FALL, unit=" %", note=each)]
                figures += [at_most(f"{forgot} rises by", rise, _RISE, unit=" %", note=general)]
            else:
                figures += [
                    plain(learned, f"{fall:.3g} %", each),
                    plain(f"{forgot} rises by", f"{rise:.3g} %", general),
                ]
    return figures


def _mean(points: list[Point], what: str) -> float:
    return float(np.mean([getattr(point, what) for point in points]))


def _real(base: Path, work: Path) -> list[Figure]:
    """The loop on collected lines, as few as they are: the last ones of the hand with the most lines are read."""
    folder = SAMPLES / "handwriting"
    if not (folder / "manifest.json").is_file():
        console.print("  COPYIST_SAMPLES is not set: the collected lines are left out")
        return []
    found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    said = {entry["file"]: entry["truth"] for entry in found if "-line-" in entry["file"]}
    writers: dict[str, list[str]] = {}
    for file in sorted(said):
        writers.setdefault(file.rpartition("-")[0], []).append(file)
    held_out = max(writers.values(), key=len)[-_REAL_HELD_OUT:]
    learned = _collected(folder, {file: text for file, text in said.items() if file not in held_out})
    test = _collected(folder, {file: said[file] for file in held_out})
    tuned = tune_lora(base, learned, work / "real", LORA)
    (before,), (after,) = read_cer(base, test), read_cer(tuned.folder, test)
    what = f"real lines: CER of {len(test)} after {len(learned)} of {len(writers)} hands"
    return [plain(what, f"{after:.1%}", f"before {before:.1%}; a handful, read by a model of drawn letters")]


def _collected(folder: Path, said: dict[str, str]) -> Lines:
    pictures = [cv2.imread(str(folder / file), cv2.IMREAD_GRAYSCALE) for file in said]
    return Lines([np.asarray(picture, np.uint8) for picture in pictures], list(said.values()))
