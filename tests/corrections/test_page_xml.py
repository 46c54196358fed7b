"""PAGE XML that comes back: from us, from other tools, of other pages, and from people who mean harm."""

from __future__ import annotations

import io
from contextlib import nullcontext
from datetime import date
from pathlib import Path

import pytest

from copyist.corrections import page_xml, reword
from copyist.document import Block, Box, Line, Page
from copyist.errors import DamagedFile, FileTooLarge, LinesDoNotMatch, NoLines
from copyist.exports import pagexml
from copyist.exports.material import Material
from copyist.media import MediaKind

TEXTS = ["Men we saw", "the old house", "by the rivar"]


def page(number: int = 2, texts: list[str] = TEXTS) -> Page:
    """A page with a picture and two blocks of text, the first of two lines."""
    lines = [
        Line(text=text, box=Box(10, 30 * place, 190, 30 * place + 25), confidence=0.5)
        for place, text in enumerate(texts, start=1)
    ]
    box = Box(10, 30, 190, 120)
    blocks = (Block(box=box, lines=tuple(lines[:2])), Block(box=box, lines=tuple(lines[2:])))
    return Page(number=number, width=200, height=400, engine="e", engine_version="1", blocks=blocks)


def exported(shown: Page) -> str:
    material = Material(
        pages=lambda: [shown],
        numbers=[shown.number],
        filename="scan.pdf",
        uploaded=date(2025, 12, 1),
        kind=MediaKind.PDF,
        original=lambda: nullcontext(Path()),
    )
    into = io.BytesIO()
    pagexml.write(material, into)
    return into.getvalue().decode()


FOREIGN = """<?xml version="1.0"?>
<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/{schema}">
 <Page imageFilename="scan.pdf_page_2.png" imageWidth="400" imageHeight="800"><TextRegion id="r">
  <Coords points="0,0 400,0 400,800 0,800"/>
  <TextLine id="eSc_line_1"><Coords points="22,64 380,62 380,110 20,112"/>
   <TextEquiv index="1"><Unicode>no</Unicode></TextEquiv>
   <TextEquiv index="0"><Unicode>Then we saw</Unicode></TextEquiv></TextLine>
  <TextLine id="eSc_line_2"><Coords points="20,120 380,120 380,170 20,170"/>
   <Word id="w1"><TextEquiv><Unicode>the</Unicode></TextEquiv></Word>
   <Word id="w2"><TextEquiv><Unicode>house</Unicode></TextEquiv></Word></TextLine>
  <TextLine id="eSc_line_3"><Coords points="20,700 380,700 380,750 20,750"/>
   <TextEquiv><Unicode>drawn where none was read</Unicode></TextEquiv></TextLine>
 </TextRegion></Page></PcGts>"""


def test_what_was_exported_comes_back_line_by_line() -> None:
    shown = page()
    file = page_xml.read(exported(shown).replace("rivar", "river").encode())
    assert (file.number, file.number_of_picture) == (2, 2)
    matched = page_xml.match(file, shown)
    assert matched.pairs == ((0, "Men we saw"), (1, "the old house"), (2, "by the river"))
    assert (matched.unmatched, matched.unmatched_text) == ((), ())


@pytest.mark.parametrize("schema", ["2013-07-15", "2017-07-15", "2019-07-15"])
def test_lines_of_other_tools_are_told_by_their_boxes_whatever_the_scale(schema: str) -> None:
    file = page_xml.read(FOREIGN.format(schema=schema).encode())
    assert (file.number, file.number_of_picture) == (None, 2)
    matched = page_xml.match(file, page())
    assert matched.pairs == ((0, "Then we saw"), (1, "the house"))
    assert (matched.unmatched, matched.unmatched_text) == ((2,), ("drawn where none was read",))


def test_an_id_that_lies_elsewhere_is_somebody_elses() -> None:
    swapped = exported(page()).replace("line_2_1_1", "x").replace("line_2_1_2", "line_2_1_1").replace('"x"', '"y"')
    assert page_xml.match(page_xml.read(swapped.encode()), page()).pairs[:2] == (
        (0, "Men we saw"),
        (1, "the old house"),
    )


def test_where_a_line_was_emptied_since_the_others_are_not_taken_for_their_neighbours() -> None:
    texts = [*TEXTS, "in the evening"]
    lines = [Line(text=text, box=Box(10, 20 * place, 190, 20 * place + 31)) for place, text in enumerate(texts)]
    block = Block(box=Box(10, 0, 190, 100), lines=tuple(lines))
    before = page().model_copy(update={"blocks": (block,)})
    matched = page_xml.match(page_xml.read(exported(before).encode()), reword.shown(before, {0: ""}))
    assert matched.pairs == tuple(enumerate(texts[1:]))
    assert matched.unmatched_text == (texts[0],)


def test_a_file_of_another_page_or_picture_is_refused() -> None:
    other = page().model_copy(update={"width": 300, "height": 300})
    moved = [Box(10, 30 * place + 200, 190, 30 * place + 225) for place in range(3)]
    lines = tuple(Line(text=text, box=box) for text, box in zip(TEXTS, moved, strict=True))
    elsewhere = page().model_copy(update={"blocks": (Block(box=Box(0, 0, 9, 9), lines=lines),)})
    for wrong in (other, elsewhere):
        with pytest.raises(LinesDoNotMatch):
            page_xml.match(page_xml.read(exported(wrong).encode()), page())
    with pytest.raises(NoLines):
        page_xml.match(page_xml.read(exported(page()).encode()), page(texts=[]))


LAUGHS = "".join(f'<!ENTITY l{place} "{f"&l{place - 1};" * 10}">' for place in range(1, 12))
NAMESPACE = 'xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"'


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not XML",
        "<PcGts/>",
        "<html><Page/></html>",
        f"<PcGts {NAMESPACE}></PcGts>",
        f"<PcGts {NAMESPACE}><Page imageWidth='9'/></PcGts>",
        f"<PcGts {NAMESPACE}><Page imageWidth='1e9' imageHeight='9'/></PcGts>",
        f"<PcGts {NAMESPACE}><Page imageWidth='{'9' * 5000}' imageHeight='9'/></PcGts>",
        FOREIGN.format(schema="2019-07-15").replace("22,64", "nan,64"),
        FOREIGN.format(schema="2019-07-15").replace("22,64", "1e300,64"),
        FOREIGN.format(schema="2019-07-15").replace("22,64", "22"),
        FOREIGN.format(schema="2019-07-15").replace('index="1"', 'index="first"'),
        FOREIGN.format(schema="2019-07-15")[:-30],
        f"<!DOCTYPE PcGts [<!ENTITY l0 'ha'>{LAUGHS}]>"
        + FOREIGN.format(schema="2019-07-15").partition("\n")[2].replace("no", "&l11;"),
        "<!DOCTYPE PcGts SYSTEM 'file:///etc/passwd'>" + FOREIGN.format(schema="2019-07-15").partition("\n")[2],
    ],
)
def test_what_is_no_page_xml_or_brings_entities_is_damaged(content: str) -> None:
    with pytest.raises(DamagedFile):
        page_xml.read(content.encode())


def test_what_is_too_much_for_a_page_is_not_parsed() -> None:
    with pytest.raises(FileTooLarge):
        page_xml.read(b"<PcGts>" + b"<a/>" * 1_300_000 + b"</PcGts>")
    line = '<TextLine><Coords points="1,1 2,2"/><TextEquiv><Unicode>x</Unicode></TextEquiv></TextLine>'
    with pytest.raises(DamagedFile):
        page_xml.read(f'<PcGts {NAMESPACE}><Page imageWidth="9" imageHeight="9">{line * 2001}</Page></PcGts>'.encode())
