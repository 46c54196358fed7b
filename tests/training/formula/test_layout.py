"""Where symbols stand, in the hand of somebody neat and of many others."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from copyist.training.formula.boxes import Piece, Spacing
from copyist.training.formula.writing import Writer, pieces_of

HANDS = range(6)
Box = tuple[float, float, float, float]


def laid(formula: str, seed: int, **spacing: bool) -> list[Piece]:
    writer = Writer.of(seed)
    return pieces_of(formula, replace(writer, spacing=replace(writer.spacing, **spacing)), np.random.default_rng(seed))


def boxes(formula: str, seed: int, **spacing: bool) -> dict[str, Box]:
    return {piece.symbol: piece.box for piece in laid(formula, seed, **spacing)}


@pytest.mark.parametrize("seed", HANDS)
def test_a_fraction_has_its_numerator_over_the_bar_and_its_denominator_under_it(seed: int) -> None:
    found = boxes(r"\frac{a+b}{2}", seed)
    left, top, right, bottom = found[r"\frac"]
    assert max(found[name][3] for name in "a+b") < bottom
    assert found["2"][1] > top
    assert left < found["a"][0] + 0.15
    assert right > found["b"][2] - 0.15


@pytest.mark.parametrize("seed", HANDS)
def test_scripts_are_smaller_and_to_the_right_above_and_below(seed: int) -> None:
    found = boxes("A_{3}^{2}", seed)
    base, sub, sup = found["A"], found["3"], found["2"]
    assert min(sub[0], sup[0]) > base[2]
    assert middle(sup) < middle(base) < middle(sub)
    assert sup[3] < sub[1]


@pytest.mark.parametrize("seed", HANDS)
def test_a_root_reaches_around_its_body_and_has_its_index_at_the_left(seed: int) -> None:
    found = boxes(r"\sqrt[3]{5a}", seed)
    left, top, right, _ = found[r"\sqrt"]
    assert left < found["5"][0]
    assert right > found["a"][2] - 0.15
    assert top < min(found["5"][1], found["a"][1])
    assert found["3"][2] < found["5"][0]


@pytest.mark.parametrize("seed", HANDS)
def test_a_matrix_has_its_cells_in_rows_and_columns_between_tall_brackets(seed: int) -> None:
    found = boxes(r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", seed)
    for above, below in (("1", "3"), ("2", "4")):
        assert found[above][3] < found[below][1]
    for first, second in (("1", "2"), ("3", "4")):
        assert found[first][2] < found[second][0]
    opening, closing = found["("], found[")"]
    assert opening[2] < min(found["1"][0], found["3"][0])
    assert closing[0] > max(found["2"][2], found["4"][2])
    assert opening[3] - opening[1] > 1.2 * (found["1"][3] - found["1"][1])


def test_cases_stand_under_one_another_behind_a_brace() -> None:
    found = boxes(r"\begin{cases}2&x>1\\3&y<1\end{cases}", 3)
    assert found[r"\{"][2] < min(found["2"][0], found["3"][0])
    assert found["2"][3] < found["3"][1]
    assert abs(found["x"][0] - found["y"][0]) < 0.6


def test_limits_stand_over_and_under_a_sum_or_beside_it_as_the_writer_likes() -> None:
    under, beside = (boxes(r"\sum_{2}^{3}", 4, under=way) for way in (True, False))
    assert under["3"][3] < under[r"\sum"][1] < under[r"\sum"][3] < under["2"][1]
    assert beside["3"][0] > beside[r"\sum"][2]


def test_what_a_limit_goes_to_is_under_it() -> None:
    pieces = laid(r"\lim_{2}7", 4)
    assert [piece.symbol for piece in pieces] == ["l", "i", "m", "2", "7"]
    assert pieces[3].box[1] > max(piece.box[3] for piece in pieces[:3])


def test_an_accent_is_over_its_letter() -> None:
    found = boxes(r"\vec{a}+\overline{AB}", 5)
    assert found[r"\vec"][3] < found["a"][1]
    assert found[r"\overline"][3] < min(found["A"][1], found["B"][1])


def test_brackets_grow_with_what_is_in_them_unless_the_writer_never_does_it() -> None:
    grown, small = (boxes(r"(\frac{1}{2})", 6, tall=tall) for tall in (True, False))
    assert grown["("][1] < grown["1"][1] + 0.2
    assert height(small["("]) < height(grown["("])


def test_symbols_beside_each_other_do_not_run_into_each_other() -> None:
    pieces = pieces_of(
        "2x+5=7y", replace(Writer.of(1), spacing=Spacing(uneven=0.0, wander=0.0)), np.random.default_rng(0)
    )
    for one, other in pairwise(pieces):
        assert one.box[2] < other.box[0]


@pytest.mark.parametrize("text", [r"\unknowable", "é", r"\begin{Bmatrix}1&2\end{Bmatrix}"])
def test_what_nobody_can_write_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|\\unknowable"):
        laid(text, 1)


def middle(box: Box) -> float:
    return (box[1] + box[3]) / 2


def height(box: Box) -> float:
    return box[3] - box[1]
