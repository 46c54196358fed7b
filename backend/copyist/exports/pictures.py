"""The frames of an uploaded image as pictures in a PDF: their own bytes where a PDF can hold them.

JPEG, JPEG 2000 and plain PNG go in as they are. Anything else is decoded, one frame at a time, and packed without loss;
what was lossy before (WebP, AVIF, HEIC, JPEG inside of TIFF) comes out as a good JPEG, for without loss it would be ten
times its size.
"""

from __future__ import annotations

import errno
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import img2pdf
import pikepdf
from PIL import Image, ImageFile

from copyist.errors import CopyistError, DamagedFile
from copyist.exports.pdf_file import PdfWriter, reference
from copyist.media import MediaKind, check_size, open_image

_ORIENTATION: Final = 0x0112
_PLAUSIBLE_DPI: Final = range(70, 1201)
_PASSED_ON: Final = frozenset({MediaKind.JPEG, MediaKind.PNG, MediaKind.JP2})
_LOSSY: Final = frozenset({MediaKind.WEBP, MediaKind.AVIF, MediaKind.HEIC})
_QUALITY: Final = 90
_DEPTHS: Final = (1, 255, 4095, 65535)


class Placing(NamedTuple):
    """How an image's unit square lies on its page's, as a PDF's matrix."""

    a: int
    b: int
    c: int
    d: int
    e: int
    f: int


_PLACINGS: Final = {
    1: Placing(1, 0, 0, 1, 0, 0),
    2: Placing(-1, 0, 0, 1, 1, 0),
    3: Placing(-1, 0, 0, -1, 1, 1),
    4: Placing(1, 0, 0, -1, 0, 1),
    5: Placing(0, -1, -1, 0, 1, 1),
    6: Placing(0, -1, 1, 0, 0, 1),
    7: Placing(0, 1, 1, 0, 0, 0),
    8: Placing(0, 1, -1, 0, 1, 0),
}
"""By EXIF orientation (EXIF 2.32, 4.6.4): where the first row and column of the pixels are seen."""


@dataclass(frozen=True)
class Picture:
    """One frame: ``number`` of its object in the PDF, how it lies, its size as seen, its stated resolution if any."""

    number: int
    placing: Placing
    width: int
    height: int
    dpi: tuple[float, float] | None


def put_picture(path: Path, kind: MediaKind, frame: int, writer: PdfWriter, *, max_pixels: int) -> Picture:
    """Write one frame, counted from 1, of the image at ``path``; raises ``DamagedFile`` or ``TooManyPixels``."""
    with open_image(path, kind, max_pixels) as image:
        try:
            if frame > 1:
                image.seek(frame - 1)
                check_size(image.size, max_pixels)
            turn = _orientation(image)
            dpi = _stated_dpi(image)
            number = _put(path, kind, image, writer)
            # A TIFF is turned by Pillow as it is decoded.
            width, height = image.size[::-1] if turn >= 5 else image.size
        except CopyistError:
            raise
        except Exception as cause:
            if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
                raise  # of the disk that it is written to, which says nothing about the file
            # A broken file makes decoders raise nearly anything, MemoryError included.
            raise DamagedFile(kind=kind.label) from cause
    return Picture(number, _PLACINGS[turn], width, height, dpi)


def _put(path: Path, kind: MediaKind, image: ImageFile.ImageFile, writer: PdfWriter) -> int:
    if kind in _PASSED_ON and not image.has_transparency_data:
        try:
            return _put_encoded(path.read_bytes(), writer)
        except Exception:  # noqa: S110 - img2pdf is choosier than viewers are; what it refuses is decoded
            pass
    image.load()
    lossy = kind in _LOSSY or image.info.get("compression") in ("jpeg", "tiff_jpeg", "webp")
    return _put_encoded(_encoded(_flat(image), lossy=lossy), writer)


def _encoded(image: Image.Image, *, lossy: bool) -> bytes:
    out = io.BytesIO()
    if image.mode == "1":
        image.save(out, "TIFF")  # which img2pdf packs as a fax does, to half of a PNG
    elif lossy:
        image.save(out, "JPEG", quality=_QUALITY, subsampling=0)
    else:
        image.save(out, "PNG", compress_level=6)
    return out.getvalue()


def _put_encoded(data: bytes, writer: PdfWriter) -> int:
    """Pack an encoded image by img2pdf, and take the picture out of what that makes."""
    packed = img2pdf.convert(
        data, engine=img2pdf.Engine.internal, rotation=img2pdf.Rotation.none, first_frame_only=True
    )
    with pikepdf.open(io.BytesIO(packed)) as pdf:
        (picture,) = pdf.pages[0].Resources.XObject.values()
        return _copy(picture, writer)


def _copy(stream: pikepdf.Object, writer: PdfWriter) -> int:
    entries = (b"%b %b" % (key.encode(), _body(value, writer)) for key, value in stream.items() if key != "/Length")
    return writer.put_stream(stream.read_raw_bytes(), b"".join(entries))


def _body(value: Any, writer: PdfWriter) -> bytes:
    """A value as it is written; streams that it names, such as a colour profile, are written first."""
    if isinstance(value, pikepdf.Stream):
        return reference(_copy(value, writer))
    if isinstance(value, pikepdf.Array):
        return b"[%b]" % b" ".join(_body(item, writer) for item in value)
    if isinstance(value, bool):
        return b"true" if value else b"false"
    body: bytes = value.unparse(resolved=True) if isinstance(value, pikepdf.Object) else str(value).encode()
    return body


def _flat(image: Image.Image) -> Image.Image:
    """An image in black and white, grey or RGB, its transparency laid on white."""
    if image.mode.startswith(("I", "F")):
        return _eight_bits(image)
    if image.has_transparency_data:
        grey = image.mode in ("L", "LA")
        layers = image.convert("LA" if grey else "RGBA")
        white = Image.new("L" if grey else "RGB", image.size, "white")
        white.paste(layers, mask=layers.getchannel("A"))
        return white
    if image.mode in ("1", "L", "RGB"):
        return image
    return image.getchannel(0) if image.mode == "LAB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits; white is the smallest usual depth that holds the brightest pixel."""
    deep = image.convert("F")
    brightest = float(deep.getextrema()[1])  # type: ignore[arg-type]
    depths = _DEPTHS if image.mode == "F" else _DEPTHS[1:]
    white = next((depth for depth in depths if brightest <= depth), brightest)
    return deep.point(lambda value: value * (255 / white) + 0).convert("L")


def _orientation(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation left to apply, 1 to 8; 1 also where it cannot be read."""
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1  # Pillow applies a TIFF's itself, and would decode a PNG to look for a chunk at its end
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1  # broken metadata is no reason to refuse a readable picture
    return value if value in _PLACINGS else 1


def _stated_dpi(image: ImageFile.ImageFile) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
    return (across, down) if round(across) in _PLAUSIBLE_DPI and round(down) in _PLAUSIBLE_DPI else None
