"""A TrOCR that writes LaTeX: its text becomes the canonical formula, its picture the ink alone on white."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from copyist.engines.base import Stop
from copyist.engines.formula.decoding import FormulaReader, ReadFormula
from copyist.engines.formula.picture import PictureUnusable
from copyist.engines.formula.trocr_math import TrOcrMathReader
from copyist.engines.generation import Finish
from tests.engines.drawing import blank, drawn
from tests.engines.tiny_trocr import write_base, write_rote_trocr


@pytest.mark.parametrize(("text", "latex"), [(r"\frac12 + x^2", r"\frac{1}{2}+x^{2}"), ("x^{2", "x^{2")])
def test_what_it_writes_becomes_canonical_latex_where_it_is_latex(tmp_path: Path, text: str, latex: str) -> None:
    folder = write_rote_trocr(tmp_path / "TrOCR_Math_handwritten", text)
    reader: FormulaReader = TrOcrMathReader(folder, use_gpu=False)
    assert reader.version and reader.at_once > 1
    first, empty, second = reader.read([drawn("x"), blank(), drawn("a + b = c", width=500)], Stop())
    assert isinstance(empty, PictureUnusable) and empty.code == "no_ink"
    for read in (first, second):
        assert isinstance(read, ReadFormula)
        assert (read.latex, "".join(read.tokens), read.finish) == (latex, latex, Finish.STOP)
        assert 0 < read.least <= read.confidence < 1
    reader.close()


def test_a_loop_is_cut_and_not_believed(tmp_path: Path) -> None:
    reader = TrOcrMathReader(write_rote_trocr(tmp_path / "trocr", "a+", ends=False), use_gpu=False)
    (read,) = reader.read([drawn("x")], Stop())
    assert isinstance(read, ReadFormula)
    assert (read.latex, read.finish) == ("a+", Finish.REPETITION)
    assert read.confidence <= 0.2


def test_paper_around_the_ink_and_its_colour_change_nothing(tmp_path: Path) -> None:
    reader = TrOcrMathReader(write_base(tmp_path / "trocr"), use_gpu=False)
    picture = drawn("x + y", width=400)
    wider = np.pad(picture, 90, constant_values=255)
    first, *others = reader.read([picture, wider, 255 - wider], Stop())
    assert isinstance(first, ReadFormula) and first.tokens
    assert others == [first, first]
