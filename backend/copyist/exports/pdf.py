"""The searchable PDF: what was uploaded, as it looked, with the text that was read lying invisibly on it.

An uploaded PDF is not written anew: every byte of it stays, and text for the pages that were read by OCR follows
behind, as an update. Pages whose text layer was used have all they need already. Only where a part of the pages was
asked for, or where the file is damaged or protected against changes, qpdf writes it first. A signature does not
outlive that, and says of an updated file that it was changed.

Of an uploaded image every frame becomes a page.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

import pikepdf

from copyist.document import Page, Source
from copyist.errors import CopyistError, DamagedFile, Encrypted, NoPages
from copyist.exports.material import Material
from copyist.exports.pdf_file import PRODUCER, PdfWriter, reference, text_string
from copyist.exports.pdf_font import InvisibleFont
from copyist.exports.pdf_text import Affine, text_operators
from copyist.exports.pdf_update import PdfUpdate, can_follow
from copyist.exports.pictures import Picture, put_picture
from copyist.media import MediaKind

_FONT: Final = "CopyistText"
_POINTS_PER_INCH: Final = 72
_A4: Final = (595.0, 842.0)
_LONG_SIDE_INCHES: Final = 11.69
_LEAST_DPI, _MOST_DPI = 72.0, 600.0
_LONGEST_SIDE: Final = 14_400
"""Points; a longer page is beyond what a viewer must show (ISO 32000-1, annex C)."""
_MAX_PIXELS: Final = 200_000_000
"""A frame that was not read is shown up to this size; one that was read has passed a check."""
_MOST_MEMORY: Final = 32_000_000
"""Bytes. Into more no stream unpacks that qpdf has to look into (tables of objects, objects packed together, content of
a page): 2 MB of a PDF can stand for 2 GB. Pictures are passed on packed, however large they are."""
_MOST_ITEMS: Final = 1_000_000
"""In one array or dictionary, each of which costs qpdf a hundred times its byte."""

# They hold for the process, and are to be set before threads use qpdf.
pikepdf.settings.set_qpdf_limits(
    parser_max_container_size=_MOST_ITEMS,
    flate_max_memory=_MOST_MEMORY,
    png_max_memory=_MOST_MEMORY,
    run_length_max_memory=_MOST_MEMORY,
    tiff_max_memory=_MOST_MEMORY,
)


def write(material: Material, into: IO[bytes]) -> None:
    """The searchable PDF. The same reading of the same file gives the same bytes, and failing leaves ``into`` alone.

    Raises ``Encrypted``, ``DamagedFile`` or ``NoPages`` where the original cannot be used.
    """
    with material.original() as path:
        if material.kind is MediaKind.PDF:
            _write_over_pdf(material, path, into)
        else:
            _write_over_pictures(material, path, into)


def _with_pages(material: Material) -> Iterator[tuple[int, Page | None]]:
    """Each page's number with its reading, ``None`` where it could not be read; one walk over the pages."""
    pages = iter(material.pages())
    page = next(pages, None)
    for number in material.numbers:
        while page is not None and page.number < number:
            page = next(pages, None)
        yield number, page if page is not None and page.number == number else None


def _write_over_pdf(material: Material, path: Path, into: IO[bytes]) -> None:
    with _as_damage():
        pdf = _opened(path)
    with pdf, path.open("rb") as original:
        with _as_damage():
            pages = len(pdf.pages)
            follows = list(material.numbers) == list(range(1, pages + 1)) and can_follow(original, pdf)
        if not pages:
            raise NoPages
        if follows:
            _update(material, pdf, original, into)
            return
        with tempfile.TemporaryFile() as anew:
            with _as_damage():
                _save(_chosen(pdf, material), cast("BinaryIO", anew))
                again = _opened(anew)
            with again:
                _update(material, again, anew, into)


def _update(material: Material, pdf: pikepdf.Pdf, file: IO[bytes], into: IO[bytes]) -> None:
    with PdfUpdate(pdf, file) as update:
        for place, (_, page) in enumerate(_with_pages(material)):
            if page is not None and page.source is Source.OCR:
                with _as_damage():
                    update.add(place, page)
        update.finish(into)


def _opened(file: Path | IO[bytes]) -> pikepdf.Pdf:
    """An open PDF whose objects have the numbers that they have in the file.

    By itself pikepdf gives pages what they inherit, as new objects, with the numbers that an update takes for its own.
    """
    return pikepdf.open(cast("Path | BinaryIO", file), inherit_page_attributes=False)


@contextmanager
def _as_damage() -> Iterator[None]:
    """What qpdf says of damage, and Python of a thing in a PDF that is not of its kind, as our own errors."""
    try:
        yield
    except pikepdf.PasswordError as cause:
        raise Encrypted from cause
    except (pikepdf.PdfError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as cause:
        raise DamagedFile(kind=MediaKind.PDF.label) from cause


def _save(pdf: pikepdf.Pdf, file: BinaryIO) -> None:
    """Write a PDF anew, its streams as they are."""
    untouched = pikepdf.StreamDecodeLevel.none
    pdf.save(file, encryption=False, deterministic_id=True, compress_streams=False, stream_decode_level=untouched)


def _chosen(pdf: pikepdf.Pdf, material: Material) -> pikepdf.Pdf:
    """The material's pages: the PDF itself, or a new one in which of the other pages nothing is left."""
    if list(material.numbers) == list(range(1, len(pdf.pages) + 1)):
        return pdf
    if max(material.numbers, default=0) > len(pdf.pages):
        raise DamagedFile(kind=MediaKind.PDF.label)
    chosen = pikepdf.new()
    chosen.pages.extend(pdf.pages[number - 1] for number in material.numbers)
    for key, value in pdf.docinfo.items():
        if isinstance(value, pikepdf.String):
            chosen.docinfo[key] = str(value)
    return chosen


def _write_over_pictures(material: Material, path: Path, into: IO[bytes]) -> None:
    with PdfWriter() as writer:
        font, tree = InvisibleFont(writer), writer.reserve()
        pages = [
            _put_page(_picture(material, path, number, page, writer), page, font, tree, writer)
            for number, page in _with_pages(material)
        ]
        font.finish()
        kids = b" ".join(map(reference, pages))
        writer.put(b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, len(pages)), tree)
        root = writer.put(b"<</Type/Catalog/Pages %b>>" % reference(tree))
        title, producer = text_string(material.filename), text_string(PRODUCER)
        info = writer.put(b"<</Title %b/Producer %b>>" % (title, producer))
        mine = writer.fingerprint()
        writer.finish(b"/Root %b/Info %b/ID[%b%b]" % (reference(root), reference(info), mine, mine), into)


def _picture(material: Material, path: Path, number: int, page: Page | None, writer: PdfWriter) -> Picture | None:
    """The picture of a page; ``None`` where it could not be read because it cannot be shown."""
    limit = max(_MAX_PIXELS, page.width * page.height if page is not None else 0)
    try:
        return put_picture(path, material.kind, number, writer, max_pixels=limit)
    except CopyistError:
        if page is not None:
            raise
        return None


def _put_page(picture: Picture | None, page: Page | None, font: InvisibleFont, tree: int, writer: PdfWriter) -> int:
    width, height = _size(picture, page)
    content, resources = b"", b""
    if picture is not None:
        a, b, c, d, e, f = picture.placing
        matrix = (a * width, b * height, c * width, d * height, e * width, f * height)
        content = b"q %b cm /Im Do Q\n" % " ".join(f"{value:.4f}" for value in matrix).encode()
        resources = b"/XObject<</Im %b>>" % reference(picture.number)
    if page is not None:
        to_page = Affine(width / page.width, 0, 0, -height / page.height, 0, height)
        if text := text_operators(page, to_page, font, _FONT):
            content += text
            resources += b"/Font<</%b %b>>" % (_FONT.encode(), reference(font.number))
    return writer.put(
        b"<</Type/Page/Parent %b/MediaBox[0 0 %.4f %.4f]/Contents %b/Resources<<%b>>>>"
        % (reference(tree), width, height, reference(writer.put_deflated(content)), resources)
    )


def _size(picture: Picture | None, page: Page | None) -> tuple[float, float]:
    """Width and height of a page in points: by the resolution the file states, or so that it is about as long as A4."""
    if picture is None:
        return _A4
    fitting = min(max(max(picture.width, picture.height) / _LONG_SIDE_INCHES, _LEAST_DPI), _MOST_DPI)
    stated = page.dpi if page is not None and page.dpi else fitting
    across, down = picture.dpi or (stated, stated)
    width, height = picture.width / across * _POINTS_PER_INCH, picture.height / down * _POINTS_PER_INCH
    shrink = min(1.0, _LONGEST_SIDE / max(width, height))
    return width * shrink, height * shrink
