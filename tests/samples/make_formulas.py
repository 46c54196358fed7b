"""Writes the project's own samples of formulas by hand: ``python tests/samples/make_formulas.py``.

The files are committed; run this only to change them. Each is written by another writer, drawn, and some are made a
photo or light on dark. ``formulas.json`` holds the LaTeX of each file. It needs ``copyist[training]``. The writers are
some whom the model that ships can read: the samples guard what it can do, they do not measure it.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from copyist.engines.formula import latex
from copyist.training.formula import augment, tree, writing
from copyist.training.formula.raster import draw

HERE = Path(__file__).parent / "formulas"
FORMULAS = {
    "line": (r"2x+5=9", 90_000),
    "product": (r"3\times4=12", 90_001),
    "root": (r"\sqrt{x^{2}+y^{2}}", 90_002),
    "mean": (r"\frac{a+b}{2}", 90_103),
    "sum": (r"\sum_{k=1}^{n}k^{2}", 90_004),
    "integral": (r"\int_{0}^{1}x^{2}dx", 90_105),
}
"""What is written, and the seed of who writes it."""
PHOTO, NEGATIVE = "mean", "product"


def main() -> None:
    """Writes all of them."""
    HERE.mkdir(exist_ok=True)
    for number, (name, (formula, seed)) in enumerate(FORMULAS.items()):
        dice = np.random.default_rng([2026, number])
        writer = writing.Writer.of(seed)
        picture = draw(writing.write(tree.parsed(latex.normalize(formula)), writer, dice), pen_px=4.0, margin_px=24)
        if name == PHOTO:
            picture = augment.on_paper(picture, np.random.default_rng(3))
        if name == NEGATIVE:
            picture = np.asarray(255 - picture, np.uint8)
        cv2.imwrite(str(HERE / f"{name}.png"), picture)
    truths = {f"{name}.png": formula for name, (formula, _) in FORMULAS.items()}
    (HERE / "formulas.json").write_text(json.dumps(truths, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
