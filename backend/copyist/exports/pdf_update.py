"""Text for the pages of a PDF, behind everything that stands in the file already."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from decimal import Decimal
from itertools import count
from types import TracebackType
from typing import IO, Any, Final, NamedTuple, Self

import pikepdf

from copyist.document import Page
from copyist.exports.pdf_file import PRODUCER, PdfWriter, reference, text_string
from copyist.exports.pdf_font import InvisibleFont
from copyist.exports.pdf_text import Affine, text_operators
from copyist.exports.pdf_underlay import without_invisible_text

_FONT: Final = "CopyistText"
_TAIL: Final = 2048


class _Rectangle(NamedTuple):
    """Points on a page, which count from its bottom."""

    left: float
    bottom: float
    right: float
    top: float


_LETTER: Final = _Rectangle(0, 0, 612, 792)
"""The page of a PDF that does not say how large its pages are, as PDFium has it."""
_DEEPEST: Final = 64


def can_follow(file: IO[bytes], pdf: pikepdf.Pdf) -> bool:
    """Whether an update can follow: places count from the file's first byte, and qpdf found nothing to repair."""
    file.seek(0)
    if file.read(5) != b"%PDF-" or pdf.is_encrypted or not _last_table(file):
        return False
    # qpdf gives new numbers to pages that stand directly in the tree, or in two places of it.
    ends = int(pdf.trailer["/Size"])
    pages = [page.obj.objgen for page in pdf.pages]
    return all(0 < number < ends and generation == 0 for number, generation in pages) and not pdf.get_warnings()


def _last_table(file: IO[bytes]) -> int:
    """Where the file says that its table of objects lies; 0 where it does not say."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _TAIL))
    _, found, rest = file.read().rpartition(b"startxref")
    place = rest.split(None, 1)[0] if found and rest.strip() else b""
    return int(place) if place.isdigit() and int(place) < size else 0


class PdfUpdate:
    """Texts for pages of one open PDF, and the objects that bring them in. Use it as a context manager."""

    def __init__(self, pdf: pikepdf.Pdf, file: IO[bytes]) -> None:
        self._pdf, self._file = pdf, file
        self._writer = PdfWriter(behind=file.seek(0, io.SEEK_END), first=int(pdf.trailer["/Size"]))
        self._font = InvisibleFont(self._writer)
        self._shared: set[int] = set()

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._writer.__exit__(kind, value, tb)

    def add(self, place: int, reading: Page) -> None:
        """The text of the page at ``place``, from 0. What an earlier OCR wrote there invisibly goes."""
        page = self._pdf.pages[place]
        found = _inherited(page.obj, "/Resources")
        resources = found if isinstance(found, pikepdf.Dictionary) else pikepdf.Dictionary()
        name = _free_name(resources)
        operators = text_operators(reading, _to_page(page.obj, reading), self._font, name)
        if not operators:
            return
        cleaned = without_invisible_text(page.obj, resources)
        rest = _contents(page.obj) if cleaned is None else [reference(self._writer.put_deflated(cleaned))]
        # In front of all else the graphics are as the page begins; behind, they are what its content left.
        contents = [reference(self._writer.put_deflated(operators)), *rest]
        entries = {"/Contents": b"[%b]" % b" ".join(contents), "/Resources": self._with_font(resources, name)}
        self._writer.put(_with(page.obj, entries), page.obj.objgen[0])

    def finish(self, into: IO[bytes]) -> None:
        """Write the file and what was added behind it, if there was anything."""
        added = not self._font.is_unused
        if added:
            self._font.finish()
            found = self._pdf.trailer.get("/Info")
            info = found if isinstance(found, pikepdf.Dictionary) else pikepdf.Dictionary()
            number = self._writer.put(_with(info, {"/Producer": text_string(PRODUCER)}))
        self._file.seek(0)
        shutil.copyfileobj(self._file, into)
        if added:
            table = _last_table(self._file)
            self._file.seek(table)
            as_stream = self._file.read(4) != b"xref"
            self._writer.finish(self._trailer(number), into, previous=table, as_stream=as_stream)

    def _trailer(self, info: int) -> bytes:
        mine = self._writer.fingerprint()
        known = self._pdf.trailer.get("/ID")
        first = known[0] if isinstance(known, pikepdf.Array) and len(known) == 2 else None
        identity = first.unparse() if isinstance(first, pikepdf.String) else mine
        root = self._pdf.trailer.Root.unparse()
        return b"/Root %b/Info %b/ID[%b%b]" % (root, reference(info), identity, mine)

    def _with_font(self, resources: pikepdf.Object, name: str) -> bytes:
        """The page's resources with the font among them; those that pages share are written once."""
        number, generation = resources.objgen
        shared = number > 0 and generation == 0
        if not shared or number not in self._shared:
            fonts = _fonts(resources)
            body = _with(resources, {"/Font": _with(fonts, {f"/{name}": reference(self._font.number)})})
            if not shared:
                return body
            self._shared.add(self._writer.put(body, number))
        return reference(number)


def _fonts(resources: pikepdf.Object) -> pikepdf.Object:
    fonts = resources.get("/Font")
    return fonts if isinstance(fonts, pikepdf.Dictionary) else pikepdf.Dictionary()


def _free_name(resources: pikepdf.Object) -> str:
    fonts = _fonts(resources)
    return next(name for name in (f"{_FONT}{number}" for number in count()) if f"/{name}" not in fonts)


def _with(dictionary: pikepdf.Object, entries: Mapping[str, bytes]) -> bytes:
    """A dictionary with some entries set, as it is written."""
    rest = pikepdf.Dictionary(dict(dictionary.items()))
    for key in entries:
        if key in rest:
            del rest[key]
    added = b"".join(b"%b %b" % (key.encode(), value) for key, value in entries.items())
    return b"%b%b>>" % (rest.unparse().rpartition(b">>")[0], added)


def _contents(page: pikepdf.Object) -> list[bytes]:
    found = page.get("/Contents")
    streams = list(found) if isinstance(found, pikepdf.Array) else [found]
    return [stream.unparse() for stream in streams if isinstance(stream, pikepdf.Stream)]


def _inherited(page: pikepdf.Object, key: str) -> Any:
    """An entry of a page, or of a node of the tree above it (ISO 32000-1, 7.7.3.4)."""
    node: Any = page
    for _ in range(_DEEPEST):
        if not isinstance(node, pikepdf.Dictionary):
            return None
        if (found := node.get(key)) is not None:
            return found
        node = node.get("/Parent")
    return None


def _to_page(page: pikepdf.Object, reading: Page) -> Affine:
    """The map from pixels of the reading to the page, by its visible box and its ``/Rotate``, as PDFium draws it."""
    left, bottom, right, top = _visible_box(page)
    rotate = _inherited(page, "/Rotate")
    turns = int(rotate) // 90 % 4 if isinstance(rotate, int | Decimal) else 0
    wide, high = (top - bottom, right - left) if turns % 2 else (right - left, top - bottom)
    x, y = wide / reading.width, high / reading.height
    if turns == 0:
        return Affine(x, 0, 0, -y, left, top)
    if turns == 1:
        return Affine(0, x, y, 0, left, bottom)
    if turns == 2:
        return Affine(-x, 0, 0, y, right, bottom)
    return Affine(0, -x, -y, 0, right, top)


def _visible_box(page: pikepdf.Object) -> _Rectangle:
    media = _rectangle(_inherited(page, "/MediaBox")) or _LETTER
    crop = _rectangle(_inherited(page, "/CropBox")) or media
    both = _Rectangle(*map(max, media[:2], crop[:2]), *map(min, media[2:], crop[2:]))
    return both if both.left < both.right and both.bottom < both.top else media


def _rectangle(values: Any) -> _Rectangle | None:
    """Four numbers in order; ``None`` for anything else, and for a box without area."""
    if not isinstance(values, pikepdf.Array) or len(values) != 4:
        return None
    numbers = [float(value) for value in values if isinstance(value, int | Decimal)]
    if len(numbers) != 4:
        return None
    (left, right), (bottom, top) = sorted(numbers[0::2]), sorted(numbers[1::2])
    return _Rectangle(left, bottom, right, top) if left < right and bottom < top else None
