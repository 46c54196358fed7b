"""The Word export, read again by python-docx."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import docx
import pytest
from docx.oxml.ns import qn
from hypothesis import given, settings
from lxml import etree

from copyist.document import BlockKind, Document
from copyist.exports import docx as docx_export
from tests.exports.conftest import UPLOADED, block, material, page
from tests.exports.reading import documents


def written(*blocks: Any, **facts: object) -> Any:
    return read_again(Document(pages=(page(*blocks),)), **facts)


def read_again(document: Document, **facts: object) -> Any:
    into = io.BytesIO()
    docx_export.write(material(document, **facts), into)
    return docx.Document(into)


def said(document: Any) -> list[tuple[str, str]]:
    return [(paragraph.style.name, paragraph.text) for paragraph in document.paragraphs]


def table_texts(document: Any) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in document.tables[0].rows]


def test_titles_are_headings_and_lines_flow_into_paragraphs() -> None:
    blocks = (block("The\nwhole", BlockKind.TITLE), block("one hy-\nphen"), block("Part", BlockKind.TITLE))
    assert said(written(*blocks)) == [("Heading 1", "The whole"), ("Normal", "one hy- phen"), ("Heading 2", "Part")]


def test_what_stands_around_the_text_is_small() -> None:
    kinds = (BlockKind.HEADER, BlockKind.FOOTNOTE, BlockKind.CAPTION)
    found = said(written(*(block(kind, kind) for kind in kinds)))
    assert [style for style, _ in found] == ["Small Print", "Small Print", "Caption"]


def test_lists_have_bullets_boxes_and_numbers_of_their_own() -> None:
    lists = ("• one\nand more\n☑ two", "1. a\n2. b", "3. c\n4. d", "3. e\n7. f")
    document = written(*(part for items in lists for part in (block(items, BlockKind.LIST), block("text"))))
    assert [entry for entry in said(document) if entry[1] != "text"] == [
        *(("List Bullet", text) for text in ("one and more", "☑ two")),
        *(("List Number", text) for text in "abcd"),
        *(("List Bullet", text) for text in ("3. e", "7. f")),
    ]
    numbers = {found.numId: found for found in document.part.numbering_part.element.num_lst}
    counts = [numbers[p._p.pPr.numPr.numId.val] for p in document.paragraphs if p.style.name == "List Number"]
    starts = [count.find(f"{qn('w:lvlOverride')}/{qn('w:startOverride')}").get(qn("w:val")) for count in counts]
    assert starts == ["1", "1", "3", "3"]
    assert len({count.numId for count in counts}) == 2


def test_a_list_inside_a_text_is_a_list() -> None:
    found = said(written(block("To buy:\n- milk\n- eggs")))
    assert found == [("Normal", "To buy:"), ("List Bullet", "milk"), ("List Bullet", "eggs")]


@pytest.mark.parametrize(
    ("markup", "rows"),
    [
        ("<table><tr><th>a</th><td>b<br>c &amp; d</td></tr></table>", [["a", "b c & d"]]),
        (
            '<table><tr><td rowspan="2">a</td><td colspan="2">b</td></tr><tr><td>c</td><td>d</td></tr></table>',
            [["a", "b", "b"], ["a", "c", "d"]],
        ),
        ('<table><tr><td rowspan="0">a</td><td>b</td></tr><tr><td>c</td></tr></table>', [["a", "b"], ["a", "c"]]),
        ("| a | b \\| c |\n|---|:-:|\n| d | |", [["a", "b | c"], ["d", ""]]),
    ],
)
def test_tables_keep_their_cells(markup: str, rows: list[list[str]]) -> None:
    assert table_texts(written(block("", BlockKind.TABLE, markup))) == rows


def test_a_table_of_latex_has_the_cells_of_its_lines() -> None:
    assert table_texts(written(block("a\tb\nc\td", BlockKind.TABLE, "\\begin{tabular}"))) == [["a", "b"], ["c", "d"]]


def test_a_table_that_claims_too_much_is_bounded() -> None:
    markup = '<table><tr><td colspan="99999" rowspan="99999">a</td><td>lost</td></tr><tr></tr></table>'
    rows = table_texts(written(block("", BlockKind.TABLE, markup)))
    assert (len(rows), len(rows[0]), set(rows[1])) == (2, 63, {"a"})


def test_a_formula_is_its_latex_in_a_style_of_its_own() -> None:
    assert said(written(block("x", BlockKind.FORMULA, "\\frac{a}{b}"))) == [("Formula", "\\frac{a}{b}")]


def test_each_page_begins_on_a_new_page() -> None:
    table = block("", BlockKind.TABLE, "<table><tr><td>a</td></tr></table>")
    pages = (page(block("one\n\ntwo")), page(number=2), page(table, number=3), page(block("four"), number=4))
    document = read_again(Document(pages=pages))
    breaks = [found.text for found in document.paragraphs if found.paragraph_format.page_break_before]
    assert breaks == ["", "", "four"]


def test_text_from_the_right_is_marked() -> None:
    document = written(block("שלום עולם, word"), block("word, שלום"))
    right, left = document.paragraphs
    assert right._p.pPr.find(qn("w:bidi")) is not None
    assert right.runs[0].font.rtl is True
    assert left._p.pPr.find(qn("w:bidi")) is None


def test_it_names_the_file_and_no_author() -> None:
    facts = written(block("a"), filename="a\x07" + "b" * 300).core_properties
    assert (facts.title, facts.author, facts.last_modified_by, facts.comments) == ("a" + "b" * 254, "", "", "")
    assert facts.created.date() == UPLOADED


@settings(max_examples=8, deadline=None)
@given(documents(max_pages=2))
def test_any_reading_makes_a_document_that_opens(document: Document) -> None:
    into = io.BytesIO()
    docx_export.write(material(document), into)
    docx.Document(into)
    with zipfile.ZipFile(into) as parts:
        for name in parts.namelist():
            if name.endswith(".xml"):
                etree.fromstring(parts.read(name))
