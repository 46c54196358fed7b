"""Pages a minute against OCRmyPDF with two jobs: the same scanned PDF in, a searchable PDF out of both.

The service's time runs from the upload to the PDF in the client's hands. OCRmyPDF is taken from the PATH, or from where
the environment variable ``OCRMYPDF`` says: its program, or the folder of its own virtual environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.pages import scans
from benchmarks.report import Figure, at_least, median, plain
from benchmarks.service import Service
from benchmarks.throughput import Runs, children_cpu_s, speed

ABOUT = "against OCRmyPDF -j2, scanned PDF in, searchable PDF out"
BAR = 2.0
DPI = 300


def find_ocrmypdf() -> str | None:
    """The program, if it is here."""
    given = os.environ.get("OCRMYPDF", "")
    places = [given, str(Path(given, "bin", "ocrmypdf"))] if given else ["ocrmypdf"]
    return next((found for place in places if (found := shutil.which(place))), None)


def measure(quick: bool) -> list[Figure]:
    """Take the figures."""
    program = find_ocrmypdf()
    if program is None:
        note = "OCRmyPDF is not installed; OCRMYPDF=FOLDER names its virtual environment"
        return [Figure("service ÷ OCRmyPDF", "skipped", f">= {BAR:g}", None, note)]
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    pages, rounds = (4, 1) if quick else (12, 3)
    ours, theirs = Runs(), Runs()
    with (
        tempfile.TemporaryDirectory() as folder,
        Service(OCR_BACKEND="tesseract", OCR_FALLBACK="tesseract", RESULT_CACHE="false") as service,
    ):
        path, out, found = (Path(folder, name) for name in ("in.pdf", "out.pdf", "found.pdf"))
        path.write_bytes(scans(pages, dpi=DPI))
        command = [program, "-j2", "--output-type", "pdf", "--quiet", str(path), str(out)]
        service.read(scans(4, dpi=200, first=900), "warm-up.pdf")
        for _ in range(rounds):
            ours.take(lambda: found.write_bytes(_searchable(service, path)), service.cpu_s)
            theirs.take(lambda: subprocess.run(command, check=True, capture_output=True), children_cpu_s)
        size, size_ours, size_theirs = (file.stat().st_size / 1e6 for file in (path, found, out))
    ratios = [theirs_s / ours_s for ours_s, theirs_s in zip(ours.wall_s, theirs.wall_s, strict=True)]
    cpu = median(theirs.cpu_s) / median(ours.cpu_s)
    note = f"{pages} pages at {DPI} dpi, median of {rounds} runs in turn; by CPU seconds {cpu:.2f}"
    return [
        at_least("service ÷ OCRmyPDF", median(ratios), BAR, note=note),
        plain("service", *speed(ours, pages)),
        plain(f"OCRmyPDF {version}", *speed(theirs, pages)),
        plain("size of the PDF", f"{size_ours:.2f} MB", f"{size:.2f} MB before; OCRmyPDF's {size_theirs:.2f} MB"),
    ]


def _searchable(service: Service, path: Path) -> bytes:
    """The searchable PDF of a file, read by the service."""
    job = service.read(path.read_bytes(), path.name)
    return service.http.get(f"/api/jobs/{job['id']}/result.pdf").raise_for_status().content
