"""What a benchmark says: figures against their bars, the machine, a table for people and JSON for later."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
console = Console(highlight=False, width=None if Console().is_terminal else 118)


@dataclass(frozen=True)
class Figure:
    """One measured number. ``bar`` is written ``<= 40 ms``; ``passed`` is ``None`` where there is no bar to hold."""

    what: str
    value: str
    bar: str = ""
    passed: bool | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """The word for the table."""
        return {True: "pass", False: "FAIL", None: "no bar"}[self.passed]


def at_least(what: str, value: float, bar: float, *, unit: str = "", note: str = "") -> Figure:
    """A figure that must not be smaller than ``bar``."""
    return Figure(what, f"{value:.3g}{unit}", f">= {bar:g}{unit}", value >= bar, note)


def at_most(what: str, value: float, bar: float, *, unit: str = "", note: str = "") -> Figure:
    """A figure that must not be larger than ``bar``."""
    return Figure(what, f"{value:.3g}{unit}", f"<= {bar:g}{unit}", value <= bar, note)


def plain(what: str, value: str, note: str = "") -> Figure:
    """A figure to read beside the others."""
    return Figure(what, value, note=note)


def median(values: Sequence[float]) -> float:
    """The middle of several runs."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` (0 to 1) of ``values`` do not exceed, by the nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def machine() -> dict[str, Any]:
    """The facts without which a figure says nothing: cores, processor, how busy it is right now."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        named = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = named[0].partition(":")[2].strip() if named else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = [round(value, 2) for value in os.getloadavg()]
    return {"cores": cores, "processor": model, "load": load, "python": platform.python_version()}


def show(name: str, about: str, figures: Sequence[Figure], facts: Mapping[str, Any], *, quick: bool) -> None:
    """Print the table of one benchmark and append it to ``results/NAME.jsonl``."""
    busy = facts["load"][0] > facts["cores"] / 2
    table = Table(title=f"{name}: {about}", title_justify="left", title_style="bold", expand=False)
    for heading in ("what", "measured", "bar", "verdict", "note"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("measured", "bar", "verdict"))
    colours = {"pass": "green", "FAIL": "red", "no bar": "dim"}
    for figure in figures:
        verdict = f"[{colours[figure.verdict]}]{figure.verdict}[/]"
        table.add_row(figure.what, figure.value, figure.bar, verdict, figure.note)
    console.print(table)
    if busy:
        console.print("[yellow]Other work was running at the start: take these figures as rough.[/]")
    if quick:
        console.print("[yellow]Small sizes (--quick): these figures are a smoke test, not a measurement.[/]")
    keep(name, figures, facts, quick=quick)


def keep(name: str, figures: Sequence[Figure], facts: Mapping[str, Any], *, quick: bool) -> None:
    """Append one run as a line of JSON."""
    RESULTS.mkdir(exist_ok=True)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {"at": at, "quick": quick, "machine": dict(facts), "figures": [asdict(figure) for figure in figures]}
    with (RESULTS / f"{name}.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(entry, ensure_ascii=False) + "\n")
