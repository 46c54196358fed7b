"""Turns, tilts and scalings as values that lead back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copyist.document import Box
from copyist.engines.base import PageImage
from copyist.pipeline.placement import Affine, Placement, scaling, tilting, turning
from copyist.pipeline.prepare import place, scale, straighten, turn

numbers = st.floats(-1000, 1000)


@given(numbers, numbers, st.sampled_from([0, 90, 180, 270]))
def test_a_turn_and_the_rest_of_the_circle_lead_back(x: float, y: float, degrees: int) -> None:
    forth = turning(degrees, 300, 200)
    size = (300, 200) if degrees in (0, 180) else (200, 300)
    back = turning(360 - degrees, *size)
    assert back.after(forth)(x, y) == pytest.approx((x, y), abs=1e-6)


@given(numbers, numbers, st.floats(-15, 15))
def test_a_tilt_leads_back(x: float, y: float, degrees: float) -> None:
    assert tilting(-degrees, 300, 200).after(tilting(degrees, 300, 200))(x, y) == pytest.approx((x, y), abs=1e-6)


def test_maps_are_done_in_order() -> None:
    assert scaling(2, 3).after(Affine(c=1, f=1))(0, 0) == (2, 3)


@given(st.integers(-50, 400), st.integers(-50, 400), st.integers(0, 200), st.integers(0, 200), st.floats(-12, 12))
def test_boxes_never_leave_the_page(left: int, top: int, width: int, height: int, skew: float) -> None:
    placement = Placement(tilting(skew, 300, 200), 300, 200)
    box = placement.box(Box(left, top, left + width, top + height))
    assert 0 <= box.left <= box.right <= 300
    assert 0 <= box.top <= box.bottom <= 200


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("letter_height", [None, 6.0, 9.0, 60.0])
def test_a_mark_is_found_where_it_was_on_the_page(degrees: int, letter_height: float | None) -> None:
    pixels = np.full((200, 300), 255, np.uint8)
    pixels[40:60, 210:240] = 0
    prepared = scale(turn(place(PageImage(pixels, 100), (600, 400)), degrees), letter_height)
    rows, columns = np.nonzero(prepared.image.pixels < 128)
    mark = Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    assert np.abs(np.subtract(prepared.placement.box(mark), (420, 80, 480, 120))).max() <= 3
    assert prepared.placement.turned == degrees


@pytest.mark.parametrize("skew", [-9.0, -2.0, 1.0, 5.0])
def test_a_straightened_mark_is_found_where_it_was_on_the_page(skew: float) -> None:
    pixels = np.full((400, 600), 255, np.uint8)
    pixels[100:110, 450:460] = 0
    prepared = straighten(place(PageImage(pixels), (600, 400)), skew)
    rows, columns = np.nonzero(prepared.image.pixels < 128)
    middle = Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    back = prepared.placement.box(middle)
    assert abs((back.left + back.right) / 2 - 455) <= 1.5
    assert abs((back.top + back.bottom) / 2 - 105) <= 1.5


def test_a_picture_too_long_for_tesseract_is_shrunk() -> None:
    prepared = scale(place(PageImage(np.zeros((10, 40_000), np.uint8)), (40_000, 10)), None)
    assert prepared.image.width == 32_000
    assert prepared.placement.box(Box(0, 0, 32_000, 8)) == (0, 0, 40_000, 10)
