"""Character error rate through the service with its default settings, against plain ``tesseract`` on the same files.

Files: the project's own samples, the printed ones of the folder that ``COPYIST_SAMPLES`` names, and pages drawn here
that are turned, tilted or photographed. Texts are compared with whitespace collapsed, quotes and dashes unified.
"""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jiwer
from PIL import Image

from benchmarks import tesseract_cli
from benchmarks.pages import photographed, png, sheet, skewed
from benchmarks.report import Figure, console
from benchmarks.service import Service

ABOUT = "character error rate, service with default settings against plain tesseract"
ROOT = Path(__file__).resolve().parent.parent
OWN = ROOT / "tests" / "samples"
FAR_BELOW = 0.25
"""On turned, tilted and photographed pages the service may make at most this share of plain Tesseract's errors."""
ROUNDING = 0.0005
"""Two readings that differ by one character in 2,000 are alike."""
ALIKE = {"'": "‘’‚‛`´", '"': "“”„‟«»", "-": "‐‑‒–—―−"}
UNIFIED = str.maketrans({variant: sign for sign, variants in ALIKE.items() for variant in variants})


@dataclass(frozen=True)
class Sample:
    """A file, what stands on it, and its group: ``straight``, ``turned``, ``tilted``, ``photo``, or odd ``forms``."""

    name: str
    data: bytes
    truth: str
    group: str
    language: str = "eng"


@dataclass(frozen=True)
class Errors:
    """Both error rates of one sample."""

    sample: Sample
    service: float
    tesseract: float
    engines: str


def normalised(text: str) -> str:
    """Whitespace collapsed, quotes and dashes unified."""
    return re.sub(r"\s+", " ", text.translate(UNIFIED)).strip()


def error_rate(truth: str, text: str) -> float:
    """CER after normalising, 0 and up."""
    return float(jiwer.cer(normalised(truth), normalised(text)))


def measure(quick: bool) -> list[Figure]:
    """Take the figures."""
    tesseract_cli.need("pdftoppm", "tesseract")
    installed = tesseract_cli.languages()
    samples = [*_own(), *_collected(), *_made(1 if quick else 3)]
    if quick:
        samples = samples[::4]
    found: list[Errors] = []
    with tempfile.TemporaryDirectory() as folder, Service() as service:
        for sample in samples:
            # Without the sample's language both read with English letters, which is as fair.
            language = sample.language if sample.language in installed else "eng"
            path = Path(folder, sample.name)
            path.write_bytes(sample.data)
            job = service.read(sample.data, sample.name, languages=language)
            mine, plain_text = service.text(job), tesseract_cli.read(path, language)
            rates = error_rate(sample.truth, mine), error_rate(sample.truth, plain_text)
            found.append(Errors(sample, *rates, engines=", ".join(job["engines"])))
            console.print(f"  {sample.group:8} {sample.name:32} {rates[0]:8.4f} {rates[1]:8.4f}  {found[-1].engines}")
    return _judge(found)


def _judge(found: list[Errors]) -> list[Figure]:
    groups = sorted({errors.sample.group for errors in found})
    figures = [_group(name, [errors for errors in found if errors.sample.group == name]) for name in groups]
    worse = [errors for errors in found if errors.service > errors.tesseract + ROUNDING]
    names = ", ".join(f"{one.sample.name} {one.service:.3f} v {one.tesseract:.3f}" for one in worse)
    return [*figures, Figure("files read worse than by tesseract", str(len(worse)), "0", not worse, names)]


def _group(name: str, found: list[Errors]) -> Figure:
    ours = sum(errors.service for errors in found) / len(found)
    theirs = sum(errors.tesseract for errors in found) / len(found)
    share = 1.0 if name in ("straight", "forms") else FAR_BELOW
    note = f"{len(found)} files; tesseract {theirs:.4f}, the bar is {share:g} of that"
    holds = ours <= share * theirs + ROUNDING
    return Figure(f"mean CER, {name}", f"{ours:.4f}", f"<= {share * theirs:.4f}", holds, note)


def _own() -> Iterator[Sample]:
    groups = {"turned": "turned", "skewed": "tilted", "photo": "photo", "form": "forms"}
    for entry in json.loads((OWN / "manifest.json").read_text(encoding="utf-8")):
        if entry["expect"] == "completed":
            truth = "\n".join(entry["truth"])
            group = groups.get(entry["kind"], "straight")
            yield Sample(entry["file"], (OWN / entry["file"]).read_bytes(), truth, group)


def _collected() -> Iterator[Sample]:
    folder = Path(os.environ.get("COPYIST_SAMPLES", ROOT.parent / "shared" / "samples")) / "printed"
    if not folder.is_dir():
        console.print("  COPYIST_SAMPLES is not set: the collected printed samples are left out")
        return
    for entry in json.loads((folder / "manifest.json").read_text(encoding="utf-8")):
        if entry["truth"] and entry["truth_format"] == "text":
            group = "turned" if "rotated" in entry["file"] else "straight"
            data = (folder / entry["file"]).read_bytes()
            yield Sample(entry["file"], data, entry["truth"], group, entry["lang"])


def _made(each: int) -> Iterator[Sample]:
    for seed in range(each):
        image, truth = sheet(100 + seed)
        for degrees in (90, 180, 270):
            turned = image.rotate(-degrees, expand=True)
            yield Sample(f"made-{seed}-turned-{degrees}.png", png(turned), truth, "turned")
        for degrees in (2, 5, 8):
            # On a larger sheet, so that no corner of the text is cut off.
            yield Sample(
                f"made-{seed}-tilted-{degrees}.png", png(skewed(_with_border(image), degrees)), truth, "tilted"
            )
        yield Sample(f"made-{seed}-photo.jpg", _jpeg(photographed(image, seed=seed)), truth, "photo")


def _with_border(image: Image.Image) -> Image.Image:
    wide = Image.new("L", (image.width + 300, image.height + 300), 255)
    wide.paste(image, (150, 150))
    return wide


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=75, dpi=(200, 200))
    return out.getvalue()
