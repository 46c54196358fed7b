"""Draws the project's own samples and writes ``manifest.json``: ``python tests/samples/make_samples.py``.

The files are committed; run this only to change them. It needs Pillow, numpy, pikepdf and the DejaVu fonts (Debian:
fonts-dejavu). The same versions of these give the same bytes.

The manifest holds for each file: ``kind``, ``pages`` (``null`` where it has none to count), ``truth`` (the text of each
page), ``expect`` ("completed" or the code of the error, without a password) and ``note``.
"""

from __future__ import annotations

import json
import struct
import time
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pikepdf
import texts
from drawing import A4, DPI, page, photographed, scanned, skewed
from PIL import Image, ImageFilter

HERE = Path(__file__).parent
EPOCH = time.gmtime(0)
CARD = (900, 330)
PASSWORD = "copyist"  # the manifest says it too


class Samples:
    """The folder and what stands in its manifest."""

    def __init__(self) -> None:
        self.entries: list[dict[str, object]] = []

    def add(
        self, file: str, data: bytes, *, kind: str, note: str, truth: Sequence[str] = (), expect: str = "completed"
    ) -> bytes:
        """Writes one sample and its entry."""
        (HERE / file).write_bytes(data)
        pages = len(truth) if truth else 0 if expect == "no_pages" else None
        entry = {"file": file, "kind": kind, "pages": pages, "truth": list(truth), "expect": expect, "note": note}
        self.entries.append(entry)
        return data

    def write_manifest(self) -> None:
        """Writes ``manifest.json``."""
        text = json.dumps(self.entries, indent=1, ensure_ascii=False)
        (HERE / "manifest.json").write_text(text + "\n", encoding="utf-8")


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """The image as a file of this form."""
    out = BytesIO()
    image.save(out, form, dpi=(DPI, DPI), **options)
    return out.getvalue()


def card(text: str) -> Image.Image:
    """A small page of a few lines."""
    return page(text.split("\n"), size=CARD)


def pdf_of(images: Sequence[Image.Image]) -> bytes:
    """A PDF of images only. Pages of one bit are packed as fax (CCITT group 4), as scanners do."""
    out = BytesIO()
    times = {"creationDate": EPOCH, "modDate": EPOCH}
    images[0].save(out, "PDF", save_all=True, append_images=images[1:], resolution=DPI, **times)
    return out.getvalue()


def saved(pdf: pikepdf.Pdf) -> bytes:
    """The PDF's bytes, the same at each run."""
    out = BytesIO()
    pdf.save(out, deterministic_id=True)
    return out.getvalue()


def mixed_pdf() -> bytes:
    """Page 1 is real text, page 2 an image."""
    scan = pikepdf.open(BytesIO(pdf_of([scanned(page(texts.MIXED[1].split("\n")), degrees=0.4, seed=21)])))
    _, _, width, height = (float(edge) for edge in scan.pages[0].mediabox)
    pdf = pikepdf.new()
    first = pdf.add_blank_page(page_size=(width, height))
    font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
    first.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
    shown = " ".join(f"({line}) Tj T*" for line in texts.MIXED[0].split("\n"))
    first.Contents = pdf.make_stream(f"BT /F1 12 Tf 18 TL 50 {height - 70:.0f} Td {shown} ET".encode())
    pdf.pages.extend(scan.pages)
    return saved(pdf)


def locked_pdf() -> bytes:
    """Opens only with the password. RC4 is old, but the newer ciphers salt each file, so no two runs would agree."""
    pdf = pikepdf.open(BytesIO(pdf_of([card(texts.LOCKED).convert("1", dither=Image.Dither.NONE)])))
    out = BytesIO()
    lock = pikepdf.Encryption(user=PASSWORD, owner=PASSWORD, R=3, aes=False, metadata=False)
    pdf.save(out, encryption=lock, static_id=True)
    return out.getvalue()


def bomb(side: int = 30_000) -> bytes:
    """A PNG of ``side`` x ``side`` white pixels, packed row by row so that they are never in memory together."""
    packer = zlib.compressobj(9)
    row = b"\0" + b"\xff" * (-(-side // 8))
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")]
    parts = (struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def see_through(image: Image.Image) -> Image.Image:
    """Black ink with alpha on a ground that is black too, but fully transparent: white only for who minds the alpha."""
    ink = Image.new("RGBA", image.size, (0, 0, 0, 0))
    ink.putalpha(image.point(lambda value: 255 - value))
    return ink


def sixteen_bit(image: Image.Image) -> Image.Image:
    """Sixteen bits a pixel, the last line of text fainter, in a range that cutting off the low byte still keeps."""
    deep = np.asarray(image, np.uint16) * 257
    faint = round(image.height * 0.757)
    deep[faint:] = 30_000 + (deep[faint:].astype(np.uint32) * 35_535 // 65_535).astype(np.uint16)
    return Image.fromarray(deep)


def pages(samples: Samples) -> None:
    """Whole pages, clean and worn, as people send them."""
    note, letter, turned, upside, tilted, photo = (
        page(text.split("\n"), font=font, points=points)
        for text, font, points in (
            (texts.NOTE, "DejaVuSans", 12),
            (texts.LETTER, "DejaVuSerif", 11),
            (texts.TURNED, "DejaVuSerif", 11),
            (texts.UPSIDE, "DejaVuSerif", 11),
            (texts.SKEWED, "DejaVuSerif", 11),
            (texts.PHOTO, "DejaVuSerif", 11),
        )
    )
    about = "A typed task note with checkboxes, bullets, numbers, dates, names and urgency."
    samples.add("note.png", encoded(note, "PNG", optimize=True), kind="note", truth=[texts.NOTE], note=about)
    about = "A clean page of about 150 words."
    samples.add("letter.png", encoded(letter, "PNG", optimize=True), kind="clean", truth=[texts.LETTER], note=about)
    data = encoded(turned.rotate(90, expand=True), "JPEG", quality=60)
    about = "Lies on its left side, without EXIF: turn it 90 degrees clockwise to read it."
    samples.add("turned.jpg", data, kind="turned", truth=[texts.TURNED], note=about)
    data = encoded(upside.rotate(180), "PNG", optimize=True)
    samples.add("upside.png", data, kind="turned", truth=[texts.UPSIDE], note="Stands on its head.")
    data = encoded(skewed(tilted, 3), "PNG", optimize=True)
    samples.add("skewed.png", data, kind="skewed", truth=[texts.SKEWED], note="Tilted clockwise by 3 degrees.")
    data = encoded(photographed(photo, seed=5).convert("RGB"), "JPEG", quality=60)
    about = "Seen at an angle on a dark table, darker on the left."
    samples.add("photo.jpg", data, kind="photo", truth=[texts.PHOTO], note=about)


def documents(samples: Samples) -> None:
    """Files of more than one page."""
    scans = [
        scanned(page(text.split("\n"), size=A4, points=15), degrees=degrees, seed=number)
        for number, (text, degrees) in enumerate(zip(texts.SCAN, (0.7, -0.5, 0.3), strict=True))
    ]
    scan = pdf_of(scans)
    about = f"A4 scanned at {DPI} dpi in black and white, a little tilted and rough; no text layer."
    samples.add("scan.pdf", scan, kind="scan", truth=texts.SCAN, note=about)
    about = "Page 1 has a text layer, page 2 is an image."
    samples.add("mixed.pdf", mixed_pdf(), kind="scan", truth=texts.MIXED, note=about)
    faxes = [card(text).convert("1", dither=Image.Dither.NONE) for text in texts.FAX]
    data = encoded(faxes[0], "TIFF", save_all=True, append_images=faxes[1:], compression="group4")
    samples.add("multipage.tif", data, kind="scan", truth=texts.FAX, note="A fax of three pages, CCITT group 4.")
    about = f'Opens with the password "{PASSWORD}"; truth and pages are those behind it.'
    samples.add("locked.pdf", locked_pdf(), kind="locked", truth=[texts.LOCKED], expect="encrypted", note=about)
    samples.add(
        "zero_pages.pdf", saved(pikepdf.new()), kind="broken", expect="no_pages", note="Whole, but without pages."
    )
    about = "scan.pdf cut off within its first page's image; the page itself comes after it and is lost."
    cut = scan[: scan.index(b"stream") + 4_000]
    samples.add("truncated.pdf", cut, kind="broken", expect="damaged_file", note=about)


def forms(samples: Samples) -> None:
    """Colours, depths and metadata that a careless reader gets wrong."""
    data = encoded(card(texts.CMYK).convert("RGB").convert("CMYK"), "JPEG", quality=60)
    samples.add("cmyk.jpg", data, kind="form", truth=[texts.CMYK], note="Four printing colours, as from a print shop.")
    data = encoded(sixteen_bit(card(texts.SIXTEEN_BIT)), "PNG", optimize=True)
    about = "16-bit grey with a faint last line; read as 8 bits without scaling it is all white."
    samples.add("sixteen_bit.png", data, kind="form", truth=[texts.SIXTEEN_BIT], note=about)
    data = encoded(see_through(card(texts.TRANSPARENT)), "PNG", optimize=True)
    about = "Black ink on transparent black: without its alpha on white the page is black."
    samples.add("transparent.png", data, kind="form", truth=[texts.TRANSPARENT], note=about)
    orientation = Image.Exif()
    orientation[0x0112] = 6
    data = encoded(card(texts.EXIF).rotate(90, expand=True), "JPEG", quality=60, exif=orientation)
    samples.add(
        "exif.jpg", data, kind="form", truth=[texts.EXIF], note="Stored on its side; EXIF orientation 6 says so."
    )
    data = encoded(card(texts.BLURRED).filter(ImageFilter.GaussianBlur(2.6)), "JPEG", quality=60)
    samples.add(
        "blurred.jpg", data, kind="blurred", truth=[texts.BLURRED], note="Out of focus, but a person can read it."
    )


def broken(samples: Samples) -> None:
    """Files that must end in a clear error."""
    cut = (HERE / "letter.png").read_bytes()
    about = "letter.png cut off in the middle: the header is whole, so only its page shows the damage."
    samples.add("truncated.png", cut[: len(cut) // 2], kind="broken", expect="damaged_file", note=about)
    samples.add("empty.bin", b"", kind="broken", expect="empty_upload", note="No bytes at all.")
    data = b"This is a line of text, whatever its name says.\n"
    about = "Plain text named like an image."
    samples.add("not_an_image.jpg", data, kind="broken", expect="unsupported_media", note=about)
    about = "30000 x 30000 white pixels in one bit each: small as a file, 900 megapixels when opened."
    samples.add("bomb.png", bomb(), kind="broken", expect="too_many_pixels", note=about)


def main() -> None:
    """Writes all samples and the manifest."""
    samples = Samples()
    for part in (pages, documents, forms, broken):
        part(samples)
    samples.write_manifest()


if __name__ == "__main__":
    main()
