"""What a model is shown of the pictures that people send."""

from __future__ import annotations

import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from copyist.engines.formula.config import PRESETS
from copyist.engines.formula.picture import Picture, PictureUnusable, Prepared, batch, prepare
from tests.engines.formula.scenes import SCENES, cat, clouds, drawn, noise

FRAME = PRESETS["compact"].frame


def likeness(one: Picture, other: Picture) -> float:
    """How alike two prepared pictures are, 1 for the same, whatever lies a pixel or two beside."""
    height, width = (max(a, b) for a, b in zip(one.shape, other.shape, strict=True))
    first, second = (
        cv2.GaussianBlur(
            np.pad(picture, ((0, height - picture.shape[0]), (0, width - picture.shape[1]))).astype(np.float32),
            (0, 0),
            1.5,
        )
        for picture in (one, other)
    )
    return float(cv2.matchTemplate(np.pad(first, 3), second, cv2.TM_CCOEFF_NORMED).max())


@pytest.fixture(scope="module")
def usual() -> Prepared:
    return prepare(drawn(), FRAME)


@pytest.mark.parametrize(
    ("size", "pen"),
    [(30, 1), (30, 2), (30, 4), (60, 1), (60, 2), (60, 8), (120, 1), (120, 2), (120, 4), (120, 8), (240, 16)],
)
def test_size_and_pen_make_next_to_no_difference(usual: Prepared, size: int, pen: int) -> None:
    found = prepare(drawn(size=size, pen=pen), FRAME)
    assert likeness(found.pixels, usual.pixels) > 0.85
    assert 0.7 < found.pixels.sum() / usual.pixels.sum() < 1.4
    assert found.box.height * found.scale == pytest.approx(usual.box.height * usual.scale, rel=0.1)


def test_a_symbol_is_as_high_as_the_frame_wants(usual: Prepared) -> None:
    assert usual.box.height * usual.scale == pytest.approx(FRAME.symbol_px, rel=0.2)
    assert usual.pixels.shape[0] % FRAME.multiple == usual.pixels.shape[1] % FRAME.multiple == 0
    assert (usual.pixels.min(), usual.pixels[0].max()) == (0, 0)
    assert usual.pixels.max() > 240


@pytest.mark.parametrize("scene", SCENES)
def test_colours_light_and_paper_make_next_to_no_difference(scene: str) -> None:
    found = prepare(SCENES[scene], FRAME)
    assert likeness(found.pixels, prepare(drawn(pen=6), FRAME).pixels) > 0.8
    assert found.plausible


def test_a_faint_dash_of_a_small_picture_is_kept() -> None:
    picture = drawn("4 4", size=10, pen=1, margin=6)
    picture[picture.shape[0] // 2, picture.shape[1] // 2 - 2 : picture.shape[1] // 2 + 3] = 190
    found = prepare(picture, FRAME)
    middle = round((picture.shape[1] / 2 - found.box.left) * found.scale)
    assert found.pixels[:, middle - 2 : middle + 3].max() > 60


def test_specks_and_the_edge_of_the_sheet_are_left_out() -> None:
    chance = np.random.default_rng(2)
    clean = np.pad(drawn(), ((150, 150), (20, 20)), constant_values=255)
    dirty = np.where(chance.random(clean.shape) < 0.001, 0, clean).astype(np.uint8)
    dirty[10:14, 30:-60] = 40
    assert prepare(dirty, FRAME).box == pytest.approx(prepare(clean, FRAME).box, abs=2)
    assert likeness(prepare(dirty, FRAME).pixels, prepare(clean, FRAME).pixels) > 0.9


@pytest.mark.parametrize("sign", ["-", "1", "=", ".", "|"])
def test_a_single_sign_is_plausible_and_not_made_huge(sign: str) -> None:
    found = prepare(drawn(sign, pen=6), FRAME)
    assert found.plausible
    assert max(found.pixels.shape) <= 64


def test_a_page_is_looked_at_where_its_formula_is(usual: Prepared) -> None:
    page = np.full((3508, 2480, 3), 250, np.uint8)
    formula = drawn()
    page[400 : 400 + formula.shape[0], 900 : 900 + formula.shape[1]] = formula[..., None]
    found = prepare(page, FRAME)
    left, top, right, bottom = usual.box
    assert found.box == pytest.approx((left + 900, top + 400, right + 900, bottom + 400), abs=3)
    assert likeness(found.pixels, usual.pixels) > 0.95


def test_a_photo_of_many_pixels_is_reduced_first(usual: Prepared) -> None:
    photo = drawn(size=600, pen=40, margin=300)
    found = prepare(np.asarray(cv2.GaussianBlur(photo, (0, 0), 3), np.uint8), replace(FRAME, width=640))
    assert found.plausible
    assert found.scale < 0.1
    assert likeness(found.pixels, usual.pixels) > 0.9


def test_a_long_formula_is_made_to_fit() -> None:
    assert prepare(drawn("123+456=579+0" * 5), FRAME).pixels.shape == (32, FRAME.width)
    assert prepare(np.rot90(drawn("1234567")), FRAME).pixels.shape[0] == FRAME.height


def test_a_fixed_frame_is_whole() -> None:
    frame = PRESETS["reference"].frame
    pixels = prepare(drawn(), frame).pixels
    assert pixels.shape == (frame.height, frame.width)
    assert pixels[200:].max() == 0


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        (np.full((120, 300), 255, np.uint8), "no_ink"),
        (np.zeros((120, 300, 3), np.uint8), "no_ink"),
        (np.random.default_rng(3).normal(200, 8, (300, 400)).astype(np.uint8), "no_ink"),
        (np.tile(np.linspace(0, 255, 600).astype(np.uint8), (400, 1)), "no_ink"),
        (np.full((1, 5000), 255, np.uint8), "too_thin"),
        (drawn()[:, 40:45], "too_thin"),
        (np.zeros((20, 2400), np.uint8), "too_thin"),
        (np.zeros((5, 5, 3), np.uint8), "too_small"),
    ],
    ids=["white", "black", "empty paper", "gradient", "strip", "slice", "ribbon", "tiny"],
)
def test_what_holds_nothing_is_refused_with_a_sentence(picture: Picture, code: str) -> None:
    with pytest.raises(PictureUnusable, match=r"^The picture .*\.$") as refused:
        prepare(picture, FRAME)
    assert refused.value.code == code


@pytest.mark.parametrize("make", [cat, noise, clouds])
def test_what_is_no_writing_is_told(make: object) -> None:
    assert callable(make)
    assert not prepare(make(), FRAME).plausible


def test_a_batch_is_ink_between_0_and_1(usual: Prepared) -> None:
    found = batch([usual.pixels, usual.pixels])
    assert found.shape == (2, 1, *usual.pixels.shape)
    assert found.dtype == np.float32
    assert found.min() == 0.0
    assert 0.95 < found.max() <= 1.0


def test_a_long_strip_of_noise_takes_no_longer_than_a_page() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (50, 5000)).astype(np.uint8)
    picture[::3, ::2] = 0
    picture[24:26] = 0
    start = time.process_time()
    prepare(picture, FRAME)
    assert time.process_time() - start < 2
