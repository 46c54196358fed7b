"""Several formulas on a page, and one that has gaps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from copyist.engines.formula.picture import PictureUnusable
from copyist.engines.formula.split import split
from tests.engines.formula.scenes import Picture, cat, drawn, under_each_other


def test_lines_of_working_are_parts_from_top_to_bottom() -> None:
    page = under_each_other(drawn("2x+5=9", size=40), drawn("2x=4", size=40), drawn("x=2", size=40))
    parts = split(page)
    assert [part.box.width > part.box.height for part in parts] == [True, True, True]
    tops = [part.box.top for part in parts]
    assert tops == sorted(tops)
    for part in parts:
        left, top, right, bottom = part.box
        ink = np.argwhere(page[top:bottom, left:right] < 128)
        assert ink.min(0) == pytest.approx((0, 0), abs=2)
        assert ink.max(0) == pytest.approx((bottom - top, right - left), abs=3)


def test_many_lines_are_as_plausible_as_one() -> None:
    page = under_each_other(*[drawn("2x+5=9-y+37", size=24, pen=2)] * 40)
    parts = split(page)
    assert len(parts) == 40
    assert all(part.plausible for part in parts)


def test_a_part_shows_its_own_ink_only() -> None:
    page = under_each_other(drawn("8888", size=40, margin=10), drawn("1", size=40, margin=10))
    first, second = split(page)
    assert (first.picture < 128).sum() + (second.picture < 128).sum() == (page < 128).sum()
    assert (second.picture < 128).sum() < 0.3 * (first.picture < 128).sum()


def test_one_formula_is_the_picture_itself() -> None:
    picture = drawn()
    (part,) = split(picture)
    assert part.picture is picture


def fraction() -> Picture:
    page = under_each_other(drawn("x+1", size=40, margin=14), drawn("y-2", size=40, margin=14), gap=0)
    cv2.line(page, (10, page.shape[0] // 2), (page.shape[1] - 10, page.shape[0] // 2), 0, 4)
    return page


def summed() -> Picture:
    page = drawn("E x+1", size=60, margin=60)
    for limit, top in ((drawn("n", size=24, pen=3, margin=2), 20), (drawn("i=0", size=24, pen=3, margin=2), 132)):
        page[top : top + limit.shape[0], 62 : 62 + limit.shape[1]] = limit
    return page


@pytest.mark.parametrize("picture", [fraction(), summed(), drawn("=", size=80)], ids=["fraction", "limits", "equals"])
def test_a_formula_is_not_cut_at_its_own_gaps(picture: Picture) -> None:
    assert len(split(picture)) == 1


def test_a_fraction_stays_whole_among_others() -> None:
    assert len(split(under_each_other(drawn("1+1=2", size=40), fraction(), drawn("3", size=40)))) == 3


def test_boxes_are_those_of_the_page_however_large_it_is() -> None:
    page = np.full((3000, 2200), 255, np.uint8)
    for top in (500, 1200):
        formula = drawn(size=80)
        page[top : top + formula.shape[0], 300 : 300 + formula.shape[1]] = formula
    first, second = split(page)
    assert second.box.top - first.box.top == pytest.approx(700, abs=3)
    assert first.box.left == second.box.left == pytest.approx(330, abs=15)


def test_a_photo_is_told_to_be_none() -> None:
    assert not any(part.plausible for part in split(cat()))


def test_nothing_is_no_part() -> None:
    with pytest.raises(PictureUnusable):
        split(np.full((300, 300), 255, np.uint8))
