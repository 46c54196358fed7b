"""Whatever an image file holds, engines see 8-bit grey or RGB, on white, the right way up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from copyist.engines.base import PageImage
from copyist.errors import DamagedFile
from copyist.media import MediaKind
from copyist.pipeline.render import PageSource
from tests.pipeline.drawn import PLENTY, save


def read(path: Path, kind: MediaKind, number: int = 1) -> PageImage:
    with PageSource(path, kind, max_pixels=PLENTY) as source:
        image = source.image(number, 300)
        assert source.size(number) == (image.width, image.height)
        return image


def marked(mode: str = "L") -> Image.Image:
    """White, 40 x 20, with a black quarter at the top left."""
    image = Image.new("L", (40, 20), 255)
    image.paste(0, (0, 0, 20, 10))
    return image.convert(mode)


def assert_marked(image: PageImage) -> None:
    pixels = image.pixels
    assert pixels.dtype == np.uint8
    assert pixels.shape == (20, 40)
    assert pixels[2:8, 2:18].max() < 30
    assert pixels[12:].min() > 225
    assert pixels[:, 22:].min() > 225


@pytest.mark.parametrize(
    ("writer", "mode"),
    [
        ("PNG", "1"),
        ("PNG", "L"),
        ("PNG", "P"),
        ("PNG", "RGB"),
        ("JPEG", "L"),
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
        ("TIFF", "1"),
        ("TIFF", "CMYK"),
        ("TIFF", "LAB"),
        ("TIFF", "YCbCr"),
        ("WEBP", "RGB"),
        ("BMP", "1"),
        ("BMP", "RGB"),
        ("GIF", "P"),
        ("AVIF", "RGB"),
        ("JPEG2000", "RGB"),
    ],
)
def test_every_mode_comes_out_as_it_looks(tmp_path: Path, writer: str, mode: str) -> None:
    if mode == "LAB":
        image = Image.merge("LAB", (marked(), Image.new("L", (40, 20), 128), Image.new("L", (40, 20), 128)))
    else:
        image = marked(mode)
    options = {"quality": 95} if writer in ("JPEG", "WEBP", "AVIF") else {}
    assert_marked(read(*save(image, tmp_path / "page", writer, **options)))


@pytest.mark.parametrize("white", [255, 4095, 65535])
def test_deep_grey_is_scaled_and_not_cut(tmp_path: Path, white: int) -> None:
    ramp = np.linspace(0, white, 256).astype(np.uint16)
    image = Image.fromarray(np.tile(ramp, (4, 1)))
    found = read(*save(image, tmp_path / "page", "TIFF")).pixels[0].astype(int)
    assert np.abs(found - np.arange(256)).max() <= 1


def test_deep_grey_pngs_are_scaled(tmp_path: Path) -> None:
    image = Image.fromarray((np.asarray(marked()).astype(np.uint16)) * 257)
    assert_marked(read(*save(image, tmp_path / "page")))


def test_floating_point_is_scaled(tmp_path: Path) -> None:
    values = np.asarray(marked(), np.float32) / 255
    values[19, 39] = np.nan
    found = read(*save(Image.fromarray(values), tmp_path / "page", "TIFF")).pixels
    assert found[2, 2] == 0
    assert found[15, 10] == 255
    assert found[19, 39] == 0


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    ink = Image.new("L", (40, 20), 0)
    alpha = marked().point(lambda value: 255 - value)
    if mode == "P":
        image = marked().point(lambda value: value // 255).convert("P")
        image.putpalette([0, 0, 0, 0, 0, 0])
        path, kind = save(image, tmp_path / "page", "PNG", transparency=1)
    else:
        bands = (ink, alpha) if mode == "LA" else (ink, ink, ink, alpha)
        path, kind = save(Image.merge(mode, bands), tmp_path / "page")
    assert_marked(read(path, kind))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("writer", ["JPEG", "TIFF", "PNG", "WEBP"])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, writer: str) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = marked("RGB")
    if orientation in undo:
        image = image.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert_marked(read(*save(image, tmp_path / "page", writer, exif=exif)))


def test_colour_is_kept_and_its_absence_noticed(tmp_path: Path) -> None:
    image = marked("RGB")
    assert read(*save(image, tmp_path / "grey")).pixels.ndim == 2
    image.paste((200, 30, 30), (20, 10, 40, 20))
    assert read(*save(image, tmp_path / "red")).pixels.shape == (20, 40, 3)


def test_of_an_animation_the_first_picture_is_read(tmp_path: Path) -> None:
    path, kind = save(marked("P"), tmp_path / "page", "GIF", save_all=True, append_images=[Image.new("P", (40, 20))])
    assert_marked(read(path, kind))


def test_each_frame_of_a_tiff_is_a_page(tmp_path: Path) -> None:
    path, kind = save(Image.new("L", (10, 10)), tmp_path / "page", "TIFF", save_all=True, append_images=[marked()])
    assert_marked(read(path, kind, 2))


def test_a_stated_resolution_is_used_where_it_is_plausible(tmp_path: Path) -> None:
    assert read(*save(marked(), tmp_path / "a", "PNG", dpi=(300, 300))).dpi == 300
    assert read(*save(marked(), tmp_path / "b", "PNG", dpi=(1, 1))).dpi is None
    assert read(*save(marked(), tmp_path / "c")).dpi is None


@pytest.mark.parametrize("writer", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "AVIF", "JPEG2000", "BMP"])
def test_a_file_cut_in_half_is_damaged(tmp_path: Path, writer: str) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8))
    path, kind = save(noise, tmp_path / "page", writer)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DamagedFile) as raised:
        read(path, kind)
    assert kind.label in raised.value.detail
