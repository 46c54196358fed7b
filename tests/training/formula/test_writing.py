"""Formulas in somebody's hand: the same for the same seeds, another each time and for another writer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from copyist.training.formula.ink import Ink
from copyist.training.formula.writing import Writer, write

FORMULA = r"\sqrt{2}+\frac{x_{1}}{3}"


def written(writer: Writer, chance: int = 0) -> Ink:
    return write(FORMULA, writer, np.random.default_rng(chance))


def alike(one: Ink, other: Ink) -> bool:
    return len(one.strokes) == len(other.strokes) and all(map(np.array_equal, one.strokes, other.strokes))


def test_the_same_seeds_write_the_same_ink_and_others_do_not() -> None:
    assert alike(written(Writer.of(3)), written(Writer.of(3)))
    assert not alike(written(Writer.of(3)), written(Writer.of(3), chance=1))
    assert not alike(written(Writer.of(3)), written(Writer.of(4)))


def test_a_writer_keeps_to_a_form_that_others_have_not() -> None:
    hands = [replace(Writer.of(seed), second=0.0, hooks=0.0) for seed in range(30)]
    strokes = [{len(write("7", hand, np.random.default_rng(chance)).strokes) for chance in range(3)} for hand in hands]
    assert all(len(counts) == 1 for counts in strokes)
    # With a bar and without.
    assert {1, 2} <= {count for counts in strokes for count in counts}


def test_a_device_rounds_to_its_grid_and_a_coarse_one_keeps_few_points() -> None:
    fine = replace(Writer.of(3), units=100.0, quantum=0.5, step=0.04, coarse=0.0)
    coarse = replace(fine, units=25.0, quantum=2.0, coarse=0.05)
    points = np.concatenate(written(coarse).strokes)
    assert np.array_equal(points, np.round(points / 2) * 2)
    assert len(points) < 0.5 * sum(len(stroke) for stroke in written(fine).strokes)


def test_symbols_have_the_size_of_the_device() -> None:
    hand = replace(Writer.of(3), units=100.0)
    _, top, _, bottom = write("H", hand, np.random.default_rng(0)).box
    assert 55 < bottom - top < 180


def test_an_empty_formula_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to write"):
        write("", Writer.of(1), np.random.default_rng(0))
