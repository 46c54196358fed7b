"""hOCR 1.2: XHTML that says in ``title`` attributes where on the page each area, line and word stands.

Read by OCRmyPDF, hocr-tools and many viewers, most of which look for words only; so each line has at least one
(``exports.xml.pieces_of``). Text on a turned page stands in boxes of the page as uploaded, and ``textangle`` tells how.
"""

from __future__ import annotations

from typing import IO

from lxml import etree

from copyist import __version__
from copyist.document import Block, BlockKind, Box, Line, Page
from copyist.exports import xml
from copyist.exports.material import Material

_XHTML = "http://www.w3.org/1999/xhtml"
_NAMES = {None: _XHTML}
_AREAS = {BlockKind.TABLE: "ocr_table"}
_LINES = {
    BlockKind.HEADER: "ocr_header",
    BlockKind.FOOTER: "ocr_footer",
    BlockKind.CAPTION: "ocr_caption",
}
_HEAD = {
    "ocr-system": f"Copyist {__version__}",
    "ocr-capabilities": "ocr_page ocr_carea ocr_table ocr_photo ocr_par ocr_line ocr_header ocr_footer ocr_caption"
    " ocrx_word ocrp_wconf",
}


def write(material: Material, into: IO[bytes]) -> None:
    """The document as hOCR in UTF-8; a page that could not be read is not in it, which its ``ppageno`` shows."""
    with etree.xmlfile(into, encoding="utf-8") as file:
        file.write_declaration()
        file.write_doctype("<!DOCTYPE html>")
        with file.element(_tag("html"), nsmap=_NAMES):
            file.write(_head(material))
            with file.element(_tag("body")):
                for page in material.pages():
                    file.write("\n", _page(page, material.name))


def _tag(name: str) -> str:
    return f"{{{_XHTML}}}{name}"


def _head(material: Material) -> etree._Element:
    head = etree.Element(_tag("head"), nsmap=_NAMES)
    etree.SubElement(head, _tag("title")).text = material.name
    etree.SubElement(head, _tag("meta"), {"http-equiv": "Content-Type", "content": "text/html; charset=utf-8"})
    for name, content in _HEAD.items():
        etree.SubElement(head, _tag("meta"), name=name, content=content)
    return head


def _page(page: Page, filename: str) -> etree._Element:
    places = [f'image "{filename}"', f"bbox 0 0 {page.width} {page.height}", f"ppageno {page.number - 1}"]
    if page.dpi:
        places.append(f"scan_res {page.dpi} {page.dpi}")
    shown = etree.Element(
        _tag("div"), {"class": "ocr_page", "id": f"page_{page.number}", "title": "; ".join(places)}, nsmap=_NAMES
    )
    # As HTML, an element without anything in it would never end.
    shown.text = "\n"
    for place, block in enumerate(page.blocks, start=1):
        _block(shown, page, block, f"{page.number}_{place}")
    return shown


def _block(above: etree._Element, page: Page, block: Block, place: str) -> None:
    lines = xml.lines_of(block)
    if block.kind is BlockKind.PICTURE:
        _element(above, "div", "ocr_photo", f"picture_{place}", _bbox(page, block.box)).text = ""
    if not lines:
        return
    area = _element(above, "div", _AREAS.get(block.kind, "ocr_carea"), f"block_{place}", _bbox(page, block.box))
    paragraph = _element(area, "p", "ocr_par", f"par_{place}", _bbox(page, block.box))
    for number, line in enumerate(lines, start=1):
        _line(paragraph, page, line, kind=_LINES.get(block.kind, "ocr_line"), place=f"{place}_{number}")


def _line(above: etree._Element, page: Page, line: Line, *, kind: str, place: str) -> None:
    turned = xml.angle(page)
    title = _bbox(page, line.box) + (f"; textangle {turned:g}" if turned else "")
    shown = _element(above, "span", kind, f"line_{place}", title)
    shown.tail = "\n"
    for number, (word, spaced) in enumerate(xml.pieces_of(line), start=1):
        title = _bbox(page, word.box)
        if word.confidence is not None:
            title += f"; x_wconf {round(100 * word.confidence)}"
        inside = _element(shown, "span", "ocrx_word", f"word_{place}_{number}", title)
        inside.text, inside.tail = xml.clean(word.text.strip()), " " if spaced else None


def _element(above: etree._Element, tag: str, kind: str, name: str, title: str) -> etree._Element:
    return etree.SubElement(above, _tag(tag), {"class": kind, "id": name, "title": title})


def _bbox(page: Page, box: Box) -> str:
    return "bbox " + " ".join(map(str, xml.on_page(page, box)))
