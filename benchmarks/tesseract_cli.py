"""What a person has without the service: ``pdftoppm`` and ``tesseract`` on the command line, two pages at a time."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pypdfium2

DPI = 300
AT_ONCE = 2
# Tesseract's own threads wait by spinning and cost two to three times the CPU: its best speed is without them.
ENVIRONMENT = {**os.environ, "OMP_THREAD_LIMIT": "1"}


class MissingTool(RuntimeError):
    """A program to compare with is not installed."""


def need(*programs: str) -> None:
    """Raise ``MissingTool`` unless all ``programs`` are on the PATH."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        raise MissingTool(f"{', '.join(missing)} is not installed (Debian: poppler-utils, tesseract-ocr)")


def languages() -> set[str]:
    """The languages whose models are installed."""
    listed = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True, check=True).stdout
    return set(listed.splitlines()[1:])


def read_image(path: Path, language: str = "eng") -> str:
    """Tesseract's text of an image file, all of its frames."""
    command = ["tesseract", str(path), "-", "-l", language]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    return done.stdout


def read_pdf(path: Path, language: str = "eng") -> str:
    """The text of a PDF: each page drawn at 300 dpi in grey and piped into Tesseract, two pages at a time."""
    with pypdfium2.PdfDocument(path) as document:
        pages = range(1, len(document) + 1)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return "\n".join(pool.map(lambda number: _read_page(path, number, language), pages))


def _read_page(path: Path, number: int, language: str) -> str:
    draw = ["pdftoppm", "-r", str(DPI), "-gray", "-f", str(number), "-l", str(number), str(path)]
    read = ["tesseract", "-", "-", "-l", language, "--dpi", str(DPI)]
    with subprocess.Popen(draw, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as drawing:
        done = subprocess.run(read, stdin=drawing.stdout, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    return done.stdout


def read(path: Path, language: str = "eng") -> str:
    """The text of a PDF or an image file."""
    return read_pdf(path, language) if path.suffix == ".pdf" else read_image(path, language)
