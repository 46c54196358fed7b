"""PDF files through PDFium: opening with repair, page sizes, what is on a page, and rendering.

Forms are never initialised, so no script of a document runs. PDFium is not safe to use from more than one thread, so
every use of it is under one lock of the process; a loaded page holds it until it is closed.
"""

from __future__ import annotations

import ctypes
import math
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import numpy as np
import numpy.typing as npt
import pikepdf
import pypdfium2
from pypdfium2 import raw

from copyist.errors import DamagedFile, Encrypted, NoPages, PageDamaged, TooManyPixels

POINTS_PER_INCH = 72
MIN_DPI = 20
"""A page that would need less than this to stay within the limit of pixels is refused: it could not be read."""
MAX_SIDE = 32_000
"""The longest side in pixels a page is rendered with; Tesseract takes no more than 32,767."""
_SCAN_COVER = 0.8
_MAX_OBJECTS = 20_000
_PDFIUM = threading.RLock()
_MAX_DEPTH = 4


@dataclass(frozen=True)
class Survey:
    """What a page is made of.

    ``image_cover`` is the share of the page under its images, 0 to 1. ``scan_dpi`` is the resolution of the finest
    image when the page is nothing but images (and invisible text), else ``None``. ``image_pixels`` is the size of the
    largest image.
    """

    image_cover: float
    scan_dpi: float | None
    image_pixels: tuple[int, int]


class PdfFile:
    """An open PDF. Pages count from 1; sizes are in points with the page's ``/Rotate`` applied."""

    def __init__(self, path: Path) -> None:
        """Open the PDF at ``path``, repairing it when PDFium alone cannot.

        Raises ``Encrypted``, ``NoPages`` or ``DamagedFile``.
        """
        self.repaired = False
        with _PDFIUM:
            try:
                self._document = pypdfium2.PdfDocument(path)
            except pypdfium2.PdfiumError:
                # PDFium's own error code can be one of an earlier failure, so the reason is asked of the second reader.
                self._document = _repair(path)
                self.repaired = True
            self.pages = len(self._document)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with _PDFIUM:
            self._document.close()

    def size(self, number: int) -> tuple[float, float]:
        """Width and height of a page in points; raises ``PageDamaged``."""
        size = raw.FS_SIZEF()
        with _PDFIUM:
            found = raw.FPDF_GetPageSizeByIndexF(self._document, number - 1, size)
        if not found:
            raise PageDamaged(number=number)
        if not (math.isfinite(size.width * size.height) and size.width > 0 and size.height > 0):
            raise PageDamaged(number=number)
        return size.width, size.height

    @contextmanager
    def page(self, number: int) -> Iterator[Any]:
        """A loaded PDFium page; raises ``PageDamaged``. Other threads wait until it is closed."""
        with _PDFIUM:
            try:
                page = self._document[number - 1]
            except (pypdfium2.PdfiumError, IndexError) as cause:
                raise PageDamaged(number=number) from cause
            try:
                yield page
            finally:
                page.close()


def _repair(path: Path) -> Any:
    """Have qpdf write the file anew, into an unnamed temporary file, and open that. It comes out the same each time."""
    file: BinaryIO = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - the document reads from it until it is closed
    try:
        with pikepdf.open(path) as pdf:
            if not len(pdf.pages):
                raise NoPages
            pdf.save(file, deterministic_id=True)
        return pypdfium2.PdfDocument(file, autoclose=True)
    except NoPages:
        file.close()
        raise
    except pikepdf.PasswordError as cause:
        file.close()
        raise Encrypted from cause
    except Exception as cause:
        # qpdf reports damage as PdfError, RuntimeError, ValueError or, for deep nesting, RecursionError.
        file.close()
        raise DamagedFile(kind="a PDF") from cause


def fit_dpi(size: tuple[float, float], dpi: float, max_pixels: int) -> float:
    """The resolution nearest to ``dpi`` at which a page of ``size`` points has at most ``max_pixels`` pixels.

    Raises ``TooManyPixels`` where that is under ``MIN_DPI``.
    """
    width, height = size[0] * dpi / POINTS_PER_INCH, size[1] * dpi / POINTS_PER_INCH
    shrink = min(1.0, math.sqrt(max_pixels / (width * height)), MAX_SIDE / max(width, height))
    if shrink == 1:
        return dpi
    # Sizes are rounded to whole pixels, so one pixel a side is kept free.
    fitted = math.floor(dpi * shrink * (1 - 1 / max(2.0, min(width, height) * shrink)))
    if fitted < MIN_DPI:
        raise TooManyPixels(width=round(width), height=round(height), limit_mp=round(max_pixels / 1e6, 1))
    return fitted


def pixel_size(size: tuple[float, float], dpi: float) -> tuple[int, int]:
    """Width and height in pixels of a page of ``size`` points at ``dpi``; at least one each."""
    return max(1, round(size[0] * dpi / POINTS_PER_INCH)), max(1, round(size[1] * dpi / POINTS_PER_INCH))


def render(page: Any, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Draw a loaded page on white with exactly ``size`` (width, height) pixels: uint8, (height, width, 4), RGBx.

    Four bytes a pixel in colour is PDFium's fastest way; its grey is two to four times slower where there are images.
    """
    width, height = size
    pixels = np.full((height, width, 4), 255, np.uint8)
    bitmap = raw.FPDFBitmap_CreateEx(
        width, height, raw.FPDFBitmap_BGRx, pixels.ctypes.data_as(ctypes.c_void_p), width * 4
    )
    if not bitmap:
        raise MemoryError
    raw.FPDF_RenderPageBitmap(bitmap, page, 0, 0, width, height, 0, raw.FPDF_ANNOT | raw.FPDF_REVERSE_BYTE_ORDER)
    raw.FPDFBitmap_Destroy(bitmap)
    return pixels


def survey(page: Any) -> Survey:
    """Look at what a loaded page is made of, without drawing it."""
    area = page.get_width() * page.get_height()
    cover, dpi, largest, only_images = 0.0, 0.0, (0, 0), True
    for item in _objects(page):
        kind = raw.FPDFPageObj_GetType(item)
        if kind == raw.FPDF_PAGEOBJ_IMAGE:
            pixels, across, down = _image_measures(item)
            cover += across * down / area
            if across and down:
                dpi = max(dpi, pixels[0] / across * POINTS_PER_INCH, pixels[1] / down * POINTS_PER_INCH)
            largest = max(largest, pixels, key=math.prod)
        elif kind == raw.FPDF_PAGEOBJ_TEXT:
            only_images &= raw.FPDFTextObj_GetTextRenderMode(item) == raw.FPDF_TEXTRENDERMODE_INVISIBLE
        elif kind != raw.FPDF_PAGEOBJ_FORM:
            only_images = False
    is_scan = only_images and cover >= _SCAN_COVER and dpi > 0
    return Survey(image_cover=min(cover, 1.0), scan_dpi=dpi if is_scan else None, image_pixels=largest)


def _objects(page: Any) -> Iterator[Any]:
    """The objects of a page and of the forms in it, in order, up to a bound that keeps hostile pages cheap."""
    count = 0
    stack = [(raw.FPDFPage_GetObject(page, at), 0) for at in range(min(raw.FPDFPage_CountObjects(page), _MAX_OBJECTS))]
    stack.reverse()
    while stack and count < _MAX_OBJECTS:
        item, depth = stack.pop()
        count += 1
        yield item
        if depth < _MAX_DEPTH and raw.FPDFPageObj_GetType(item) == raw.FPDF_PAGEOBJ_FORM:
            inner = min(raw.FPDFFormObj_CountObjects(item), _MAX_OBJECTS)
            stack.extend((raw.FPDFFormObj_GetObject(item, at), depth + 1) for at in reversed(range(inner)))


def _image_measures(item: Any) -> tuple[tuple[int, int], float, float]:
    """An image object's size in pixels, and the lengths of its sides on the page in points."""
    width, height = ctypes.c_uint(), ctypes.c_uint()
    matrix = raw.FS_MATRIX()
    raw.FPDFImageObj_GetImagePixelSize(item, width, height)
    raw.FPDFPageObj_GetMatrix(item, matrix)
    return (width.value, height.value), math.hypot(matrix.a, matrix.b), math.hypot(matrix.c, matrix.d)
