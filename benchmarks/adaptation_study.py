"""The runs of the adaptation benchmark (``benchmarks.adaptation``), and what they say."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.table import Table

from benchmarks.adaptation_base import pretrain
from benchmarks.adaptation_runs import Lines, blend, read_cer, tune_fully, tune_lora
from benchmarks.report import Figure, at_least, at_most, console, plain
from copyist.training.order import Parameters
from copyist.training.strokes import Hand, general_lines, texts, write

BASE = "COPYIST_BENCHMARK_BASE"
"""Names the folder of a base that is there; ``--base`` sets it."""
SAMPLES = Path(os.environ.get("COPYIST_SAMPLES", Path(__file__).resolve().parent.parent.parent / "shared" / "samples"))
LORA_METHOD, FULL_METHOD, BLENDED = "LoRA", "all weights", ", blended"
METHODS = (LORA_METHOD, LORA_METHOD + BLENDED, FULL_METHOD, FULL_METHOD + BLENDED)
SIZES = (50, 150, 300, 500)
HANDS = (
    Hand.of(1, ["scriptc"], strength=1.6),
    Hand.of(2, ["timesib"], strength=1.6),
    Hand.of(3, ["gothitt"], strength=1.6),
)
STEPS = 6000
_TEST, _GENERAL = 150, 300
_GENERAL_SEED = 7_001
LORA = Parameters(learning_rate=1e-3, batch=16, replay=0.4)
FULL = Parameters(learning_rate=3e-4, batch=16, replay=0.4)
"""The rates were chosen on two other hands. A model of 2 million weights wants a higher one than one of 60."""
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
        points = [point for hand in hands for point in before(base, hand, test, everybody)]
        for hand, size, method in itertools.product(hands, sizes, (LORA_METHOD, FULL_METHOD)):
            points += after(base, hand, size, method, test, everybody, Path(work))
        console.print(_table(points))
        return [*_figures(points, sizes), *_real(base, Path(work))]


def _base(folder: Path, *, steps: int) -> Path:
    if given := os.environ.get(BASE):
        return Path(given)
    for step in pretrain(folder, steps=steps):
        console.print(f"  base: step {step} of {steps}")
    return folder


def before(base: Path, number: int, unseen: int, general: Lines) -> list[Point]:
    """How the base reads hand ``number``."""
    own, of_all = read_cer(base, drawn_by(HANDS[number], unseen, 2), general)
    return [Point(method, number, 0, own, of_all, 0.0) for method in METHODS]


def after(base: Path, number: int, lines: int, method: str, unseen: int, general: Lines, work: Path) -> list[Point]:
    """The base tuned by ``method`` on ``lines`` of hand ``number``, as it comes out and blended with the base."""
    hand = HANDS[number]
    corrected, test = drawn_by(hand, max(SIZES), 1).first(lines), drawn_by(hand, unseen, 2)
    tune, parameters = (tune_lora, LORA) if method == LORA_METHOD else (tune_fully, FULL)
    tuned = tune(base, corrected, work / "tuned", parameters)
    blended = blend(base, tuned.folder, work / "blended")
    points = []
    for name, folder in ((method, tuned.folder), (method + BLENDED, blended)):
        own, of_all = read_cer(folder, test, general)
        points.append(Point(name, number, lines, own, of_all, tuned.seconds))
        console.print(f"  {points[-1]}")
    shutil.rmtree(work / "tuned")
    shutil.rmtree(work / "blended")
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
    return [
        figure
        for method, size in itertools.product(METHODS, sizes)
        for figure in _pair(points, method, size, barred=size == bar_at and method.startswith(LORA_METHOD))
    ]


def _pair(points: list[Point], method: str, size: int, *, barred: bool) -> tuple[Figure, Figure]:
    """How much better the hands' own lines are read, and how much worse the general set."""
    old, new = ([point for point in points if (point.method, point.lines) == (method, lines)] for lines in (0, size))
    fall = 100 * (1 - _mean(new, "own") / _mean(old, "own"))
    rise = 100 * (_mean(new, "general") / _mean(old, "general") - 1)
    learned, forgot = (f"{method}, {size} lines: CER of the hand falls by", f"{method}, {size} lines: general rises by")
    each = ", ".join(f"{one.own:.1%} to {other.own:.1%}" for one, other in zip(old, new, strict=True))
    general = f"{_mean(old, 'general'):.2%} to {_mean(new, 'general'):.2%}"
    if barred:
        return at_least(learned, fall, _FALL, unit=" %", note=each), at_most(
            forgot, rise, _RISE, unit=" %", note=general
        )
    return plain(learned, f"{fall:.3g} %", each), plain(forgot, f"{rise:.3g} %", general)


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
    (first,), (then,) = read_cer(base, test), read_cer(tuned.folder, test)
    what = f"real lines: CER of {len(test)} after {len(learned)} of {len(writers)} hands"
    return [plain(what, f"{then:.1%}", f"before {first:.1%}; a handful, read by a model of drawn letters")]


def _collected(folder: Path, said: dict[str, str]) -> Lines:
    pictures = [cv2.imread(str(folder / file), cv2.IMREAD_GRAYSCALE) for file in said]
    return Lines([np.asarray(picture, np.uint8) for picture in pictures], list(said.values()))
