"""What came in, by its bytes, never by its name.

``sniff`` looks at the first bytes, ``check_header`` at an image's header, ``open_image`` opens an image for its pages.
Nothing here decodes pixels, so the API may ask it about a file that somebody sent a moment ago.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from copyist.errors import DamagedFile, EmptyUpload, TooManyPixels, UnsupportedMedia

HEAD_BYTES = 1024
"""What ``sniff`` wants to see: a PDF may start with up to 1,024 bytes of something else (ISO 32000-1, H.3)."""

# Pillow's own check is one number for the whole process that warns at one size and raises at another. Ours is a value
# that is handed down, and every image is opened in this module.
Image.MAX_IMAGE_PIXELS = None
# Pillow warns about odd metadata in files that strangers send; it is no news to anybody who runs the service.
warnings.filterwarnings("ignore", module=r"PIL\.")


class MediaKind(StrEnum):
    """The kinds of file that can be read."""

    PDF = "pdf"
    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    BMP = "bmp"
    GIF = "gif"
    TIFF = "tiff"
    AVIF = "avif"
    HEIC = "heic"
    JP2 = "jp2"

    @property
    def mime(self) -> str:
        """The media type, as in ``Content-Type``."""
        return _FACTS[self].mime

    @property
    def extension(self) -> str:
        """The usual end of a file's name, with its dot."""
        return _FACTS[self].extension

    @property
    def label(self) -> str:
        """What a person calls it, with an article: "a PNG image"."""
        return _FACTS[self].label


class _Facts(NamedTuple):
    mime: str
    extension: str
    label: str


_FACTS = {
    MediaKind.PDF: _Facts("application/pdf", ".pdf", "a PDF"),
    MediaKind.PNG: _Facts("image/png", ".png", "a PNG image"),
    MediaKind.JPEG: _Facts("image/jpeg", ".jpg", "a JPEG image"),
    MediaKind.WEBP: _Facts("image/webp", ".webp", "a WebP image"),
    MediaKind.BMP: _Facts("image/bmp", ".bmp", "a BMP image"),
    MediaKind.GIF: _Facts("image/gif", ".gif", "a GIF image"),
    MediaKind.TIFF: _Facts("image/tiff", ".tiff", "a TIFF image"),
    MediaKind.AVIF: _Facts("image/avif", ".avif", "an AVIF image"),
    MediaKind.HEIC: _Facts("image/heic", ".heic", "a HEIC image"),
    MediaKind.JP2: _Facts("image/jp2", ".jp2", "a JPEG 2000 image"),
}

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", MediaKind.PNG),
    (b"\xff\xd8\xff", MediaKind.JPEG),
    (b"GIF87a", MediaKind.GIF),
    (b"GIF89a", MediaKind.GIF),
    (b"II*\0", MediaKind.TIFF),
    (b"MM\0*", MediaKind.TIFF),
    (b"II+\0", MediaKind.TIFF),
    (b"MM\0+", MediaKind.TIFF),
    (b"\0\0\0\x0cjP  \r\n\x87\n", MediaKind.JP2),
    (b"\xff\x4f\xff\x51", MediaKind.JP2),
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})


def sniff(head: bytes) -> MediaKind:
    """The kind of a file by its first ``HEAD_BYTES`` bytes.

    Raises ``EmptyUpload`` for no bytes at all and ``UnsupportedMedia`` for bytes of no known kind.
    """
    if not head:
        raise EmptyUpload
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return MediaKind.WEBP
    if head[4:8] == b"ftyp" and (found := _brand(head)):
        return found
    if b"%PDF-" in head[:HEAD_BYTES]:
        return MediaKind.PDF
    # Two letters are a weak sign, so a BMP must also have a header of one of the sizes there are.
    if head[:2] == b"BM" and head[14:18] in _BMP_HEADERS:
        return MediaKind.BMP
    raise UnsupportedMedia


_BMP_HEADERS = frozenset(struct.pack("<I", size) for size in (12, 16, 40, 52, 56, 64, 108, 124))


def sniff_file(path: Path) -> MediaKind:
    """The kind of the file at ``path``; raises as ``sniff`` does."""
    with path.open("rb") as file:
        return sniff(file.read(HEAD_BYTES))


def _brand(head: bytes) -> MediaKind | None:
    """AVIF or HEIC, by the brands in the ``ftyp`` box; the major brand may be a general one, such as ``mif1``."""
    end = min(int.from_bytes(head[:4], "big"), HEAD_BYTES)
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        return MediaKind.AVIF
    return MediaKind.HEIC if brands & _HEIC_BRANDS else None


class ImageSize(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


def check_header(path: Path, max_pixels: int) -> MediaKind:
    """Look at the header of the file at ``path``, without decoding a pixel, and say of what kind the file is.

    A PDF is only recognised. Raises ``EmptyUpload``, ``UnsupportedMedia``, ``TooManyPixels`` or ``DamagedFile``.
    """
    kind = sniff_file(path)
    if kind is MediaKind.WEBP:
        # Opening a WebP makes its decoder, which reserves the whole canvas: the size is in the first 30 bytes.
        check_size(_webp_size(path), max_pixels)
    elif kind is not MediaKind.PDF:
        open_image(path, kind, max_pixels).close()
    return kind


def check_size(size: tuple[int, int], max_pixels: int) -> None:
    """Raise ``TooManyPixels`` when ``size`` (width, height) is over ``max_pixels``."""
    width, height = size
    if width * height > max_pixels:
        raise TooManyPixels(width=width, height=height, limit_mp=round(max_pixels / 1e6, 1))


def open_image(path: Path, kind: MediaKind, max_pixels: int) -> ImageFile.ImageFile:
    """Open an image of a known kind: its header is read, its pixels are not. The caller closes it.

    Raises ``DamagedFile``, and ``TooManyPixels`` by the size in the header.
    """
    if kind is MediaKind.WEBP:
        check_size(_webp_size(path), max_pixels)
    elif kind is MediaKind.JP2:
        check_size(_codestream_size(path), max_pixels)
    try:
        image = _opener(kind)(path)
    except Exception as cause:
        # Broken files make Pillow's plug-ins raise nearly anything: SyntaxError, TypeError, struct.error, ValueError.
        raise DamagedFile(kind=kind.label) from cause
    try:
        check_size(image.size, max_pixels)
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            _check_tiles(image, max_pixels)
    except BaseException:
        image.close()
        raise
    return image


def _opener(kind: MediaKind) -> Callable[[Path], ImageFile.ImageFile]:
    """The class that opens images of this kind, and of no other. A phone's MPO is opened as the JPEG it starts with."""
    if kind is MediaKind.HEIC:
        from pi_heif import HeifImageFile  # it loads a codec library that most processes never need

        opener: Callable[[Path], ImageFile.ImageFile] = HeifImageFile
        return opener
    return _OPENERS[kind]


_OPENERS: dict[MediaKind, Callable[[Path], ImageFile.ImageFile]] = {
    MediaKind.PNG: PngImagePlugin.PngImageFile,
    MediaKind.JPEG: JpegImagePlugin.JpegImageFile,
    MediaKind.WEBP: WebPImagePlugin.WebPImageFile,
    MediaKind.BMP: BmpImagePlugin.BmpImageFile,
    MediaKind.GIF: GifImagePlugin.GifImageFile,
    MediaKind.TIFF: TiffImagePlugin.TiffImageFile,
    MediaKind.AVIF: AvifImagePlugin.AvifImageFile,
    MediaKind.JP2: Jpeg2KImagePlugin.Jpeg2KImageFile,
}

_TILE_WIDTH, _TILE_LENGTH = 322, 323


def _check_tiles(image: TiffImagePlugin.TiffImageFile, max_pixels: int) -> None:
    """A small TIFF may say that it is kept in enormous tiles, and a tile is decoded whole."""
    tile = image.tag_v2.get(_TILE_WIDTH), image.tag_v2.get(_TILE_LENGTH)
    if isinstance(tile[0], int) and isinstance(tile[1], int):
        check_size((tile[0], tile[1]), max_pixels)


def _webp_size(path: Path) -> ImageSize:
    """Size of a WebP's canvas, from its first chunk (RFC 9649, 2.5 to 2.7)."""
    with path.open("rb") as file:
        head = file.read(30)
    if len(head) == 30:
        if head[12:16] == b"VP8X":
            return ImageSize(1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little"))
        if head[12:16] == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
            width, height = struct.unpack("<HH", head[26:30])
            return ImageSize(width & 0x3FFF, height & 0x3FFF)
        if head[12:16] == b"VP8L" and head[20] == 0x2F:
            bits = int.from_bytes(head[21:25], "little")
            return ImageSize((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    raise DamagedFile(kind=MediaKind.WEBP.label)


def _codestream_size(path: Path) -> ImageSize:
    """Size in a JPEG 2000 file's code stream (ISO 15444-1, A.5.1).

    The box around it states a size too, and that is what Pillow shows; what is decoded is the code stream.
    """
    with path.open("rb") as file:
        head = file.read(1 << 20)
    at = head.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(head) < at + 40:
        raise DamagedFile(kind=MediaKind.JP2.label)
    right, bottom, left, top = struct.unpack(">IIII", head[at + 8 : at + 24])
    return ImageSize(max(right - left, 0), max(bottom - top, 0))
