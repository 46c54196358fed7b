from __future__ import annotations

from copyist.document import BlockKind, Document
from copyist.exports.text import table_text
from tests.exports.conftest import Write, block, exported, page


def test_blocks_are_parted_by_a_blank_line_and_pages_by_a_form_feed(write: Write) -> None:
    assert _text(write("one\ntwo\n\nthree", "four")) == "one\ntwo\n\nthree\n\ffour\n"


def test_an_empty_page_keeps_its_place(write: Write) -> None:
    assert _text(write("one", "", "three")).split("\f") == ["one\n", "", "three\n"]


def test_pages_that_could_not_be_read_keep_their_places(write: Write) -> None:
    second = Document(pages=write("one", "two").pages[1:])
    assert _text(second, numbers=[1, 2, 4]) == "\ftwo\n\f"
    assert _text(second, numbers=[2]) == "two\n"


def test_a_form_feed_in_the_text_makes_no_page(write: Write) -> None:
    assert _text(write("one\ftwo")) == "one two\n"


def test_a_table_without_lines_becomes_rows_of_cells() -> None:
    markup = "<table><tr><th>Name</th><th>Price<br>in £</th></tr><tr><td>Rope &amp; hook</td><td> 3 </td></tr></table>"
    assert table_text(markup) == "Name\tPrice in £\nRope & hook\t3"
    assert _text(Document(pages=(page(block("", BlockKind.TABLE, markup)),))).startswith("Name\tPrice in £\n")


def test_a_formula_without_lines_is_its_latex() -> None:
    assert _text(Document(pages=(page(block("", BlockKind.FORMULA, r"\sqrt{2}")),))) == "\\sqrt{2}\n"


def _text(document: Document, **facts: object) -> str:
    return exported(document, "txt", **facts).decode()
