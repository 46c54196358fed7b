"""HTML tables of the model: only what a table needs comes through, sound and balanced, and no text is lost."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copyist.engines.dots.parse.tables import rows_of, sanitised, without_tags
from copyist.exports.text import table_text

TAGS = {"table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th", "sup", "sub", "b", "i", "br"}


def test_a_sound_table_stays_as_it_is() -> None:
    table = (
        '<table><caption>T</caption><thead><tr><th colspan="2">A</th></tr></thead>'
        '<tbody><tr><td rowspan="3">x<sup>2</sup></td><td>H<sub>2</sub>O, <b>bold</b> <i>slanted</i><br>two</td></tr>'
        "</tbody><tfoot><tr><td>sum</td></tr></tfoot></table>"
    )
    assert sanitised(table) == table
    assert sanitised(sanitised(table)) == table


@pytest.mark.parametrize(
    ("html", "cells"),
    [
        ("<td>a<script>alert(1)</script>b</td>", "<td>ab</td>"),
        ("<td>a<style>td{}</style></td>", "<td>a</td>"),
        ("<td>a<SCRIPT src=//x>alert(1)", "<td>a</td>"),
        ("<td onclick=alert(1) style='x' class=\"y\" colspan=2>a</td>", '<td colspan="2">a</td>'),
        ('<td><a href="javascript:alert(1)">a</a></td>', "<td>a</td>"),
        ("<td><img src=x onerror=alert(1)>a</td>", "<td>a</td>"),
        ('<td><svg onload="alert(1)">a</svg></td>', "<td>a</td>"),
        ('<td colspan="99999">a</td>', "<td>a</td>"),
        ('<td colspan="1000" rowspan=1001>a</td>', '<td colspan="1000">a</td>'),
        ("<td rowspan='0' colspan='-3'>a</td>", "<td>a</td>"),
        ('<td colspan="2;alert(1)" rowspan="two">a</td>', '<td colspan="2">a</td>'),
        ("<td>a<td>b", "<td>a</td><td>b</td>"),
        ("<td><b>a<td>b</b>", "<td><b>a</b></td><td>b</td>"),
        ("<td><b><i>a</b>b</i></td>", "<td><b><i>a</i></b>b</td>"),
        ("<td><strong>a</strong><em>b</em><u>c</u></td>", "<td><b>a</b><i>b</i>c</td>"),
        ("<td><p>a</p><p>b</p></td>", "<td>a<br>b</td>"),
        ("<td>$a<b$ and $c>d$</td>", "<td>$a&lt;b$ and $c&gt;d$</td>"),
        ("<td>a &lt;script&gt; &amp; b &copy; &#65; &nope;</td>", "<td>a &lt;script&gt; &amp; b © A &amp;nope;</td>"),
        ("<td>a<!-- b --></td>", "<td>a&lt;!-- b --&gt;</td>"),
        ("stray<td>a</td>", "<td>stray</td><td>a</td>"),
        ("<td>a<table><tr><td>b</td><td>c</td></tr></table></td><td>d</td>", "<td>a<br>b c</td><td>d</td>"),
    ],
)
def test_a_row_is_made_safe_and_sound(html: str, cells: str) -> None:
    expected = f"<table><tbody><tr>{cells}</tr></tbody></table>"
    assert sanitised(f"<table><tr>{html}</tr></table>") == expected
    assert ElementTree.fromstring(expected.replace("<br>", "<br/>")).tag == "table"


def test_rows_need_no_table_around_them_and_no_ends() -> None:
    assert sanitised("<tr><td>a<tr><td>b") == "<table><tbody><tr><td>a</td></tr><tr><td>b</td></tr></tbody></table>"
    assert rows_of("<td>a</td><td>b</td>") == [["a", "b"]]


@pytest.mark.parametrize("end", ["<", "<t", "<td", "</td", '<td colspan="2', "</", "</tr></table"])
def test_half_a_tag_at_the_cut_is_no_text(end: str) -> None:
    assert rows_of(f"<table><tr><td>a</td>{end}") == [["a"]]
    assert rows_of(f"<table><tr><td>a{end}") == [["a"]]


def test_rows_after_the_head_are_the_body() -> None:
    html = "<table><thead><tr><th>a</th></tr></thead><tr><td>b</td></tr></table>"
    assert "</thead><tbody><tr><td>b</td>" in sanitised(html)


def test_two_tables_stay_two_and_what_stands_beside_them_is_their_caption() -> None:
    html = "Table 1<table><tr><td>a</td></tr></table><table><tr><td>b</td></tr></table>Source: us"
    assert sanitised(html).count("<table>") == 2
    assert rows_of(html) == [["Table 1"], ["a"], ["Source: us"], ["b"]]


def test_latex_in_cells_is_not_touched() -> None:
    latex = r"$\begin{array}{c} a & \frac{1}{2} \\ b & x_{i}^{2} \end{array}$"
    assert rows_of(f"<table><tr><td>{latex}</td><td>$a<b$</td></tr></table>") == [[latex, "$a<b$"]]


def test_rows_are_the_texts_of_the_cells() -> None:
    html = "<table><tr><th> a  b </th><td>x<sup>2</sup><br>y</td></tr><tr><td></td><td>1 &amp; 2</td></tr></table>"
    assert rows_of(html) == [["a b", "x2 y"], ["", "1 & 2"]]
    assert table_text(sanitised(html)) == "\n".join("\t".join(row) for row in rows_of(html))


@pytest.mark.parametrize(
    "html", ["", "no table", "<table></table>", "<table><caption>c</caption></table>", "| a | b |"]
)
def test_without_a_row_there_is_no_table(html: str) -> None:
    assert sanitised(html) == ""
    assert rows_of(html) == []


def test_what_was_to_be_a_table_leaves_its_text() -> None:
    assert without_tags("<table><caption>a &amp; b</caption></table").split() == ["a", "&", "b"]


_PIECES = [f"<{end}{tag}>" for tag in sorted(TAGS | {"script", "p", "a", "table"}) for end in ("", "/")]
# Control characters, which no HTML may hold, are gone before a table is read.
_SIGNS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=4)
_HTML = st.lists(
    st.sampled_from([*_PIECES, "<td colspan=3>", "<td rowspan='x'", "a", "<", ">", "&", "&lt;", "\n", '"']) | _SIGNS
)


@given(_HTML.map("".join))
@settings(max_examples=200)
def test_whatever_comes_in_well_formed_html_of_few_tags_comes_out(html: str) -> None:
    clean = sanitised(html)
    root = ElementTree.fromstring(f"<all>{_as_xml(clean)}</all>")
    for element in root.iter():
        assert element.tag in TAGS | {"all"}
        assert set(element.attrib) <= {"rowspan", "colspan"}
        assert all(1 <= int(span) <= 1000 for span in element.attrib.values())
    assert [child.tag for child in root] == ["table"] * len(root)
    assert sanitised(clean) == clean
    assert rows_of(clean) == rows_of(html)


def _as_xml(html: str) -> str:
    printable = "".join(sign for sign in html if sign.isprintable() or sign in "\n\t")
    return printable.replace("<br>", "<br/>").replace("&nbsp;", " ")
