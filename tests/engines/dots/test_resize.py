"""The size at which the model is shown an image, against figures of its own image processor."""

from __future__ import annotations

import numpy as np
import pytest

from copyist.engines.dots.resize import MAX_PIXELS, STEP, TooThin, resized, target_size

# Width, height and what ``Qwen2VLImageProcessor`` of transformers 5.23 with the settings of dots.ocr makes of them.
KNOWN = [
    ((1700, 2250), (1708, 2240)),
    ((1654, 2339), (1652, 2352)),
    ((1240, 1754), (1232, 1764)),
    ((2480, 3508), (2492, 3500)),
    ((4960, 7016), (2800, 3976)),
    ((42, 70), (56, 56)),
    ((98, 126), (112, 112)),
    ((28, 28), (56, 56)),
    ((1, 1), (56, 56)),
    ((4000, 100), (4004, 112)),
]


@pytest.mark.parametrize(("size", "expected"), KNOWN)
def test_sizes_are_those_of_the_models_own_processor(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert target_size(*size) == expected


@pytest.mark.parametrize("size", [(1, 201), (2000, 9)])
def test_an_image_that_is_too_thin_is_refused_in_words(size: tuple[int, int]) -> None:
    with pytest.raises(TooThin, match="200 times"):
        target_size(*size)


def test_a_smaller_limit_is_kept_and_no_side_vanishes() -> None:
    assert target_size(4960, 7016, 1_000_000)[0] * target_size(4960, 7016, 1_000_000)[1] <= 1_000_000
    assert min(target_size(28 * 150, 28, 3136)) == STEP


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (3000, 2), (120, 200), (120, 200, 3), (2339, 1654)])
def test_what_is_shown_is_rgb_in_whole_steps_and_scales_back_to_the_image(shape: tuple[int, ...]) -> None:
    shown, scale_x, scale_y = resized(np.full(shape, 200, np.uint8))
    height, width = shown.shape[:2]
    assert shown.dtype == np.uint8
    assert shown.shape[2] == 3
    assert width % STEP == height % STEP == 0
    assert width * height <= MAX_PIXELS
    assert width * scale_x >= shape[1] - 1e-6
    assert height * scale_y >= shape[0] - 1e-6


def test_a_thin_strip_is_padded_with_white_and_stays_where_it_is() -> None:
    shown, scale_x, scale_y = resized(np.zeros((2, 2000), np.uint8))
    assert (shown.shape[1] * scale_x, shown.shape[0] * scale_y) == pytest.approx((2000, 10))
    assert shown[0].max() < 60
    assert shown[-1].min() > 200


def test_an_image_of_the_right_size_is_not_touched() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (112, 168, 3), dtype=np.uint8)
    shown, scale_x, scale_y = resized(pixels)
    assert (shown == pixels).all()
    assert (scale_x, scale_y) == (1.0, 1.0)


def test_zoom_shows_the_same_image_smaller_with_boxes_that_still_fit() -> None:
    pixels = np.zeros((1120, 840), np.uint8)
    shown, scale_x, scale_y = resized(pixels, zoom=0.75)
    assert shown.shape[:2] == (840, 616)
    assert (shown.shape[1] * scale_x, shown.shape[0] * scale_y) == pytest.approx((840, 1120))


@pytest.mark.parametrize("shape", [(1, 40_000), (120, 23_760), (23_760, 120)])
@pytest.mark.parametrize("zoom", [0.75, 1.5])
def test_zoom_makes_no_strip_too_thin(shape: tuple[int, int], zoom: float) -> None:
    pixels = np.zeros(shape, np.uint8)
    shown, _, _ = resized(pixels)
    zoomed, scale_x, scale_y = resized(pixels, zoom=zoom * shown.shape[1] / shape[1])
    assert zoomed.shape[1] * scale_x >= shape[1] - 1e-6
    assert zoomed.shape[0] * scale_y >= shape[0] - 1e-6
