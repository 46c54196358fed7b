"""How many pages a file has, and which files cannot be read at all."""

from __future__ import annotations

import struct
from pathlib import Path

import pikepdf
import pytest
from PIL import Image

from copyist.errors import DamagedFile, Encrypted, NoPages, TooManyPages, TooManyPixels
from copyist.media import MediaKind
from copyist.pipeline.intake import Intake, inspect
from copyist.pipeline.render import PageSource
from copyist.pipeline.tiff import count_frames
from tests.pipeline.drawn import PLENTY, page, save, text_pdf

HELLO = "BT /F1 24 Tf 50 200 Td (Hello) Tj ET"


def look(path: Path, kind: MediaKind = MediaKind.PDF, max_pages: int = 10) -> Intake:
    return inspect(path, kind, max_pages=max_pages, max_pixels=PLENTY)


def test_pages_of_a_pdf_are_counted(tmp_path: Path) -> None:
    assert look(text_pdf(tmp_path / "a.pdf", [HELLO] * 3)) == Intake(pages=3)


def test_frames_of_a_tiff_are_counted(tmp_path: Path) -> None:
    more = [Image.new("L", (5, 5)) for _ in range(6)]
    assert look(*save(page().image, tmp_path / "a", "TIFF", save_all=True, append_images=more)).pages == 7


@pytest.mark.parametrize("writer", ["PNG", "GIF", "WEBP", "JPEG"])
def test_every_other_picture_is_one_page(tmp_path: Path, writer: str) -> None:
    more = {"save_all": True, "append_images": [Image.new("L", (5, 5))]} if writer in ("GIF", "PNG") else {}
    assert look(*save(page().image, tmp_path / "a", writer, **more)).pages == 1


def test_too_many_pages_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TooManyPages) as raised:
        look(text_pdf(tmp_path / "a.pdf", [HELLO] * 4), max_pages=3)
    assert "4 pages" in raised.value.detail


def test_a_tiff_without_end_is_not_counted_to_the_end(tmp_path: Path) -> None:
    directory = struct.pack("<HHHII", 1, 256, 4, 1, 1)
    chain = b"".join(
        directory + struct.pack("<I", 8 + (number + 1) * (len(directory) + 4)) for number in range(100_000)
    )
    path = tmp_path / "a.tiff"
    path.write_bytes(b"II*\0\x08\0\0\0" + chain)
    assert count_frames(path, 50) == 50


def test_a_tiff_in_a_circle_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    path.write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 256, 4, 1, 1) + struct.pack("<I", 8))
    assert count_frames(path, 1000) == 1


def test_a_bigtiff_is_counted(tmp_path: Path) -> None:
    path, kind = save(page().image, tmp_path / "a", "TIFF", big_tiff=True, save_all=True, append_images=[page().image])
    assert look(path, kind).pages == 2


def test_a_pdf_without_pages_is_refused(tmp_path: Path) -> None:
    pikepdf.new().save(tmp_path / "a.pdf")
    with pytest.raises(NoPages):
        look(tmp_path / "a.pdf")


def test_a_locked_pdf_is_refused(tmp_path: Path) -> None:
    with pikepdf.open(text_pdf(tmp_path / "a.pdf", [HELLO])) as pdf:
        pdf.save(tmp_path / "b.pdf", encryption=pikepdf.Encryption(user="sesame", owner="keeper"))
    with pytest.raises(Encrypted):
        look(tmp_path / "b.pdf")


def test_a_pdf_cut_short_is_repaired_the_same_way_each_time(tmp_path: Path) -> None:
    path = text_pdf(tmp_path / "a.pdf", [HELLO] * 5)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    found = look(path)
    assert found.repaired
    assert found.pages >= 1
    pictures = []
    for _ in range(2):
        with PageSource(path, MediaKind.PDF, max_pixels=PLENTY) as source:
            assert source.repaired
            pictures.append(source.image(1, 100).pixels.tobytes())
    assert pictures[0] == pictures[1]


def test_rubbish_after_a_pdfs_head_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 40)
    with pytest.raises(DamagedFile) as raised:
        look(path)
    assert str(tmp_path) not in raised.value.detail


def test_a_picture_over_the_limit_is_refused(tmp_path: Path) -> None:
    path, kind = save(page().image, tmp_path / "a")
    with pytest.raises(TooManyPixels):
        inspect(path, kind, max_pages=1, max_pixels=1000)
