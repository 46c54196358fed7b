"""Ink drawn: as large as asked, with the pen asked for, whatever the units of the device."""

from __future__ import annotations

import numpy as np
import pytest

from copyist.training.formula.ink import Ink
from copyist.training.formula.raster import MOST_PIXELS, Picture, draw


def ink(*strokes: list[tuple[float, float]]) -> Ink:
    return Ink(tuple(np.array(stroke, float) for stroke in strokes))


def dark(picture: Picture) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is drawn, in pixels."""
    rows, columns = np.nonzero(picture < 128)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_symbols_get_the_height_asked_for_and_bars_do_not_count() -> None:
    one, bar, dot = [(0.0, 0.0), (0.0, 20.0)], [(5.0, 25.0), (500.0, 26.0)], [(9.0, 9.0)]
    picture = draw(ink(one, [(30.0, 0.0), (30.0, 20.0)], bar, bar, bar, dot), pen_px=2, symbol_px=40)
    assert picture.dtype == np.uint8
    left, top, right, bottom = dark(picture)
    assert abs((right - left) - (500 * 2 + 2)) <= 2
    assert abs((bottom - top) - (26 * 2 + 2)) <= 2
    assert (picture[0] == 255).all()
    assert left == pytest.approx(8, abs=1)
    assert top == pytest.approx(8, abs=1)


@pytest.mark.parametrize("pen", [1.0, 2.5, 4.0, 7.3])
def test_the_pen_is_as_wide_as_asked_and_its_edges_are_soft(pen: float) -> None:
    picture = draw(ink([(0.0, 0.0), (3.0, 100.0)]), pen_px=pen, symbol_px=100)
    middle = picture[picture.shape[0] // 2].astype(float)
    assert (255 - middle).sum() / 255 == pytest.approx(pen, abs=0.45)
    assert len(np.unique(picture)) > 4


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e6])
def test_the_units_of_the_device_do_not_matter(unit: float) -> None:
    seven = [(0.0, 0.0), (12.0, 0.0), (4.0, 20.0)]
    picture = draw(ink(seven), pen_px=3)
    scaled = draw(ink([((x - 700) * unit, (y + 9) * unit) for x, y in seven]), pen_px=3)
    assert picture.shape == scaled.shape
    assert np.abs(picture.astype(int) - scaled).mean() < 1


def test_a_dot_is_round_and_a_flat_stroke_alone_is_as_wide_as_a_symbol() -> None:
    left, top, right, bottom = dark(draw(ink([(5.0, 5.0)]), pen_px=6))
    assert abs((right - left) - 6) <= 1
    assert abs((bottom - top) - 6) <= 1
    minus = draw(ink([(0.0, 0.0), (9.0, 0.0)]), pen_px=2, symbol_px=48)
    assert abs(minus.shape[1] - (48 + 2 + 16)) <= 1


def test_ink_of_any_proportions_is_drawn_within_bounds() -> None:
    tiny, far = [(0.0, 0.0), (0.0, 1.0)], [(1e8, 1e8), (1e8, 1e8 + 1)]
    nothing = [(0.0, 0.0), (0.0, 5e-324)]
    for strange in (
        *(ink(tiny, far), ink(tiny, [(0.0, 0.0), (1e8, 0.0)]), ink([(0.0, 0.0), (1e-300, 0.0)])),
        *(ink(nothing), ink(nothing, far), ink([(0.0, 0.0), (0.0, 1e-199)], far)),
    ):
        picture = draw(strange, pen_px=3)
        assert 0 < picture.size <= MOST_PIXELS
        assert picture.min() < 250
    with pytest.raises(ValueError, match="size"):
        draw(ink(tiny), pen_px=0)
