"""hOCR, ALTO and PAGE XML: valid whatever was read, and the same words at the same places in all three."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from lxml import etree, html

from copyist.document import Block, BlockKind, Box, Document, Line, Page, Word
from copyist.errors import NoPages, OnePageOnly
from copyist.media import MediaKind
from tests.exports.conftest import block, exported, page
from tests.exports.reading import documents, valid

XHTML = {"h": "http://www.w3.org/1999/xhtml"}
ALTO = {"a": "http://www.loc.gov/standards/alto/ns-v4#"}
PAGE = {"p": "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"}
# hOCR 1.2: the classes that we use, and where the specification lets them stand.
PARENTS = {
    "ocr_page": {"body"},
    "ocr_carea": {"ocr_page"},
    "ocr_table": {"ocr_page"},
    "ocr_photo": {"ocr_page"},
    "ocr_par": {"ocr_carea", "ocr_table"},
    **{kind: {"ocr_par"} for kind in ("ocr_line", "ocr_header", "ocr_footer", "ocr_caption")},
    "ocrx_word": {"ocr_line", "ocr_header", "ocr_footer", "ocr_caption"},
}


def hocr(document: Document, **facts: object) -> etree._Element:
    """The root of a document as hOCR that keeps the rules of the specification, which has no schema."""
    root = etree.fromstring(exported(document, "hocr", **facts))
    metas = {meta.get("name"): meta.get("content") for meta in root.iterfind(".//h:meta", XHTML)}
    assert metas["ocr-system"].startswith("Copyist ")
    names = [element.get("id") for element in root.iterfind(".//*[@id]")]
    assert len(set(names)) == len(names)
    for element in root.iterfind(".//*[@class]"):
        kind, above = element.get("class"), element.getparent()
        assert kind in metas["ocr-capabilities"].split()
        assert above.get("class", etree.QName(above).localname) in PARENTS[kind]
        facts_of = properties(element)
        left, top, right, bottom = map(int, facts_of["bbox"].split())
        assert 0 <= left < right
        assert 0 <= top < bottom
        assert 0 <= int(facts_of.get("x_wconf", "0")) <= 100
    return root


def properties(element: etree._Element) -> dict[str, str]:
    """The properties in a ``title``, as the specification's grammar parts them."""
    parts = re.findall(r'(?:^|; )(\w+) ((?:"[^"]*"|[^";])*)', element.get("title", ""))
    assert "; ".join(f"{name} {value}" for name, value in parts) == element.get("title")
    return dict(parts)


@settings(max_examples=60, deadline=None)
@given(documents())
def test_whatever_was_read_is_a_valid_file(document: Document) -> None:
    hocr(document)
    valid(exported(document, "alto.xml"), "alto-4-3.xsd")
    for one in document.pages:
        valid(exported(Document(pages=(one,)), "page.xml"), "pagecontent.xsd")


@settings(max_examples=30, deadline=None)
@given(documents(max_pages=1))
def test_all_three_say_the_same_words(document: Document) -> None:
    said = [word.text for word in hocr(document).iterfind(".//*[@class='ocrx_word']")]
    alto = valid(exported(document, "alto.xml"), "alto-4-3.xsd")
    assert [word.get("CONTENT") for word in alto.iterfind(".//a:String", ALTO)] == [text or "" for text in said]
    # A browser or a reader of HTML sees the same as a reader of XML.
    loose = html.fromstring(exported(document, "hocr"))
    assert [word.text for word in loose.iterfind(".//*[@class='ocrx_word']")] == said


NOTE = Document(
    pages=(
        Page(
            number=3,
            width=1000,
            height=2000,
            dpi=300,
            engine="fake",
            engine_version="1.2",
            blocks=(
                block("Title", BlockKind.TITLE),
                Block(
                    box=Box(10, 20, 300, 60),
                    lines=(
                        Line(
                            text="Dear Ms Finch,",
                            box=Box(10, 20, 300, 60),
                            confidence=0.75,
                            words=(
                                Word(text="Dear", box=Box(10, 20, 90, 60), confidence=0.987),
                                Word(text="Ms", box=Box(100, 20, 150, 60)),
                                Word(text="Finch", box=Box(160, 20, 290, 60), confidence=0),
                                Word(text=",", box=Box(290, 20, 300, 60), confidence=1),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    )
)


def test_hocr_says_where_each_word_stands_and_how_sure_it_is() -> None:
    root = hocr(NOTE, filename='a "b".pdf')
    (sheet,) = root.iterfind(".//*[@class='ocr_page']")
    assert properties(sheet) == {
        "image": '"a _b_.pdf"',
        "bbox": "0 0 1000 2000",
        "ppageno": "2",
        "scan_res": "300 300",
    }
    words = list(root.iterfind(".//*[@class='ocrx_word']"))[1:]
    assert [properties(word) for word in words] == [
        {"bbox": "10 20 90 60", "x_wconf": "99"},
        {"bbox": "100 20 150 60"},
        {"bbox": "160 20 290 60", "x_wconf": "0"},
        {"bbox": "290 20 300 60", "x_wconf": "100"},
    ]
    assert "".join(words[0].getparent().itertext()) == "Dear Ms Finch,"


def test_alto_parts_words_by_spaces_and_names_the_engine() -> None:
    root = valid(exported(NOTE, "alto.xml"), "alto-4-3.xsd")
    assert root.findtext(".//a:softwareName", namespaces=ALTO) == "fake"
    assert root.findtext(".//a:fileName", namespaces=ALTO) == "note.png"
    line = root.find(".//a:TextLine[@ID='line_3_2_1']", ALTO)
    assert [(etree.QName(part).localname, part.get("CONTENT"), part.get("WC")) for part in line] == [
        ("String", "Dear", "0.987"),
        ("SP", None, None),
        ("String", "Ms", None),
        ("SP", None, None),
        ("String", "Finch", "0"),
        ("String", ",", "1"),
    ]
    assert root.find(".//a:Page", ALTO).get("PHYSICAL_IMG_NR") == "3"
    kinds = [part.get("TAGREFS") for part in root.iterfind(".//a:TextBlock", ALTO)]
    assert kinds == ["kind_title", "kind_text"]


def test_page_xml_has_lines_words_and_the_order_of_regions() -> None:
    root = valid(exported(NOTE, "page.xml", filename="scan.pdf", kind=MediaKind.PDF), "pagecontent.xsd")
    sheet = root.find("p:Page", PAGE)
    assert (sheet.get("imageFilename"), sheet.get("imageXResolution")) == ("scan.pdf_page_3.png", "300")
    regions = sheet.findall("p:TextRegion", PAGE)
    assert [region.get("type") for region in regions] == ["heading", "paragraph"]
    order = [ref.get("regionRef") for ref in sheet.iterfind(".//p:RegionRefIndexed", PAGE)]
    assert order == [region.get("id") for region in regions]
    line = regions[1].find("p:TextLine", PAGE)
    assert line.find("p:Coords", PAGE).get("points") == "10,20 300,20 300,60 10,60"
    assert line.find("p:TextEquiv", PAGE).get("conf") == "0.75"
    assert line.findtext("p:TextEquiv/p:Unicode", namespaces=PAGE) == "Dear Ms Finch,"
    assert [word.findtext("p:TextEquiv/p:Unicode", namespaces=PAGE) for word in line.iterfind("p:Word", PAGE)] == [
        "Dear",
        "Ms",
        "Finch",
        ",",
    ]


def test_an_image_keeps_its_name_in_page_xml() -> None:
    root = valid(exported(Document(pages=(page(),)), "page.xml"), "pagecontent.xsd")
    assert root.find("p:Page", PAGE).get("imageFilename") == "note.png"


def test_a_line_whose_words_are_missing_or_say_otherwise_is_one_word() -> None:
    corrected = NOTE.pages[0].blocks[1].lines[0].model_copy(update={"text": "Dear Mr Finch,"})
    bare = corrected.model_copy(update={"words": ()})
    for line in (corrected, bare):
        document = Document(pages=(page(Block(box=line.box, lines=(line,))),))
        (word,) = hocr(document).iterfind(".//*[@class='ocrx_word']")
        assert word.text == "Dear Mr Finch,"
        assert properties(word) == {"bbox": "10 20 300 60", "x_wconf": "75"}


TABLE = "<table><tr><td>Rope</td><td>3</td></tr><tr><td>Hook</td><td>4</td></tr></table>"


def test_tables_formulas_and_pictures_have_regions_and_keep_their_text() -> None:
    blocks = (
        block("", BlockKind.TABLE, TABLE),
        block("", BlockKind.FORMULA, r"\sqrt{2}"),
        block("", BlockKind.PICTURE),
        block("on the sign", BlockKind.PICTURE),
    )
    document = Document(pages=(page(*blocks),))
    sheet = valid(exported(document, "page.xml"), "pagecontent.xsd").find("p:Page", PAGE)
    names = [etree.QName(region).localname for region in sheet][1:]
    assert names == [
        "TableRegion",
        "TextRegion",
        "MathsRegion",
        "TextRegion",
        "ImageRegion",
        "ImageRegion",
        "TextRegion",
    ]
    said = [text.text for text in sheet.iterfind("p:TextRegion//p:Unicode", PAGE)]
    assert said == ["Rope\t3\nHook\t4".replace("\t", " "), r"\sqrt{2}", "on the sign"]
    alto = valid(exported(document, "alto.xml"), "alto-4-3.xsd")
    said = [word.get("CONTENT") for word in alto.iterfind(".//a:String", ALTO)]
    assert said == ["Rope 3", "Hook 4", r"\sqrt{2}", "on the sign"]
    assert len(alto.findall(".//a:Illustration", ALTO)) == 2
    assert len(hocr(document).findall(".//*[@class='ocr_photo']")) == 2


@pytest.mark.parametrize(
    ("turned", "skew", "angle", "baseline"),
    [
        (0, 0.0, None, "100,30 700,30"),
        (90, 0.0, 90.0, "700,30 700,0"),
        (180, 0.0, 180.0, "700,0 100,0"),
        (270, 0.0, -90.0, "100,0 100,30"),
        (0, 1.5, -1.5, "100,30 700,30"),
        (180, -2.0, -178.0, "700,0 100,0"),
    ],
)
def test_a_turned_page_says_so_and_its_boxes_stay(turned: int, skew: float, angle: float | None, baseline: str) -> None:
    document = Document(pages=(page(block("one"), turned=turned, skew=skew),))
    (line,) = hocr(document).iterfind(".//*[@class='ocr_line']")
    (text_block,) = valid(exported(document, "alto.xml"), "alto-4-3.xsd").iterfind(".//a:TextBlock", ALTO)
    sheet = valid(exported(document, "page.xml"), "pagecontent.xsd").find("p:Page", PAGE)
    told = [properties(line).get("textangle"), text_block.get("ROTATION"), sheet.get("orientation")]
    assert [value if value is None else float(value) for value in told] == [angle] * 3
    assert properties(line)["bbox"] == "100 0 700 30"
    assert sheet.find(".//p:Baseline", PAGE).get("points") == baseline


def test_page_xml_of_several_pages_names_the_zip() -> None:
    several = Document(pages=(page(), page(number=2)))
    with pytest.raises(OnePageOnly, match="zip"):
        exported(several, "page.xml")
    with pytest.raises(OnePageOnly):
        exported(Document(pages=several.pages[:1]), "page.xml", numbers=[1, 2])


@pytest.mark.parametrize("extension", ["alto.xml", "page.xml"])
def test_a_file_that_must_have_a_page_is_not_made_without(extension: str) -> None:
    with pytest.raises(NoPages):
        exported(Document(), extension)


def test_hocr_of_nothing_is_a_file_without_pages() -> None:
    assert hocr(Document()).findall(".//*[@class]") == []
