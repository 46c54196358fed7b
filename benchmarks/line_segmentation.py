"""Lines of handwriting: how many each method finds of those that are there, and what a page costs.

Collected pages (folder ``handwriting`` of ``COPYIST_SAMPLES``) are counted against the lines of their transcription;
on pages drawn here, where every line's place is known, recall and precision are taken too. The method in use stands
beside the two that are usually tried first: one profile of the whole page, as it is and after straightening it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.table import Table
from tests.engines.handwritten_pages import Sheet, sheet

from benchmarks.report import Figure, at_least, at_most, console, plain
from copyist.engines.lines import find_lines
from copyist.engines.lines.ink import find_ink

ABOUT = "lines of handwriting found against those that are there"
SAMPLES = Path(os.environ.get("COPYIST_SAMPLES", Path(__file__).resolve().parent.parent.parent / "shared" / "samples"))
DRAWN: dict[str, dict[str, float | bool]] = {
    "clean": {},
    "skew 2°": {"skew": 2.0},
    "wavy ±12 px": {"wave": 12.0},
    "tight": {"lines": 30, "pitch": 60, "letters": 2.2},
    "tight, skew 1.5°": {"lines": 30, "pitch": 60, "letters": 2.2, "skew": 1.5},
    "ruled": {"ruled": True},
}
Pixels = npt.NDArray[np.uint8]
Middles = list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]
"""For each line found the columns and rows of its middle, in pixels of the page."""


@dataclass(frozen=True)
class Found:
    """What one method found on one page: lines, of these true ones, and the CPU seconds."""

    lines: int
    true: int
    seconds: float


def strip_profile(pixels: Pixels) -> Middles:
    """The method in use."""
    paths = (np.array(line.path, float).T for line in find_lines(pixels))
    return [(x, y) for x, y in paths]


def global_profile(pixels: Pixels, slope: float = 0.0) -> Middles:
    """The maxima of the smoothed sums of all rows, of the page sheared level by ``slope``."""
    ink = find_ink(pixels)
    height, width = ink.mask.shape
    matrix = np.array([[1.0, 0, 0], [-slope, 1, slope * width / 2]])
    sums = cv2.warpAffine(ink.mask, matrix, (width, height)).astype(float).mean(axis=1)
    smooth = np.convolve(sums, np.hanning(19) / np.hanning(19).sum(), mode="same")
    peaks = [row for row in range(1, height - 1) if smooth[row - 1] < smooth[row] >= smooth[row + 1]]
    columns = np.linspace(0, pixels.shape[1], 40)
    rows = [row for row in peaks if smooth[row] > 0.25 * max(smooth[peak] for peak in peaks)]
    return [(columns, row / ink.scale + slope * (columns - pixels.shape[1] / 2)) for row in rows]


def deskewed_profile(pixels: Pixels) -> Middles:
    """The same after turning the page by the angle at which the sums of its rows differ most."""
    mask = find_ink(pixels).mask.astype(float)
    height, width = mask.shape

    def sharpness(slope: float) -> float:
        matrix = np.array([[1.0, 0, 0], [-slope, 1, slope * width / 2]])
        return float(np.square(np.diff(cv2.warpAffine(mask, matrix, (width, height)).mean(axis=1))).sum())

    return global_profile(pixels, float(max(np.linspace(-0.1, 0.1, 41), key=sharpness)))


METHODS: dict[str, Callable[[Pixels], Middles]] = {
    "global profile": global_profile,
    "deskew + profile": deskewed_profile,
    "strip profile": strip_profile,
}


def measure(quick: bool) -> list[Figure]:
    """Take the figures; the tables are printed on the way."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return [*_collected(), *_drawn(1 if quick else 3)]
    finally:
        cv2.setNumThreads(before)


def _collected() -> Iterator[Figure]:
    folder = SAMPLES / "handwriting"
    if not folder.is_dir():
        console.print("  COPYIST_SAMPLES is not set: the collected pages are left out")
        return
    table = _table("page", "truth", *METHODS, "CPU s")
    off, most, seconds = 0, 0, 0.0
    for entry in json.loads((folder / "manifest.json").read_text(encoding="utf-8")):
        if entry["unit"] != "page" or not entry["file"].endswith((".jpg", ".png")):
            continue
        with Image.open(folder / entry["file"]) as image:
            pixels = np.asarray(image.convert("RGB"))
        truth = sum(bool(line.strip()) for line in entry["truth"].splitlines())
        counts, last = [], 0.0
        for method in METHODS.values():
            started = time.process_time()
            counts.append(len(method(pixels)))
            last = time.process_time() - started
        table.add_row(entry["file"], str(truth), *map(str, counts), f"{last:.2f}")
        off, most, seconds = off + (counts[-1] != truth), max(most, abs(counts[-1] - truth)), max(seconds, last)
    console.print(table)
    yield at_most(
        "collected pages with another count", off, 2, note="printed lines and a page number, not in the truth"
    )
    yield at_most("lines too many or too few on one of them", most, 2)
    yield at_most("CPU seconds for the dearest of them", seconds, 2.0, unit=" s")


def _drawn(each: int) -> Iterator[Figure]:
    table = _table("drawn page", *(f"{name}: recall / precision" for name in METHODS))
    worst = 1.0
    spent: dict[str, list[float]] = {name: [] for name in METHODS}
    for kind, options in DRAWN.items():
        cells = []
        for name, method in METHODS.items():
            pages = [sheet(**options, seed=seed) for seed in range(each)]  # type: ignore[arg-type]
            found = [_found(page, method, float(options.get("pitch", 90))) for page in pages]
            written = sum(len(page.middles) for page in pages)
            true, lines = sum(one.true for one in found), sum(one.lines for one in found)
            recall, precision = true / written, true / max(lines, 1)
            cells.append(f"{recall:.2f} / {precision:.2f}")
            spent[name] += [one.seconds for one in found]
            worst = min(worst, recall, precision) if method is strip_profile else worst
        table.add_row(kind, *cells)
    console.print(table)
    yield at_least("worst recall or precision on drawn pages", worst, 0.97)
    for name, seconds in spent.items():
        yield plain(f"CPU seconds for an A4 page at 200 dpi, {name}", f"{sum(seconds) / len(seconds):.2f} s")


def _found(page: Sheet, method: Callable[[Pixels], Middles], pitch: float) -> Found:
    started = time.process_time()
    lines = method(page.pixels)
    seconds = time.process_time() - started
    return Found(
        len(lines), sum(any(_is_along(line, truth, pitch) for line in lines) for truth in page.middles), seconds
    )


def _is_along(
    line: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    truth: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    pitch: float,
) -> bool:
    """Whether a line found stays within a third of the lines' distance of a written one."""
    xs, ys = truth
    return bool(np.abs(np.interp(xs, *line) - ys).max() < pitch / 3)


def _table(*headings: str) -> Table:
    table = Table(title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
