"""A page that was corrected in a tool that writes PAGE XML (Transkribus, eScriptorium, OCR-D), 2013 to 2019.

Lines are told by the ids that ``exports.pagexml`` gives them, as long as they lie where they did, else by their boxes:
other tools give ids of their own. The file is foreign: no entity is resolved, nothing is fetched, no DTD is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lxml import etree

from copyist.document import Box, Page
from copyist.errors import DamagedFile, FileTooLarge, LinesDoNotMatch, NoLines

NAMESPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/"
KIND = "PAGE XML"
SAME_LINE = 0.5
"""Intersection over union of two boxes of one line."""
SAME_ID = 0.2
"""The same for a line that has its id: somebody may have drawn its box anew."""
LEAST = 0.6
"""The share of the file's lines that must be lines of the page, or the file is of another one."""
SAME_SHAPE = 0.02
"""By so much the proportions of the picture may differ, which another tool may have scaled."""
MAX_BYTES = 5_000_000
MOST_LINES = 2_000
LARGEST = 1_000_000
"""No picture has more pixels on a side, and no point lies further off."""
_OURS = re.compile(r"line_(\d{1,9})_(\d{1,9})_(\d{1,9})", re.ASCII)
_PICTURE = re.compile(r"_page_(\d{1,9})\.[a-z]+", re.ASCII)


@dataclass(frozen=True)
class TextLine:
    """A line of the file: its ``id``, its ``box`` in the picture that the file names, and its text."""

    id: str
    box: Box
    text: str


@dataclass(frozen=True)
class PageFile:
    """What a file says of the one page that it is of."""

    picture: str
    width: int
    height: int
    lines: tuple[TextLine, ...]

    @property
    def number(self) -> int | None:
        """Which page of its document it is by its lines' ids, where they are ours; 1 is the first."""
        told = {int(found[1]) for line in self.lines if (found := _OURS.fullmatch(line.id))}
        return told.pop() if len(told) == 1 else None

    @property
    def number_of_picture(self) -> int | None:
        """Which page it is by the name of its picture, which other tools take from us, and may give, too."""
        found = _PICTURE.search(self.picture)
        return int(found[1]) if found else None


def read(data: bytes) -> PageFile:
    """The page in a PAGE XML file.

    Raises ``DamagedFile`` for anything else, and for one with a DTD in it, and ``FileTooLarge``.
    """
    if len(data) > MAX_BYTES:
        raise FileTooLarge(limit_mb=round(MAX_BYTES / 1e6, 1))
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise DamagedFile(kind=KIND) from error
    name = etree.QName(root)
    page = root.find(f"{{{name.namespace}}}Page")
    if root.getroottree().docinfo.internalDTD is not None or page is None:
        raise DamagedFile(kind=KIND)
    if name.localname != "PcGts" or not (name.namespace or "").startswith(NAMESPACE):
        raise DamagedFile(kind=KIND)
    return _page(page, f"{{{name.namespace}}}")


def _page(page: etree._Element, space: str) -> PageFile:
    try:
        lines = tuple(_lines(page, space))
        width, height = int(page.get("imageWidth", "")), int(page.get("imageHeight", ""))
    except (ValueError, OverflowError) as error:
        raise DamagedFile(kind=KIND) from error
    if not (1 <= width <= LARGEST and 1 <= height <= LARGEST) or len(lines) > MOST_LINES:
        raise DamagedFile(kind=KIND)
    return PageFile(page.get("imageFilename", ""), width, height, lines)


def _lines(page: etree._Element, space: str) -> Iterator[TextLine]:
    for line in page.iter(f"{space}TextLine"):
        text = _text(line, space)
        coords = line.find(f"{space}Coords")
        if text.strip() and coords is not None and coords.get("points", "").strip():
            yield TextLine(line.get("id", ""), _box(coords.get("points", "")), text)


def _text(element: etree._Element, space: str) -> str:
    """The first text of a line (by its ``index``, where there are several readings), else its words."""
    texts = [
        (int(equivalent.get("index", "0")), place, equivalent.findtext(f"{space}Unicode") or "")
        for place, equivalent in enumerate(element.findall(f"{space}TextEquiv"))
    ]
    if texts:
        return min(texts)[2]
    return " ".join(filter(None, (_text(word, space) for word in element.findall(f"{space}Word"))))


def _box(points: str) -> Box:
    places = [tuple(float(number) for number in point.split(",")) for point in points.split()]
    xs, ys = zip(*places, strict=True)
    if not all(abs(number) <= LARGEST for number in (*xs, *ys)):
        raise ValueError("a point off every picture")
    return Box(int(min(xs)), int(min(ys)), int(max(xs)), int(max(ys)))


@dataclass(frozen=True)
class Matched:
    """Lines that found each other, as (line of the reading from 0, its text in the file), and what is left."""

    pairs: tuple[tuple[int, str], ...]
    unmatched: tuple[int, ...]
    unmatched_text: tuple[str, ...]


def match(file: PageFile, page: Page) -> Matched:
    """Find the lines of ``page`` that the file's are.

    Raises ``NoLines`` for a page without any, and ``LinesDoNotMatch`` for a file of another page.
    """
    boxes = [line.box for line in page.lines()]
    if not boxes:
        raise NoLines
    placed: dict[int, int] = {}
    if _has_shape_of(file, page):
        placed = _by_id(file, page, boxes, {}, least=SAME_LINE)
        placed |= _by_box(file, page, boxes, placed)
        # Last, as ids count the lines: where one was emptied since the export, those below have their neighbour's.
        placed |= _by_id(file, page, boxes, placed, least=SAME_ID)
    if len(placed) < max(1, LEAST * len(file.lines)):
        problem = f"The file is not of page {page.number}, or of another picture of it: its lines lie elsewhere."
        raise LinesDoNotMatch(sent=len(file.lines), read=len(boxes), problem=problem)
    taken = set(placed.values())
    return Matched(
        tuple(sorted((place, file.lines[other].text) for other, place in placed.items())),
        tuple(place for place in range(len(boxes)) if place not in taken),
        tuple(line.text for other, line in enumerate(file.lines) if other not in placed),
    )


def _has_shape_of(file: PageFile, page: Page) -> bool:
    return abs(file.width * page.height / (file.height * page.width) - 1) <= SAME_SHAPE


def _by_id(
    file: PageFile, page: Page, boxes: Sequence[Box], placed: Mapping[int, int], *, least: float
) -> dict[int, int]:
    """Place in the file to place on the page, of lines that have the ids they were exported with, and lie there."""
    ids, taken = _ids(page), set(placed.values())
    found: dict[int, int] = {}
    for other, (line, box) in enumerate(zip(file.lines, _scaled(file, page), strict=True)):
        place = ids.pop(line.id, None)
        if place is None or other in placed or place in taken:
            continue
        if _overlap(box, boxes[place]) >= least:
            found[other] = place
    return found


def _ids(page: Page) -> dict[str, int]:
    """The ids that ``exports.pagexml`` gives the lines of a page."""
    places = [
        f"line_{page.number}_{block}_{line}"
        for block, one in enumerate(page.blocks, start=1)
        for line in range(1, len(one.lines) + 1)
    ]
    return {name: place for place, name in enumerate(places)}


def _by_box(file: PageFile, page: Page, boxes: Sequence[Box], placed: Mapping[int, int]) -> dict[int, int]:
    """The same of lines that lie where one was read, the best pairs first."""
    free = set(range(len(boxes))) - set(placed.values())
    overlaps = sorted(
        (
            (overlap, other, place)
            for other, box in enumerate(_scaled(file, page))
            if other not in placed
            for place in free
            if (overlap := _overlap(box, boxes[place])) >= SAME_LINE
        ),
        key=lambda one: (-one[0], one[1], one[2]),
    )
    found: dict[int, int] = {}
    for _, other, place in overlaps:
        if place in free and other not in found:
            free.discard(place)
            found[other] = place
    return found


def _scaled(file: PageFile, page: Page) -> list[Box]:
    """The boxes of the file's lines in pixels of the page."""
    across, down = page.width / file.width, page.height / file.height
    boxes = (line.box for line in file.lines)
    return [
        Box(round(box.left * across), round(box.top * down), round(box.right * across), round(box.bottom * down))
        for box in boxes
    ]


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union, 0 to 1."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (one.width * one.height + other.width * other.height - common)
