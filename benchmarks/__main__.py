"""``python -m benchmarks [NAME...] [--quick]``: take the figures and print them as tables with their bars."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from typing import NamedTuple

from benchmarks import (
    accuracy,
    adaptation,
    formula,
    formula_accuracy,
    gpu,
    latency,
    line_segmentation,
    load,
    long_document,
    searchable_pdf,
    start,
    throughput,
    training_speed,
)
from benchmarks.report import Figure, console, machine, show
from benchmarks.service import ServiceError
from benchmarks.tesseract_cli import MissingTool


class Benchmark(NamedTuple):
    """What it is about, and what takes its figures, with ``quick`` as its only argument."""

    about: str
    measure: Callable[[bool], list[Figure]]


BENCHMARKS = {
    module.__name__.rpartition(".")[2]: Benchmark(module.ABOUT, module.measure)
    for module in (
        start,
        latency,
        load,
        long_document,
        throughput,
        searchable_pdf,
        accuracy,
        line_segmentation,
        gpu,
        adaptation,
        training_speed,
        formula,
        formula_accuracy,
    )
}
ONLY_BY_NAME = {"adaptation", "training_speed", "formula_accuracy"}
"""Too long to be taken with the others."""


def main() -> int:
    """Run what was asked for; 1 when a benchmark could not be taken, whatever the bars say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or more of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--base", metavar="FOLDER", help="adaptation, training_speed: tune this base")
    asked = parser.parse_args()
    if asked.base:
        os.environ["COPYIST_BENCHMARK_BASE"] = asked.base
    unknown = sorted(set(asked.names) - BENCHMARKS.keys())
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; choose from {', '.join(BENCHMARKS)}")
    facts = machine()
    console.print(f"{facts['cores']} cores, {facts['processor']}, load {facts['load'][0]}, Python {facts['python']}")
    usual = [name for name in BENCHMARKS if name not in ONLY_BY_NAME]
    failed = [name for name in asked.names or usual if not _run(name, quick=asked.quick)]
    if failed:
        console.print(f"[red]Not measured: {', '.join(failed)}[/]")
    return 1 if failed else 0


def _run(name: str, *, quick: bool) -> bool:
    benchmark, facts = BENCHMARKS[name], machine()
    console.print(f"\n[dim]{name} ...[/]")
    try:
        figures = benchmark.measure(quick)
    except (MissingTool, ServiceError) as error:
        console.print(f"{name}: {error}", markup=False, style="red")
        return False
    except Exception:
        console.print(traceback.format_exc(), markup=False, style="red")
        return False
    show(name, benchmark.about, figures, facts, quick=quick)
    return True


if __name__ == "__main__":
    sys.exit(main())
