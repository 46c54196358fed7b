"""How formulas are read: the engine ``formula`` beside what else runs here, on the same pictures.

Formulas drawn here by writers that no training set of Copyist's own has (``copyist.training.formula.generate`` with a
seed of its own, its ``test`` split), and the collected real ones (folder ``math`` of ``COPYIST_SAMPLES``), handwritten
and printed apart. Truth and reading are brought to the same tokens (``engines.formula.latex``); what cannot be read as
LaTeX counts character by character, so that an engine for plain text is not punished for a brace.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.report import Figure, console, plain
from copyist.document import Page
from copyist.engines.base import EngineSettings, Mode, PageImage, ReadOptions
from copyist.engines.formula import latex
from copyist.engines.registry import Registry

ABOUT = "formulas read right, beside engines for text"
SAMPLES = Path(os.environ.get("COPYIST_SAMPLES", Path(__file__).resolve().parent.parent.parent / "shared" / "samples"))
ENGINES = {"formula": Mode.FORMULA, "rapidocr": Mode.DOCUMENT, "easyocr": Mode.DOCUMENT, "tesseract": Mode.DOCUMENT}
SEED = 20_261
"""Of the writers and formulas that are drawn here; no set that is trained on has it."""


@dataclass(frozen=True)
class Sample:
    """A picture and what it says."""

    image: PageImage
    truth: tuple[str, ...]


def measure(quick: bool) -> list[Figure]:
    """Read every set with every engine that is ready; ``FORMULA_MODEL`` names the model for formulas, as it serves."""
    own = os.environ.get("FORMULA_MODEL")
    registry = Registry(EngineSettings(formula=Path(own) if own else None))
    ready = [name for name in ENGINES if registry.check(name).ready]
    for name in ENGINES.keys() - set(ready):
        console.print(f"  {name}: {registry.check(name).reason}")
    console.print(f"  the model for formulas: {registry.check('formula').version or 'none'}", markup=False)
    figures = []
    for title, samples in _sets(quick):
        for name in ready:
            readings = [_read(registry, name, sample) for sample in samples]
            figures.append(_figure(f"{title}, {name}", [sample.truth for sample in samples], readings))
    return figures


def _sets(quick: bool) -> Iterator[tuple[str, list[Sample]]]:
    drawn = list(_drawn(20 if quick else 300))
    short = [sample for sample in drawn if len(sample.truth) <= _SHORT]
    yield f"{len(short)} drawn, up to {_SHORT} tokens", short
    longer = [sample for sample in drawn if len(sample.truth) > _SHORT]
    yield f"{len(longer)} drawn, longer", longer
    folder = SAMPLES / "math"
    if not folder.is_dir():
        console.print("  COPYIST_SAMPLES is not set: the collected formulas are left out")
        return
    for handwritten in (True, False):
        collected = list(_collected(folder, handwritten=handwritten))
        yield f"{len(collected)} collected, {'handwritten' if handwritten else 'printed'}", collected


_SHORT = 8


def _drawn(count: int) -> Iterator[Sample]:
    # Other benchmarks run where there is nothing to train with.
    from copyist.training.formula.generate import generate
    from copyist.training.formula.raster import draw
    from copyist.training.formula.sets import open_set

    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), count=20, seed=SEED, valid=1, test=count, processes=1)
        made = open_set(Path(folder))
        dice = np.random.default_rng(SEED)
        for name in made.names("test"):
            example = made.load("test", name)
            if example.ink is not None:
                yield Sample(PageImage(draw(example.ink, pen_px=float(dice.uniform(2, 5)))), example.label)


def _collected(folder: Path, *, handwritten: bool) -> Iterator[Sample]:
    for entry in json.loads((folder / "manifest.json").read_text()):
        path = folder / entry["file"]
        if entry["handwritten"] is not handwritten or path.suffix not in (".png", ".jpg"):
            continue
        with Image.open(path) as image:
            on_white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        yield Sample(PageImage(np.asarray(on_white.convert("RGB"))), latex.normalize(entry["truth"]))


def _read(registry: Registry, name: str, sample: Sample) -> tuple[str, ...]:
    with registry.turn(name) as engine:
        pixels = sample.image.pixels
        if name != "formula":
            # Engines for pages expect a margin.
            pixels = cv2.copyMakeBorder(pixels, 20, 20, 20, 20, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        (page,) = engine.read([PageImage(pixels, dpi=sample.image.dpi)], ReadOptions(mode=ENGINES[name]))
    return _tokens(page)


def _tokens(page: Page) -> tuple[str, ...]:
    text = " ".join(block.markup or block.text for block in page.blocks)
    try:
        return latex.normalize(text)
    except latex.LatexProblem:
        return tuple(text.replace(" ", ""))


def _figure(title: str, truths: Sequence[Sequence[str]], readings: Sequence[Sequence[str]]) -> Figure:
    from Levenshtein import distance

    pairs = list(zip(truths, readings, strict=True))
    errors = [distance(truth, reading) for truth, reading in pairs]
    if not pairs:
        return plain(title, "nothing to read")
    right, near = sum(error == 0 for error in errors), sum(error <= 1 for error in errors)
    cer = sum(errors) / sum(len(truth) for truth in truths)
    return plain(title, f"{right} of {len(pairs)} right, CER {cer:.3f}", f"{near} with one wrong token at most")
