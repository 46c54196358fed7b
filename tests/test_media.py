"""What came in, by its bytes."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageFile

from copyist.errors import CopyistError, DamagedFile, EmptyUpload, TooManyPixels, UnsupportedMedia
from copyist.media import MediaKind, check_header, open_image, sniff

WRITERS = {
    MediaKind.PNG: "PNG",
    MediaKind.JPEG: "JPEG",
    MediaKind.WEBP: "WEBP",
    MediaKind.BMP: "BMP",
    MediaKind.GIF: "GIF",
    MediaKind.TIFF: "TIFF",
    MediaKind.AVIF: "AVIF",
    MediaKind.JP2: "JPEG2000",
}
PLENTY = 10_000_000


def encoded(writer: str, size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "white").save(out, writer, **options)
    return out.getvalue()


def file(folder: Path, data: bytes) -> Path:
    path = folder / "upload.txt"
    path.write_bytes(data)
    return path


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + b"".join(chunks)
        + png_chunk(b"IDAT", zlib.compress(b""))
        + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("kind", "writer"), WRITERS.items())
def test_every_kind_of_image_is_known_by_its_bytes(tmp_path: Path, kind: MediaKind, writer: str) -> None:
    path = file(tmp_path, encoded(writer))
    assert check_header(path, PLENTY) is kind
    with open_image(path, kind, PLENTY) as image:
        assert image.size == (40, 30)


@pytest.mark.parametrize(("kind", "writer"), WRITERS.items())
def test_every_kind_of_image_is_refused_by_the_size_in_its_header(tmp_path: Path, kind: MediaKind, writer: str) -> None:
    with pytest.raises(TooManyPixels) as raised:
        check_header(file(tmp_path, encoded(writer)), 40 * 30 - 1)
    assert "40 x 30" in raised.value.detail


@pytest.mark.parametrize(("kind", "writer"), WRITERS.items())
def test_looking_at_a_header_decodes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: MediaKind, writer: str
) -> None:
    path = file(tmp_path, encoded(writer))

    def decoded(image: ImageFile.ImageFile) -> None:
        pytest.fail("the image was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decoded)
    check_header(path, PLENTY)


@pytest.mark.parametrize(("kind", "writer"), WRITERS.items())
def test_a_file_cut_short_in_its_header_gives_an_error_of_ours_or_none(
    tmp_path: Path, kind: MediaKind, writer: str
) -> None:
    data = encoded(writer)
    for length in range(1, min(len(data), 120)):
        try:
            check_header(file(tmp_path, data[:length]), PLENTY)
        except CopyistError as error:
            assert str(tmp_path) not in error.detail


@pytest.mark.parametrize("kind", MediaKind)
def test_every_kind_says_what_it_is(kind: MediaKind) -> None:
    assert "/" in kind.mime
    assert kind.extension.startswith(".")
    assert kind.label.startswith(("a ", "an "))


def test_a_pdf_may_start_within_its_first_kilobyte() -> None:
    assert sniff(b"%PDF-1.4") is MediaKind.PDF
    assert sniff(b"\r\n" * 500 + b"%PDF-1.7 ...") is MediaKind.PDF
    with pytest.raises(UnsupportedMedia):
        sniff(b" " * 1024 + b"%PDF-1.7")


def test_no_bytes_are_an_empty_upload(tmp_path: Path) -> None:
    with pytest.raises(EmptyUpload):
        check_header(file(tmp_path, b""), PLENTY)


@pytest.mark.parametrize(
    "data", [b"<html>", b"BMW is a car maker", b"PK\x03\x04", b"{\\rtf1", b"\0" * 64, b"RIFF\0\0\0\0WAVE", b"x"]
)
def test_other_bytes_are_unsupported_media(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia):
        sniff(data)


@pytest.mark.parametrize(
    ("major", "others", "kind"),
    [
        (b"avif", b"", MediaKind.AVIF),
        (b"mif1", b"miafavif", MediaKind.AVIF),
        (b"heic", b"mif1", MediaKind.HEIC),
        (b"mif1", b"heic", MediaKind.HEIC),
        (b"msf1", b"hevc", MediaKind.HEIC),
    ],
)
def test_brands_tell_avif_from_heic(major: bytes, others: bytes, kind: MediaKind) -> None:
    body = b"ftyp" + major + b"\0\0\0\0" + others
    assert sniff(struct.pack(">I", len(body) + 4) + body) is kind


def test_a_video_is_no_heic() -> None:
    with pytest.raises(UnsupportedMedia):
        sniff(b"\0\0\0\x14ftypisom\0\0\0\0mp41")


def test_a_phones_mpo_is_read_as_the_jpeg_it_starts_with(tmp_path: Path) -> None:
    data = encoded("MPO", save_all=True, append_images=[Image.new("RGB", (40, 30), "black")])
    path = file(tmp_path, data)
    assert check_header(path, PLENTY) is MediaKind.JPEG
    with open_image(path, MediaKind.JPEG, PLENTY) as image:
        assert image.format == "JPEG"


def test_a_bomb_is_refused_for_what_its_header_promises(tmp_path: Path) -> None:
    with pytest.raises(TooManyPixels) as raised:
        check_header(file(tmp_path, png(2**30, 2**30)), PLENTY)
    assert "10.0 megapixels" in raised.value.detail


def test_a_text_chunk_that_inflates_without_end_is_damage(tmp_path: Path) -> None:
    bomb = png_chunk(b"zTXt", b"comment\0\0" + zlib.compress(b"a" * 20_000_000, 9))
    with pytest.raises(DamagedFile):
        check_header(file(tmp_path, png(10, 10, bomb)), PLENTY)


def test_a_webp_is_measured_before_its_decoder_is_made(tmp_path: Path) -> None:
    data = bytearray(encoded("WEBP", lossless=True))
    assert data[12:16] == b"VP8L"
    data[21:25] = struct.pack("<I", (16382 | 16382 << 14))
    with pytest.raises(TooManyPixels):
        check_header(file(tmp_path, bytes(data)), PLENTY)


def test_a_jpeg_2000_is_measured_by_its_code_stream_not_by_its_box(tmp_path: Path) -> None:
    data = bytearray(encoded("JPEG2000"))
    at = data.index(b"\xff\x4f\xff\x51") + 8
    data[at : at + 8] = struct.pack(">II", 60_000, 60_000)
    with pytest.raises(TooManyPixels):
        check_header(file(tmp_path, bytes(data)), PLENTY)


def test_a_small_tiff_in_enormous_tiles_is_refused(tmp_path: Path) -> None:
    entries = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 277: 1, 322: 65_520, 323: 65_520, 324: 8, 325: 8}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + b"\0\0\0\0"
    with pytest.raises(TooManyPixels):
        check_header(file(tmp_path, data), PLENTY)


def test_limits_are_ours_and_no_warning_comes_of_them(tmp_path: Path) -> None:
    path = file(tmp_path, png(20_000, 10_000))
    assert check_header(path, 200_000_000) is MediaKind.PNG
