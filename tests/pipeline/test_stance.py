"""How a page lies, by the look of it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from copyist.pipeline.stance import MAX_SKEW, find_stance
from tests.pipeline.drawn import page


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
@pytest.mark.parametrize("skew", [-8.0, -3.0, -0.6, 0.0, 1.0, 2.0, 5.0, 11.0])
def test_turn_and_tilt_are_found_together(clockwise: int, skew: float) -> None:
    picture = page().image.rotate(-skew, Image.Resampling.BICUBIC, fillcolor=255, expand=True)
    stance = find_stance(np.asarray(picture.rotate(-clockwise, expand=True)))
    assert stance.axis_sure
    assert stance.side_sure
    assert stance.turned == (360 - clockwise) % 360
    assert stance.skew == pytest.approx(skew, abs=0.3)


def test_noise_blur_and_uneven_light_do_not_hide_it() -> None:
    random = np.random.default_rng(3)
    picture = page(size=32, width=1300, height=900).image.rotate(-2, Image.Resampling.BICUBIC, fillcolor=255)
    pixels = np.asarray(picture.filter(ImageFilter.GaussianBlur(1.2)), float)
    light = np.linspace(0.45, 1.0, pixels.shape[1])
    dim = np.clip(pixels * light + random.normal(0, 5, pixels.shape), 0, 255).astype(np.uint8)
    stance = find_stance(np.rot90(dim).copy())
    assert stance.turned == 90
    assert stance.skew == pytest.approx(2, abs=0.3)


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((500, 400), 255, np.uint8),
        np.zeros((500, 400), np.uint8),
        np.full((1, 1), 128, np.uint8),
        np.full((3, 5000, 3), 200, np.uint8),
        np.random.default_rng(5).integers(0, 255, (600, 500), np.uint8),
    ],
    ids=["white", "black", "one pixel", "a strip", "noise"],
)
def test_where_there_is_no_text_nothing_is_said(pixels: np.ndarray) -> None:
    stance = find_stance(pixels)
    assert stance.turned == 0
    assert stance.skew == 0
    assert not stance.axis_sure
    assert stance.letter_height is None


def test_a_single_long_line_is_enough() -> None:
    line = page(("The harbour ledger was opened on the second day of March",), width=1000, height=90)
    stance = find_stance(np.asarray(line.image))
    assert (stance.turned, stance.axis_sure) == (0, True)


def test_the_densest_lines_are_marked() -> None:
    drawn = page(height=2000)
    stance = find_stance(np.asarray(drawn.image))
    assert stance.dense is not None
    assert stance.dense.top < 300
    assert stance.dense.height < 250
    assert stance.dense.width > 600
    assert abs(stance.skew) < MAX_SKEW


def test_letters_are_measured() -> None:
    stance = find_stance(np.asarray(page(size=48, width=2000, height=1400).image))
    assert stance.letter_height == pytest.approx(27, abs=6)
