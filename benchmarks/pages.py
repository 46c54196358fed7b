"""Pages to read, drawn the same at each run: text, scans of it, and documents of many pages made cheaply."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from functools import lru_cache

import pikepdf
from PIL import Image, ImageDraw, ImageFont
from tests.samples.drawing import FONTS, photographed, scanned, skewed

__all__ = ["card", "document", "photographed", "png", "scanned", "scans", "sheet", "skewed", "words"]

A4_INCHES = (8.27, 11.69)
PHRASES = [
    phrases.split("|")
    for phrases in (
        "the harbour master|a ledger clerk|Mrs. Quill|Captain Vance|the parish council|Dr. Zimmer|every lantern",
        "carried|opened|repaired|counted|described|followed|measured|painted|collected|borrowed|explained",
        "the narrow bridge|three empty bottles|a brittle map|the yellow account book|forty pounds and six pence",
        "slowly|before winter|near Whitby|on 17 March 1894|in the kitchen|for the second time|without a word",
    )
]


def words(seed: int, lines: int, width: int) -> list[str]:
    """``lines`` lines of English prose, each at most ``width`` characters."""
    chance = random.Random(seed)
    found: list[str] = []
    line = ""
    while len(found) < lines:
        parts = (chance.choice(phrases) for phrases in PHRASES)
        sentence = " ".join(parts) + "."
        for word in (sentence[0].upper() + sentence[1:]).split():
            if len(line) + 1 + len(word) > width:
                found.append(line)
                line = word
            else:
                line = f"{line} {word}".strip()
    return found[:lines]


@lru_cache(maxsize=64)
def sheet(seed: int, *, dpi: int = 200, points: float = 11) -> tuple[Image.Image, str]:
    """A clean A4 page, full of text, and what stands on it."""
    width, height = (round(side * dpi) for side in A4_INCHES)
    size, margin = round(points * dpi / 72), round(0.9 * dpi)
    font = ImageFont.truetype(str(FONTS / "DejaVuSerif.ttf"), size, layout_engine=ImageFont.Layout.BASIC)
    step = round(size * 1.5)
    lines = words(seed, (height - 2 * margin) // step, round((width - 2 * margin) / (0.62 * size)))
    image = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((margin, margin + number * step), line, font=font, fill=25)
    return image, "\n".join(lines)


def scans(pages: int, *, dpi: int, first: int = 0) -> bytes:
    """An A4 PDF of black and white scans, a little tilted and rough, without a text layer."""
    images = []
    for seed in range(first, first + pages):
        images.append(scanned(sheet(seed, dpi=dpi)[0], degrees=(-0.4, 0.3, 0.1)[seed % 3], seed=seed))
    out = io.BytesIO()
    images[0].save(out, "PDF", save_all=True, append_images=images[1:], resolution=dpi)
    return out.getvalue()


def card(number: int, text: Sequence[str] = ()) -> bytes:
    """A small PNG that differs from every other card by its number."""
    image = Image.new("L", (400, 160), 255)
    font = ImageFont.truetype(str(FONTS / "DejaVuSans.ttf"), 26, layout_engine=ImageFont.Layout.BASIC)
    for row, line in enumerate((f"Card number {number}", *text)):
        ImageDraw.Draw(image).text((20, 20 + 40 * row), line, font=font, fill=0)
    return png(image)


def document(pages: int, *, seed: int) -> bytes:
    """A PDF of ``pages`` pages, each one small image and nothing else; another ``seed`` gives other pages."""
    small = Image.open(io.BytesIO(card(seed))).convert("L")
    pdf = pikepdf.new()
    picture = pikepdf.Stream(
        pdf,
        small.tobytes(),
        Type=pikepdf.Name.XObject,
        Subtype=pikepdf.Name.Image,
        Width=small.width,
        Height=small.height,
        ColorSpace=pikepdf.Name.DeviceGray,
        BitsPerComponent=8,
    )
    shared = pdf.make_indirect(picture)
    for number in range(pages):
        page = pdf.add_blank_page(page_size=(200, 80))
        page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Im=shared))
        # A page of its own: the picture lies a little lower on each.
        page.Contents = pdf.make_stream(f"q 200 0 0 80 0 {-(number % 500) / 1000:.3f} cm /Im Do Q".encode())
    out = io.BytesIO()
    pdf.save(out, compress_streams=True)
    return out.getvalue()


def png(image: Image.Image) -> bytes:
    """The image as a PNG file."""
    out = io.BytesIO()
    image.save(out, "PNG", dpi=(200, 200))
    return out.getvalue()
