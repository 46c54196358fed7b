"""Pages a minute through the whole service, against ``pdftoppm`` and ``tesseract`` on the command line.

Both read the same scanned PDFs with two processes; the service has its result cache off, and its time runs from the
upload to the text in the client's hands. Runs take turns, so that a busy machine is busy for both.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import tesseract_cli
from benchmarks.pages import scans
from benchmarks.report import Figure, at_least, median, plain
from benchmarks.service import Service

ABOUT = "pages a minute, scanned PDF in, text out"
BAR = 1.2
RESOLUTIONS = (300, 200)
"""What office scanners are set to. The service draws a scan at its own resolution, the command line at 300 dpi."""


@dataclass
class Runs:
    """Wall and CPU seconds of one contender, run by run."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def take(self, work: Callable[[], object], cpu_now: Callable[[], float]) -> None:
        """Time one run."""
        cpu, started = cpu_now(), time.perf_counter()
        work()
        self.wall_s.append(time.perf_counter() - started)
        self.cpu_s.append(cpu_now() - cpu)


def children_cpu_s() -> float:
    """CPU seconds of the programs we started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(quick: bool) -> list[Figure]:
    """Take the figures."""
    tesseract_cli.need("pdftoppm", "tesseract")
    pages, rounds = (4, 1) if quick else (16, 3)
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Service(OCR_BACKEND="tesseract", OCR_FALLBACK="tesseract", RESULT_CACHE="false") as service,
    ):
        service.read(scans(4, dpi=200, first=900), "warm-up.pdf")  # both processes load their models
        for dpi in RESOLUTIONS:
            path = Path(folder, f"{dpi}.pdf")
            path.write_bytes(scans(pages, dpi=dpi))
            figures += _compare(service, path, dpi, pages=pages, rounds=rounds)
    return figures


def _compare(service: Service, path: Path, dpi: int, *, pages: int, rounds: int) -> list[Figure]:
    ours, theirs = Runs(), Runs()
    for _ in range(rounds):
        ours.take(lambda: service.text(service.read(path.read_bytes(), path.name)), service.cpu_s)
        theirs.take(lambda: tesseract_cli.read_pdf(path), children_cpu_s)
    ratios = [theirs_s / ours_s for ours_s, theirs_s in zip(ours.wall_s, theirs.wall_s, strict=True)]
    cpu = median(theirs.cpu_s) / median(ours.cpu_s)
    return [
        at_least(
            f"{dpi} dpi: service ÷ command line",
            median(ratios),
            BAR,
            note=f"{pages} pages, median of {rounds} runs in turn; by CPU seconds {cpu:.2f}",
        ),
        plain(f"{dpi} dpi: service", *speed(ours, pages)),
        plain(f"{dpi} dpi: command line", *speed(theirs, pages)),
    ]


def speed(runs: Runs, pages: int) -> tuple[str, str]:
    """Pages a minute and CPU seconds a page, in words."""
    wall, cpu = median(runs.wall_s), median(runs.cpu_s)
    return f"{60 * pages / wall:.1f} pages/min", f"{cpu / pages:.2f} CPU s a page"
