"""Pages as pictures: one file open, one page at a time, never the whole document.

Every page has one reference frame, the page *as uploaded*: for images the pixels once EXIF orientation is applied, for
PDFs the page at ``REFERENCE_DPI`` (less where that would be too many pixels). ``size`` gives the frame, boxes are
reported in it, and an image of the page at any other resolution shows the same rectangle.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image, ImageFile

from copyist.engines.base import PageImage
from copyist.errors import CopyistError, DamagedFile, PageDamaged
from copyist.media import MediaKind, check_size, open_image
from copyist.pipeline import pdf
from copyist.pipeline.pixels import decode, grey_if_colourless, upright_size
from copyist.pipeline.tiff import count_frames

REFERENCE_DPI = 200
_MAX_JPEG_SIDE = 65_500
_PLAUSIBLE_DPI = range(70, 1201)
_IMAGE_BOMB = 4
"""An image in a PDF may have this many times the pixels that a page may have: a 600 dpi scan shown at 300."""


class PageSource:
    """One open file and its pages, numbered from 1. Use it as a context manager, each from one thread."""

    def __init__(self, path: Path, kind: MediaKind, *, max_pixels: int) -> None:
        """Open the file; raises ``DamagedFile``, ``Encrypted``, ``NoPages`` or ``TooManyPixels``."""
        self.path, self.kind, self.max_pixels = path, kind, max_pixels
        self._pdf = pdf.PdfFile(path) if kind is MediaKind.PDF else None
        self._last: tuple[int, int, PageImage] | None = None
        if self._pdf is None:
            open_image(path, kind, max_pixels).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._last = None
        if self._pdf is not None:
            self._pdf.close()

    @property
    def repaired(self) -> bool:
        """Whether the file had to be repaired to be opened."""
        return self._pdf is not None and self._pdf.repaired

    def pages(self, limit: int) -> int:
        """How many pages the file has; counting stops at ``limit + 1``."""
        if self._pdf is not None:
            return self._pdf.pages
        return count_frames(self.path, limit + 1) if self.kind is MediaKind.TIFF else 1

    def size(self, number: int) -> tuple[int, int]:
        """Width and height of the page's reference frame in pixels."""
        if self._pdf is not None:
            points = self._pdf.size(number)
            return pdf.pixel_size(points, pdf.fit_dpi(points, REFERENCE_DPI, self.max_pixels))
        with self._frame(number) as frame:
            return upright_size(frame)

    def dpi(self, number: int) -> int | None:
        """The resolution of the reference frame; ``None`` for an image that does not say."""
        if self._pdf is not None:
            return round(pdf.fit_dpi(self._pdf.size(number), REFERENCE_DPI, self.max_pixels))
        with self._frame(number) as frame:
            return _stated_dpi(frame)

    def image(self, number: int, dpi: int) -> PageImage:
        """The page for an engine that wants ``dpi``: an image file as it is, a PDF page rendered.

        A PDF page that is nothing but a scan of less resolution is rendered at the scan's own: more pixels would cost
        time and show nothing. Raises ``PageDamaged``, ``DamagedFile`` or ``TooManyPixels``.
        """
        if self._last is None or self._last[:2] != (number, dpi):
            self._last = None  # let go of the old picture before the new one is made
            self._last = (number, dpi, self._rendered(number, dpi) if self._pdf is not None else self._decoded(number))
        return self._last[2]

    def reference(self, number: int) -> PageImage:
        """The page in its reference frame: ``size(number)`` pixels."""
        if self._pdf is None:
            return self.image(number, REFERENCE_DPI)
        with self._pdf.page(number) as page:
            self._check_images(page)
            return PageImage(grey_if_colourless(pdf.render(page, self.size(number))), self.dpi(number))

    def survey(self, number: int) -> pdf.Survey | None:
        """What a PDF page is made of; ``None`` where the file is an image."""
        if self._pdf is None:
            return None
        with self._pdf.page(number) as page:
            return pdf.survey(page)

    @contextmanager
    def pdf_page(self, number: int) -> Iterator[Any]:
        """The loaded PDFium page, for its text layer; ``None`` where the file is an image."""
        if self._pdf is None:
            yield None
        else:
            with self._pdf.page(number) as page:
                yield page

    def _rendered(self, number: int, dpi: float) -> PageImage:
        assert self._pdf is not None
        points = self._pdf.size(number)
        with self._pdf.page(number) as page:
            found = self._check_images(page)
            if found.scan_dpi is not None:
                dpi = min(dpi, max(found.scan_dpi, pdf.MIN_DPI))
            dpi = pdf.fit_dpi(points, dpi, self.max_pixels)
            pixels = pdf.render(page, pdf.pixel_size(points, dpi))
        return PageImage(grey_if_colourless(pixels), round(dpi))

    def _check_images(self, page: Any) -> pdf.Survey:
        """Refuse a page with an image that would take all memory to decode."""
        found = pdf.survey(page)
        check_size(found.image_pixels, _IMAGE_BOMB * self.max_pixels)
        return found

    def _decoded(self, number: int) -> PageImage:
        with self._frame(number) as frame:
            return PageImage(decode(frame), _stated_dpi(frame))

    @contextmanager
    def _frame(self, number: int) -> Iterator[ImageFile.ImageFile]:
        """One frame of an image file, header only; what breaks in the block comes out as damage."""
        with open_image(self.path, self.kind, self.max_pixels) as image:
            try:
                if number > 1:
                    image.seek(number - 1)
                    check_size(image.size, self.max_pixels)
                yield image
            except CopyistError:
                raise
            except Exception as cause:
                # A broken file makes Pillow's decoders raise nearly anything, MemoryError included.
                raise (PageDamaged(number=number) if number > 1 else DamagedFile(kind=self.kind.label)) from cause


def _stated_dpi(frame: ImageFile.ImageFile) -> int | None:
    """The resolution a file states, where it is one that a scan can have."""
    try:
        dpi = round(float(frame.info["dpi"][0]))
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, ZeroDivisionError):
        return None
    return dpi if dpi in _PLAUSIBLE_DPI else None


def encode_jpeg(image: PageImage, *, quality: int = 85) -> bytes:
    """A page picture as JPEG. One with a side over 65,500 pixels, which JPEG cannot hold, comes out smaller."""
    picture = Image.fromarray(np.ascontiguousarray(image.pixels))
    picture.thumbnail((_MAX_JPEG_SIDE, _MAX_JPEG_SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def page_picture(path: Path, kind: MediaKind, number: int, *, max_pixels: int) -> bytes:
    """A JPEG of one page in its reference frame, so that boxes can be drawn on it."""
    with PageSource(path, kind, max_pixels=max_pixels) as source:
        return encode_jpeg(source.reference(number))
