"""Pages a minute against OCRmyPDF with two jobs, over the same scanned PDF.

The bar is for a searchable PDF out of both. This version of the service writes text, not a PDF, so what is printed
compares the service's text with OCRmyPDF's PDF, and the bar is not judged. OCRmyPDF is taken from the PATH, or from
where the environment variable ``OCRMYPDF`` says: its program, or the folder of its own virtual environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.pages import scans
from benchmarks.report import Figure, median, plain
from benchmarks.service import Service
from benchmarks.throughput import Runs, children_cpu_s, speed

ABOUT = "against OCRmyPDF -j2 (its PDF against our TEXT: the service writes no PDF yet)"
BAR = ">= 2"
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
        return [Figure("service ÷ OCRmyPDF", "skipped", BAR, None, note)]
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    pages, rounds = (4, 1) if quick else (12, 3)
    ours, theirs = Runs(), Runs()
    with (
        tempfile.TemporaryDirectory() as folder,
        Service(OCR_BACKEND="tesseract", OCR_FALLBACK="tesseract", RESULT_CACHE="false") as service,
    ):
        path, out = Path(folder, "in.pdf"), Path(folder, "out.pdf")
        path.write_bytes(scans(pages, dpi=DPI))
        command = [program, "-j2", "--output-type", "pdf", "--quiet", str(path), str(out)]
        service.read(scans(4, dpi=200, first=900), "warm-up.pdf")
        for _ in range(rounds):
            ours.take(lambda: service.text(service.read(path.read_bytes(), path.name)), service.cpu_s)
            theirs.take(lambda: subprocess.run(command, check=True, capture_output=True), children_cpu_s)
    ratios = [theirs_s / ours_s for ours_s, theirs_s in zip(ours.wall_s, theirs.wall_s, strict=True)]
    cpu = median(theirs.cpu_s) / median(ours.cpu_s)
    note = f"TEXT out of ours, PDF out of OCRmyPDF {version}: not the bar's comparison; by CPU seconds {cpu:.2f}"
    return [
        Figure("service ÷ OCRmyPDF", f"{median(ratios):.2f}", BAR, None, note),
        plain("service", *speed(ours, pages)),
        plain("OCRmyPDF", *speed(theirs, pages)),
    ]
