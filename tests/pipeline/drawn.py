"""Pages drawn for tests, with what stands on them and where."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
import pikepdf
from PIL import Image, ImageDraw, ImageFont

from copyist.document import Box, Page
from copyist.engines.base import PageImage, ReadOptions
from copyist.media import MediaKind
from copyist.pipeline.placement import Affine

PLENTY = 50_000_000

TEXT = (
    "The harbour ledger was opened on the second day of March",
    "and the clerk copied every line of it before the evening.",
    "Seven boats had left for the northern islands that morning;",
    "four of them carried timber, the others barrels and rope.",
    "Nobody knew which captain had signed for the last cargo,",
    "so the council wrote to the factory and asked for a list.",
    "It came back within a week, in a careful and steady hand.",
    "The garden gate was painted green again before the winter.",
)


@dataclass(frozen=True)
class Drawn:
    """A picture of a page and its words with their boxes, in pixels of that picture."""

    image: Image.Image
    words: tuple[tuple[str, Box], ...]
    text: str = field(default="")


def page(lines: tuple[str, ...] = TEXT, *, size: int = 24, width: int = 1000, height: int = 700) -> Drawn:
    """Black text on white, in the font that comes with Pillow, ``size`` pixels an em."""
    image = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size)
    words = []
    for number, line in enumerate(lines):
        x, y = 3.0 * size, size * (2 + 1.6 * number)
        for word in line.split():
            left, top, right, bottom = draw.textbbox((x, y), word, font=font)
            words.append((word, Box(round(left), round(top), round(right), round(bottom))))
            draw.text((x, y), word, font=font, fill=0)
            x += draw.textlength(word + " ", font=font)
    return Drawn(image, tuple(words), "\n".join(lines))


def moved(box: Box, by: Affine) -> Box:
    """Where a box comes to lie."""
    corners = [by(x, y) for x in (box.left, box.right) for y in (box.top, box.bottom)]
    across, down = zip(*corners, strict=True)
    return Box(round(min(across)), round(min(down)), round(max(across)), round(max(down)))


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    shared = Box(max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3]))
    area = max(shared.width, 0) * max(shared.height, 0)
    return area / (one.width * one.height + other.width * other.height - area)


def box_quality(found: Page, truth: list[tuple[str, Box]]) -> float:
    """How well the boxes of words lie, as intersection over union: nine in ten do at least as well.

    (Tesseract gives some words the height of the whole line.) 0 when fewer than nine in ten words were found.
    """
    boxes = {word.text: word.box for line in found.lines() for word in line.words}
    once = [(word, box) for word, box in truth if [text for text, _ in truth].count(word) == 1]
    measured = sorted(overlap(boxes[word], box) for word, box in once if word in boxes)
    return measured[len(measured) // 10] if len(measured) >= 0.9 * len(once) else 0.0


def save(image: Image.Image, path: Path, writer: str = "PNG", **options: object) -> tuple[Path, MediaKind]:
    """Write a picture, and say of which kind the file is."""
    image.save(path, writer, **options)
    return path, MediaKind(
        {"PNG": "png", "JPEG": "jpeg", "TIFF": "tiff", "JPEG2000": "jp2"}.get(writer) or writer.lower()
    )


def text_pdf(path: Path, contents: list[str], *, box: tuple[float, float] = (400, 300), rotate: int = 0) -> Path:
    """A PDF with a page for each content stream; the font is ``/F1``, Helvetica."""
    pdf = pikepdf.new()
    for content in contents:
        sheet = pdf.add_blank_page()
        sheet.obj.MediaBox = pikepdf.Array([0, 0, *(Decimal(str(side)) for side in box)])
        sheet.obj.Resources = pikepdf.Dictionary(
            Font=pikepdf.Dictionary(
                F1=pikepdf.Dictionary(
                    Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
                )
            )
        )
        sheet.obj.Contents = pdf.make_stream(content.encode("latin-1"))
        sheet.obj.Rotate = rotate
    pdf.save(path)
    return path


def mapped_pdf(path: Path, text: str, tilde: str) -> Path:
    """A PDF of one line whose font says that its tilde means ``tilde``, UTF-16 in hexadecimal digits, sound or not."""
    to_unicode = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def "
        "1 begincodespacerange <00> <FF> endcodespacerange 1 beginbfrange <20> <7A> <0020> endbfrange "
        f"1 beginbfchar <7E> <{tilde}> endbfchar endcmap end end"
    )
    text_pdf(path, [f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET"], box=(600, 200))
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        pdf.pages[0].obj.Resources.Font.F1.ToUnicode = pdf.make_stream(to_unicode.encode())
        pdf.save(path)
    return path


def image_pdf(path: Path, image: Image.Image, *, dpi: float = 150, extra: str = "") -> Path:
    """A PDF of one page under one picture, with what ``extra`` draws on top."""
    width, height = image.width * 72 / dpi, image.height * 72 / dpi
    text_pdf(path, [f"q {width} 0 0 {height} 0 0 cm /I1 Do Q {extra}"], box=(width, height))
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        stream = pdf.make_stream(image.tobytes())
        stream.stream_dict.update(
            {
                "/Type": pikepdf.Name.XObject,
                "/Subtype": pikepdf.Name.Image,
                "/Width": image.width,
                "/Height": image.height,
                "/BitsPerComponent": 8,
                "/ColorSpace": pikepdf.Name.DeviceRGB if image.mode == "RGB" else pikepdf.Name.DeviceGray,
            }
        )
        pdf.pages[0].obj.Resources.XObject = pikepdf.Dictionary(I1=stream)
        pdf.save(path)
    return path


@dataclass
class FakeEngine:
    """An engine that remembers what it was shown and answers with ``answer``."""

    name = "fake"
    modes = frozenset()
    needs_gpu = False
    cost = 0.0
    dpi = 300
    version = "1"
    shown: list[PageImage] = field(default_factory=list)

    def read(self, images: list[PageImage], options: ReadOptions) -> list[Page]:
        self.shown += images
        return [self.answer(image) for image in images]

    def answer(self, image: PageImage) -> Page:
        return Page(width=image.width, height=image.height, engine="fake", engine_version="1")

    def close(self) -> None:
        self.shown.clear()


def pixels(image: Image.Image) -> np.ndarray:
    """A picture as engines get it."""
    return np.asarray(image)
