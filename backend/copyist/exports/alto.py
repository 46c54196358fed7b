"""ALTO 4, the format of libraries and newspaper archives: one file for all pages, in pixels.

A line without words is one ``String`` with its whole text (``exports.xml.pieces_of``): no box is made up. Tables and
formulas are text blocks, since ALTO has nothing else that holds text; ``TAGREFS`` names what each block is. A picture
is an ``Illustration``, and what is written in it a text block after it. ``ROTATION`` is set on turned pages, whose
boxes are in the page as uploaded.
"""

from __future__ import annotations

from typing import IO

from lxml import etree

from copyist import __version__
from copyist.document import Block, BlockKind, Box, Line, Page, Source
from copyist.errors import NoPages
from copyist.exports import xml
from copyist.exports.material import Material

_ALTO = "http://www.loc.gov/standards/alto/ns-v4#"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_NAMES = {None: _ALTO, "xsi": _INSTANCE}
_SCHEMA = f"{_ALTO} http://www.loc.gov/standards/alto/v4/alto.xsd"

_Reader = tuple[str, str, Source]


def write(material: Material, into: IO[bytes]) -> None:
    """The document as ALTO in UTF-8; a page that could not be read is not in it, which ``PHYSICAL_IMG_NR`` shows.

    Walks the pages twice: who read them stands before them. Raises ``NoPages``: an ALTO file without any is none.
    """
    readers = {reader: f"reader_{place}" for place, reader in enumerate(_readers(material), start=1)}
    if not readers:
        raise NoPages
    with etree.xmlfile(into, encoding="utf-8") as file:
        file.write_declaration()
        with file.element(_tag("alto"), {f"{{{_INSTANCE}}}schemaLocation": _SCHEMA}, nsmap=_NAMES):
            file.write("\n", _description(material.name, readers), "\n", _tags(), "\n")
            with file.element(_tag("Layout")):
                for page in material.pages():
                    file.write("\n", _page(page, readers.get(_reader(page))))


def _tag(name: str) -> str:
    return f"{{{_ALTO}}}{name}"


def _reader(page: Page) -> _Reader:
    return page.engine, page.engine_version, page.source


def _readers(material: Material) -> list[_Reader]:
    return list(dict.fromkeys(map(_reader, material.pages())))


def _description(filename: str, readers: dict[_Reader, str]) -> etree._Element:
    description = etree.Element(_tag("Description"), nsmap=_NAMES)
    etree.SubElement(description, _tag("MeasurementUnit")).text = "pixel"
    image = etree.SubElement(description, _tag("sourceImageInformation"))
    etree.SubElement(image, _tag("fileName")).text = filename
    for (engine, version, source), name in readers.items():
        step = etree.SubElement(description, _tag("Processing"), ID=name)
        etree.SubElement(step, _tag("processingCategory")).text = "contentGeneration"
        how = "text recognition" if source is Source.OCR else "text layer of the PDF"
        etree.SubElement(step, _tag("processingStepDescription")).text = how
        software = etree.SubElement(step, _tag("processingSoftware"))
        etree.SubElement(software, _tag("softwareName")).text = xml.clean(engine)
        etree.SubElement(software, _tag("softwareVersion")).text = xml.clean(version)
        etree.SubElement(software, _tag("applicationDescription")).text = f"run by Copyist {__version__}"
    return description


def _tags() -> etree._Element:
    tags = etree.Element(_tag("Tags"), nsmap=_NAMES)
    for kind in BlockKind:
        etree.SubElement(tags, _tag("LayoutTag"), ID=f"kind_{kind}", LABEL=kind.value)
    return tags


def _page(page: Page, reader: str | None) -> etree._Element:
    size = {"WIDTH": str(page.width), "HEIGHT": str(page.height)}
    sure = {} if page.confidence is None else {"PC": xml.share(page.confidence)}
    # A page that was retried between the two walks may have a reader that was not named.
    read_by = {} if reader is None else {"PROCESSING": reader}
    names = {"ID": f"page_{page.number}", "PHYSICAL_IMG_NR": str(page.number)}
    shown = etree.Element(_tag("Page"), {**names, **size, **sure, **read_by}, nsmap=_NAMES)
    space = etree.SubElement(shown, _tag("PrintSpace"), {"HPOS": "0", "VPOS": "0", **size})
    for place, block in enumerate(page.blocks, start=1):
        _block(space, page, block, f"{page.number}_{place}")
    return shown


def _block(space: etree._Element, page: Page, block: Block, place: str) -> None:
    turned = {"ROTATION": f"{xml.angle(page):g}"} if xml.angle(page) else {}
    where = {**_place(page, block.box), "TAGREFS": f"kind_{block.kind}", **turned}
    lines = xml.lines_of(block)
    if block.kind is BlockKind.PICTURE:
        etree.SubElement(space, _tag("Illustration"), {"ID": f"picture_{place}", **where})
    elif block.kind is BlockKind.TABLE and not lines:
        # A grid that nobody read anything in.
        etree.SubElement(space, _tag("GraphicalElement"), {"ID": f"block_{place}", **where})
    if lines:
        shown = etree.SubElement(space, _tag("TextBlock"), {"ID": f"block_{place}", **where})
        for number, line in enumerate(lines, start=1):
            _line(shown, page, line, f"{place}_{number}")


def _line(above: etree._Element, page: Page, line: Line, place: str) -> None:
    shown = etree.SubElement(above, _tag("TextLine"), {"ID": f"line_{place}", **_place(page, line.box)})
    for number, (word, spaced) in enumerate(xml.pieces_of(line), start=1):
        what = {"ID": f"word_{place}_{number}", "CONTENT": xml.clean(word.text.strip())}
        sure = {} if word.confidence is None else {"WC": xml.share(word.confidence)}
        etree.SubElement(shown, _tag("String"), {**what, **_place(page, word.box), **sure})
        if spaced:
            etree.SubElement(shown, _tag("SP"))


def _place(page: Page, box: Box) -> dict[str, str]:
    left, top, right, bottom = xml.on_page(page, box)
    return {"HPOS": str(left), "VPOS": str(top), "WIDTH": str(right - left), "HEIGHT": str(bottom - top)}
