"""PAGE XML (PRImA, 2019-07-15), which Transkribus, eScriptorium and OCR-D exchange.

By the standard a file holds one page. So ``page.xml`` is for a result of one page, and for any page of a longer one
(``?pages=3``); of several pages it is refused with a sentence that names ``zip``, where each page has its file. The
names of pictures in it are those that eScriptorium gives the pages of a PDF (``scan.pdf_page_3.png``), so that its
import finds them.

What readers see decides the rest: they look for lines in text regions that lie directly on the page. A table, formula
or picture is a region of its kind, and its text a region after it, of the same box. The baseline is the lower edge of
the line, for no engine here tells it, and eScriptorium cannot use a line without. Text that has no lines (a formula's
LaTeX, a table's rows) is the text of its region. On a turned page the boxes are in the page as uploaded;
``orientation`` tells how to turn it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import IO

from lxml import etree

from copyist import __version__
from copyist.document import Block, BlockKind, Box, Line, Page
from copyist.errors import NoPages, OnePageOnly
from copyist.exports import xml
from copyist.exports.material import Material
from copyist.exports.text import block_text
from copyist.media import MediaKind

_PAGE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_NAMES = {None: _PAGE, "xsi": _INSTANCE}
_SCHEMA = f"{_PAGE} {_PAGE}/pagecontent.xsd"
_REGIONS = {BlockKind.TABLE: "TableRegion", BlockKind.FORMULA: "MathsRegion", BlockKind.PICTURE: "ImageRegion"}
_TYPES = {
    BlockKind.TEXT: "paragraph",
    BlockKind.LIST: "paragraph",
    BlockKind.TITLE: "heading",
    BlockKind.CAPTION: "caption",
    BlockKind.HEADER: "header",
    BlockKind.FOOTER: "footer",
    BlockKind.FOOTNOTE: "footnote",
}


def write(material: Material, into: IO[bytes]) -> None:
    """The document's only page as PAGE XML in UTF-8; raises ``OnePageOnly`` if there are more, ``NoPages`` for none."""
    if len(material.numbers) > 1:
        raise OnePageOnly(format="PAGE XML", pages=len(material.numbers))
    page = next(iter(material.pages()), None)
    if page is None:
        raise NoPages
    write_page(material, page, into)


def write_page(material: Material, page: Page, into: IO[bytes]) -> None:
    """One page of ``material`` as a file of its own."""
    root = etree.Element(_tag("PcGts"), {f"{{{_INSTANCE}}}schemaLocation": _SCHEMA}, nsmap=_NAMES)
    _metadata(root, page)
    shown = etree.SubElement(root, _tag("Page"), _facts(page, _picture_name(material, page)))
    regions = [region for place, block in enumerate(page.blocks, start=1) for region in _regions(page, block, place)]
    if regions:
        group = etree.SubElement(etree.SubElement(shown, _tag("ReadingOrder")), _tag("OrderedGroup"), id="order")
        for index, region in enumerate(regions):
            etree.SubElement(group, _tag("RegionRefIndexed"), index=str(index), regionRef=region.get("id", ""))
    shown.extend(regions)
    etree.ElementTree(root).write(into, encoding="UTF-8", xml_declaration=True)


def _tag(name: str) -> str:
    return f"{{{_PAGE}}}{name}"


def _picture_name(material: Material, page: Page) -> str:
    if material.kind is MediaKind.PDF or list(material.numbers) != [1]:
        return f"{material.name}_page_{page.number}.png"
    return material.name


def _metadata(root: etree._Element, page: Page) -> None:
    metadata = etree.SubElement(root, _tag("Metadata"))
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for name, text in {"Creator": f"Copyist {__version__}", "Created": now, "LastChange": now}.items():
        etree.SubElement(metadata, _tag(name)).text = text
    reader = xml.clean(f"{page.engine} {page.engine_version}".strip())
    etree.SubElement(metadata, _tag("MetadataItem"), type="processingStep", name=page.source.value, value=reader)


def _facts(page: Page, picture: str) -> dict[str, str]:
    facts = {"imageFilename": picture, "imageWidth": str(page.width), "imageHeight": str(page.height)}
    if page.dpi:
        facts |= {name: str(page.dpi) for name in ("imageXResolution", "imageYResolution")}
        facts["imageResolutionUnit"] = "PPI"
    if turned := xml.angle(page):
        facts["orientation"] = f"{turned:g}"
    if page.confidence is not None:
        facts["conf"] = xml.share(page.confidence)
    return facts


def _regions(page: Page, block: Block, place: int) -> list[etree._Element]:
    found = []
    if block.kind in _REGIONS:
        found.append(_region(_REGIONS[block.kind], page, block, {"id": f"{block.kind}_{page.number}_{place}"}))
    if block.lines or block.markup:
        name = f"block_{page.number}_{place}"
        region = _region("TextRegion", page, block, {"id": name, "type": _TYPES.get(block.kind, "other")})
        for number, line in enumerate(block.lines, start=1):
            _line(region, page, line, f"{page.number}_{place}_{number}")
        if not block.text.strip() and block.markup:
            _text(region, block_text(block), None)
        found.append(region)
    elif block.kind not in _REGIONS:
        found.append(_region("TextRegion", page, block, {"id": f"block_{page.number}_{place}"}))
    return found


def _region(tag: str, page: Page, block: Block, attributes: dict[str, str]) -> etree._Element:
    region = etree.Element(_tag(tag), attributes, nsmap=_NAMES)
    _coords(region, page, block.box)
    return region


def _line(region: etree._Element, page: Page, line: Line, place: str) -> None:
    shown = etree.SubElement(region, _tag("TextLine"), id=f"line_{place}")
    _coords(shown, page, line.box)
    etree.SubElement(shown, _tag("Baseline"), points=_baseline(page, line.box))
    pieces = xml.pieces_of(line) if line.words and line.text.strip() else []
    for number, (word, _) in enumerate(pieces, start=1):
        inside = etree.SubElement(shown, _tag("Word"), id=f"word_{place}_{number}")
        _coords(inside, page, word.box)
        _text(inside, word.text.strip(), word.confidence)
    if line.text.strip():
        _text(shown, xml.clean(line.text), line.confidence)


def _text(above: etree._Element, text: str, confidence: float | None) -> None:
    sure = {} if confidence is None else {"conf": xml.share(confidence)}
    written = etree.SubElement(above, _tag("TextEquiv"), sure)
    etree.SubElement(written, _tag("Unicode")).text = xml.clean_lines(text)


def _coords(above: etree._Element, page: Page, box: Box) -> None:
    left, top, right, bottom = xml.on_page(page, box)
    points = f"{left},{top} {right},{top} {right},{bottom} {left},{bottom}"
    etree.SubElement(above, _tag("Coords"), points=points)


def _baseline(page: Page, box: Box) -> str:
    """The edge on which the letters stand, from the first to the last of them."""
    left, top, right, bottom = xml.on_page(page, box)
    edges = {
        0: f"{left},{bottom} {right},{bottom}",
        90: f"{right},{bottom} {right},{top}",
        180: f"{right},{top} {left},{top}",
        270: f"{left},{top} {left},{bottom}",
    }
    return edges.get(page.turned, edges[0])
