"""Pages of PDFs as pictures, one at a time."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from copyist.engines.base import PageImage
from copyist.errors import PageDamaged, TooManyPixels
from copyist.media import MediaKind
from copyist.pipeline.pdf import fit_dpi, pixel_size
from copyist.pipeline.render import PageSource, encode_jpeg, page_picture
from tests.pipeline.drawn import PLENTY, image_pdf, page, save, text_pdf

HELLO = "BT /F1 24 Tf 50 200 Td (Hello) Tj ET"


def pdf(path: Path, max_pixels: int = PLENTY) -> PageSource:
    return PageSource(path, MediaKind.PDF, max_pixels=max_pixels)


def test_a_page_is_rendered_at_the_resolution_asked_for(tmp_path: Path) -> None:
    with pdf(text_pdf(tmp_path / "a.pdf", [HELLO], box=(720, 360))) as source:
        assert source.size(1) == (2000, 1000)
        assert source.dpi(1) == 200
        image = source.image(1, 300)
        assert image.pixels.shape == (1500, 3000)
        assert image.dpi == 300


def test_the_reference_picture_has_the_reference_size(tmp_path: Path) -> None:
    path = text_pdf(tmp_path / "a.pdf", [HELLO], box=(595.28, 841.89))
    with (
        pdf(path) as source,
        Image.open(io.BytesIO(page_picture(path, MediaKind.PDF, 1, max_pixels=PLENTY))) as picture,
    ):
        assert picture.size == source.size(1)
        assert picture.format == "JPEG"


def test_a_turned_page_is_as_wide_as_it_is_shown(tmp_path: Path) -> None:
    with pdf(text_pdf(tmp_path / "a.pdf", [HELLO], box=(720, 360), rotate=90)) as source:
        assert source.size(1) == (1000, 2000)
        assert source.image(1, 100).pixels.shape == (1000, 500)


def test_a_scan_is_not_rendered_finer_than_it_is(tmp_path: Path) -> None:
    with pdf(image_pdf(tmp_path / "a.pdf", page().image, dpi=150)) as source:
        image = source.image(1, 300)
        assert image.dpi == 150
        assert np.abs(image.pixels.astype(int) - np.asarray(page().image)).mean() < 1
        assert source.image(1, 75).dpi == 75


def test_a_scan_with_text_over_it_is_rendered_as_asked(tmp_path: Path) -> None:
    with pdf(image_pdf(tmp_path / "a.pdf", page().image, dpi=150, extra=HELLO)) as source:
        assert source.image(1, 300).dpi == 300


def test_a_huge_page_is_rendered_within_the_limit(tmp_path: Path) -> None:
    with pdf(text_pdf(tmp_path / "a.pdf", [HELLO], box=(14400, 14400)), max_pixels=40_000_000) as source:
        image = source.image(1, 300)
        assert image.width * image.height <= 40_000_000
        assert image.dpi == source.dpi(1) < 200
        assert source.size(1) == (image.width, image.height)


def test_an_absurd_page_is_refused(tmp_path: Path) -> None:
    with (
        pdf(text_pdf(tmp_path / "a.pdf", [HELLO], box=(600, 2_000_000_000))) as source,
        pytest.raises(TooManyPixels),
    ):
        source.image(1, 300)


def test_an_image_bomb_in_a_page_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = image_pdf(tmp_path / "a.pdf", Image.new("L", (100, 100)))
    path.write_bytes(
        path.read_bytes().replace(b"/Width 100", b"/Width 900000").replace(b"/Height 100", b"/Height 900000")
    )
    with pdf(path) as source, pytest.raises(TooManyPixels):
        source.image(1, 300)


def test_a_page_that_is_not_there_is_damaged(tmp_path: Path) -> None:
    with pdf(text_pdf(tmp_path / "a.pdf", [HELLO])) as source, pytest.raises(PageDamaged) as raised:
        source.image(2, 300)
    assert "Page 2" in raised.value.detail


def test_the_same_picture_is_not_made_twice(tmp_path: Path) -> None:
    with pdf(text_pdf(tmp_path / "a.pdf", [HELLO])) as source:
        assert source.image(1, 150) is source.image(1, 150)
        assert source.image(1, 150) is not source.image(1, 151)


def test_colour_is_seen_in_a_pdf(tmp_path: Path) -> None:
    with pdf(text_pdf(tmp_path / "a.pdf", ["1 0 0 rg 0 0 100 100 re f"])) as source:
        assert source.image(1, 72).pixels.shape == (300, 400, 3)
        assert tuple(source.image(1, 72).pixels[299, 0]) == (255, 0, 0)


def test_an_image_file_is_its_own_reference(tmp_path: Path) -> None:
    path, kind = save(page().image, tmp_path / "a", "PNG", dpi=(96, 96))
    with PageSource(path, kind, max_pixels=PLENTY) as source:
        assert source.size(1) == (1000, 700)
        assert source.dpi(1) == 96
        assert source.reference(1).pixels.shape == source.image(1, 300).pixels.shape == (700, 1000)


def test_a_picture_too_long_for_jpeg_comes_out_smaller() -> None:
    data = encode_jpeg(PageImage(np.zeros((10, 70_000), np.uint8)))
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.width == 65_500


@given(st.floats(1, 1e5), st.floats(1, 1e5), st.integers(72, 600), st.integers(1_000_000, 200_000_000))
def test_a_fitted_resolution_keeps_to_the_limit(width: float, height: float, dpi: int, limit: int) -> None:
    try:
        fitted = fit_dpi((width, height), dpi, limit)
    except TooManyPixels:
        return
    across, down = pixel_size((width, height), fitted)
    assert across * down <= limit or fitted == dpi
    assert fitted <= dpi
