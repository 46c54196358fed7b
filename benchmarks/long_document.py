"""A document of 1,000 pages against one of 10: memory of the API and of the workers, and time per page.

Engine ``mock``, so that what is measured is the service. Both sizes are read by the same processes after a warm-up, the
small one many times, and no page has been read before.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

from benchmarks.pages import document
from benchmarks.report import Figure, at_most, median, plain
from benchmarks.service import Service

ABOUT = "1,000 pages against 10, engine mock"
SMALL, LARGE = 10, 1000
MEMORY_BAR, TIME_BAR = 1.10, 1.05
SAMPLE_EVERY_S = 0.1
MIB = 1 << 20


@dataclass(frozen=True)
class Run:
    """One document: wall and CPU seconds per page, and the peak of memory by kind of process, in bytes."""

    page_s: float
    page_cpu_s: float
    peak: dict[str, int]


class Peak:
    """Samples the resident memory of the service's processes; a child's is the largest of them."""

    def __init__(self, service: Service) -> None:
        self._service, self._over = service, threading.Event()
        self.bytes: dict[str, int] = defaultdict(int)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        round_number = 0
        while not self._over.is_set():
            if round_number % 20 == 0:  # children are replaced now and then
                processes = self._service.processes()
            round_number += 1
            for kind, members in processes.items():
                for process in members:
                    self.bytes[kind] = max(self.bytes[kind], _resident(process))
            self._over.wait(SAMPLE_EVERY_S)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def measure(quick: bool) -> list[Figure]:
    """Take the figures: small documents around each long one, so that a busy machine is busy for both."""
    large, around, rounds = (100, 3, 1) if quick else (LARGE, 10, 2)
    seeds = iter(range(10_000))
    with Service(OCR_BACKEND="mock") as service:
        for _ in range(5):  # every process has loaded what it needs
            _run(service, SMALL, next(seeds))
        small = [_run(service, SMALL, next(seeds)) for _ in range(around)]
        before, long = list(small), []
        for _ in range(rounds):
            long.append(_run(service, large, next(seeds)))
            small += [_run(service, SMALL, next(seeds)) for _ in range(around)]
    return [*_times(small, long, large), *_memory(before, long)]


def _times(small: list[Run], long: list[Run], large: int) -> list[Figure]:
    wall = [median([run.page_s for run in runs]) for runs in (long, small)]
    cpu = [median([run.page_cpu_s for run in runs]) for runs in (long, small)]
    note = (
        f"{1000 * wall[0]:.1f} ms against {1000 * wall[1]:.1f} ms; CPU {1000 * cpu[0]:.1f} against {1000 * cpu[1]:.1f}"
    )
    return [
        at_most(f"time per page, {large} ÷ {SMALL} pages", wall[0] / wall[1], TIME_BAR, note=note),
        plain("of that, by CPU seconds", f"{cpu[0] / cpu[1]:.3g}"),
        plain(f"{large} pages, {len(long)} times", f"{60 / wall[0]:.0f} pages/min"),
    ]


def _memory(before: list[Run], long: list[Run]) -> list[Figure]:
    figures = []
    for kind, what in (("api", "API"), ("child", "worker process"), ("worker", "worker's main process")):
        most, least = (max(run.peak[kind] for run in runs) for runs in (long, before))
        note = f"peak RSS {most / MIB:.0f} MiB against {least / MIB:.0f} MiB"
        figures.append(at_most(f"memory of the {what}", most / least, MEMORY_BAR, note=note))
    return figures


def _run(service: Service, pages: int, seed: int) -> Run:
    data = document(pages, seed=seed)
    cpu = service.cpu_s()
    with Peak(service) as peak:
        started = time.perf_counter()
        service.read(data, f"{pages}.pdf")
        seconds = time.perf_counter() - started
    return Run(seconds / pages, (service.cpu_s() - cpu) / pages, dict(peak.bytes))
