"""Markdown with LaTeX to blocks and back: every kind, cut ends, and nothing that a browser would run."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from copyist.api.compat.nougat import nougat_flavour
from copyist.document import Block, Box, Document, Page
from copyist.engines.markdown_blocks import bands, blocks_of_markdown, plain
from copyist.exports.markdown import markdown
from tests.exports.conftest import exported

AREA = Box(10, 20, 610, 820)


def blocks(source: str) -> tuple[Block, ...]:
    return blocks_of_markdown(source, AREA, lambda _: 0.5)


def page(source: str) -> Document:
    found = Page(width=700, height=900, engine="nougat", engine_version="1", blocks=blocks(source))
    return Document(pages=(found,))


def kinds(source: str) -> list[str]:
    return [block.kind.value for block in blocks(source)]


@pytest.mark.parametrize(
    "source",
    [
        "# A title\n\n## 1.2 A part of it\n\n###### Abstract",
        "Plain words, and a second sentence.\n\nAnother paragraph.",
        r"Let \(x_{1}^{2}\) be **bold** and _slanted_, see [12] and [https://a.org/b](https://a.org/b).",
        r"It costs $5, or \(y\), or $6; 50% of R&D, a*b and snake_case_name.",
        "\\[\\begin{array}{ll} a & b \\\\ c & d \\end{array} \\tag{2.1}\\]",
        "* [1] A. Author. A title. 2001.\n* [2] B. Author. Another.\n\nAfter the list.",
        "1. one\n2. two\n   going on",
        "- a\n\t- b\n\t- c",
        "```\nfor x in y:\n    print(x)\n\nend\n```",
        "\\begin{table}\n\\begin{tabular}{l c} a & \\$5 \\\\ b\\& & \\(x<y\\) \\\\ \\end{tabular}\n\\end{table}",
        "\\begin{tabular}{c} 1 \\\\ \\end{tabular}",
        "| a | b |\n| --- | :-: |\n| 1 | \\(x\\) |",
        "Figure 1: A caption with \\(x\\).\n\nFootnote 3: A note.\n\n**Table 2:** Another.",
        "Where \\(f(x)=\\text{cost in \\$}\\) holds.",
        r"A tilde~, a back\slash, `code`, <https://a.org>, a < b and c > d.".replace("<https://a.org>", "x"),
    ],
)
def test_what_a_model_wrote_comes_back_as_it_was(source: str) -> None:
    assert nougat_flavour(markdown(page(source).pages)) == source + "\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("# T\nrunning on\n\ntext", ["title", "text", "text"]),
        ("Text before\n\\[a=b\\]\nand after.", ["text", "formula", "text"]),
        ("\\[a=b\\] \\[c=d\\] (3)", ["formula", "formula", "text"]),
        ("$$\na\n$$", ["formula"]),
        ("Text:\n* one\n* two", ["text", "list"]),
        ("\\begin{table}\nx & y \\\\\n\\end{table}\nTable 1: It.", ["table", "caption"]),
        ("a | b\n--- | ---\n1 | 2", ["table"]),
        ("FIGURE 2. Loud.", ["caption"]),
        ("Table 1 shows it.", ["text"]),
        ("a\n---", ["text"]),
        ("", []),
        ("\n \n", []),
        ("#", []),
        ("\\[\\]", []),
    ],
)
def test_blocks_are_of_the_kinds_that_are_meant(source: str, expected: list[str]) -> None:
    assert kinds(source) == expected


@pytest.mark.parametrize(
    "source", ["\\[a + b", "$$\na", "```\nx = 1", "\\begin{table}\n\\begin{tabular}{c} a & b", "| a |\n|"]
)
def test_a_cut_end_is_kept(source: str) -> None:
    (block,) = blocks(source)
    assert block.text


def test_an_unfinished_formula_does_not_swallow_the_page() -> None:
    assert kinds("\\[a + b\n\nA paragraph.\n\nAnother.") == ["formula", "text", "text"]


def test_many_formulas_and_tables_in_one_line_are_no_trouble() -> None:
    assert kinds("\\[a\\]" * 2000) == ["formula"] * 2000
    assert kinds("\\begin{tabular}{c} a \\end{tabular}" * 2000) == ["table"] * 2000
    assert kinds("\\[a\\]\\begin{tabular}{c} a \\end{tabular}" * 500) == ["formula", "table"] * 500


def test_the_text_can_be_read() -> None:
    source = (
        "## 1 **Bold** title\n\nSee _this_ [page](https://a.org/x) of \\(n_{i}\\) a\\_b.\n\n* one\n\n"
        "\\begin{tabular}{p{3cm} c} \\multicolumn{2}{c}{**Head**} \\\\ \\hline a & b\\& \\\\ \\end{tabular}"
    )
    assert exported(page(source), "txt").decode() == (
        "1 Bold title\n\nSee this page of $n_{i}$ a_b.\n\n* one\n\nHead\na\tb&\n"
    )


@pytest.mark.parametrize("text", ["x_1 and y_2", "2 * 3 * 4", "a_b_c", "f(x) = *", "** **", r"\(a*b*c\)"])
def test_signs_that_mark_nothing_stay(text: str) -> None:
    assert plain(text).replace("$", "") == text.replace("\\(", "").replace("\\)", "")


DANGEROUS = [
    "<script>alert(1)</script>",
    "Text <img src=x onerror=alert(1)> more",
    "<!-- hidden -->",
    "<div\nonclick=x>",
    "\\(a<b>c\\)",
    "\\[<script>x</script>\\]",
    "\\begin{tabular}{c} <b onclick=x>y</b> \\end{tabular}",
    "![a](http://tracker.test/x.png)",
    "[a](javascript:alert(1))",
    "[a]( javascript:alert(1))",
    "# <b>x</b>",
    "* <iframe src=x>",
    "| <i>a</i> |\n| --- |\n| ![x](data:y) |",
    "a\\\\<b>x</b>",
    "a\\<b>x</b>",
    "* <div\n* x>",
    "\\[\n<div x\n\\]",
    "[a][1] [b]\n\n[1]: ftps://a.org\n[b]: <file:x>",
    r"\($ <script>alert(1)</script>\)",
    r'\(a<img src=x onerror="\)=1;alert(1)//\(">\)',
    "``` `\n<script>alert(1)</script>\n```",
    "    ```\n<script>alert(1)</script>",
    "```\na\nfoo ```\n\ntext\n\n```\n<script>alert(1)</script>\n```",
    "~~~\n```\n~~~~\n<script>alert(1)</script>",
    r"\![a](https://tracker.test/x.png)",
    "\\[\n> <script src=//a.org/x.js \n\\]",
    "\\begin{table}\n\n1. <script x\n\\end{table}",
    "[a\\]b]: javascript:x\n\n[a\\]b]",
    "> [a]: javascript:x\n\n[a]",
    "[a\nb]: javascript:x\n\n[a b]",
    r"\([a](javascript:x) $ ![b](javascript:y)\)",
    "\\[[a](javascript:x)\\]",
    r"[a\(]: javascript:x\) [a\(\)]",
]


def is_harmless(source: str) -> bool:
    """Whether a renderer that lets everything pass shows no HTML, no picture and no link but to the web."""
    renderer = MarkdownIt("commonmark")
    renderer.validateLink = lambda _: True  # type: ignore[method-assign]
    tokens = renderer.parse(markdown(page(source).pages))
    flat = [token for one in tokens for token in (one, *(one.children or ()))]
    links = [str(token.attrs["href"]) for token in flat if token.type == "link_open"]
    return not any(token.type in ("html_inline", "html_block", "image") for token in flat) and all(
        link.startswith(("http://", "https://", "ftp://")) for link in links
    )


@pytest.mark.parametrize("source", DANGEROUS)
def test_nothing_of_a_page_runs_in_a_browser(source: str) -> None:
    assert is_harmless(source)


def test_code_stays_code_and_says_all_of_it() -> None:
    (block,) = blocks("``` `a` b\nx ```` y\n```\n")
    assert block.markup == "`````\n`a` b\nx ```` y\n`````"
    assert block.text == "`a` b\nx ```` y"


PIECES = [
    *(
        "\n",
        "\n\n",
        " ",
        "\\[",
        "\\]",
        "\\(",
        "\\)",
        "$",
        "$$",
        "#",
        "# ",
        "* ",
        "|",
        "---",
        "```",
        "`",
        "_",
        "**",
        "&",
    ),
    *("\\\\", "\\", "\\begin{table}", "\\begin{tabular}{l c}", "\\end{tabular}", "\\end{table}", "x", "word", "1. "),
    *("[", "](", ")", "<b>", "<b ", "<", ">", '"', "!", "](ftps:", "]:", "Figure 1:", "\\hline", "é", "\t", "\\$", "!"),
]


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_no_input_raises_or_leaves_its_area(source: str) -> None:
    found = blocks(source)
    assert is_harmless(source)
    for block in found:
        assert block.text.strip()
        for box in (block.box, *(line.box for line in block.lines)):
            assert AREA.left <= box.left < box.right <= AREA.right
            assert AREA.top <= box.top < box.bottom <= AREA.bottom
    assert source.count("word") == sum(block.text.count("word") for block in found)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=30), st.integers(1, 900))
def test_bands_follow_each_other_and_fill_the_area_where_there_is_room(weights: list[int], height: int) -> None:
    cut = bands(Box(0, 7, 5, 7 + height), weights)
    assert all(band.height >= 1 and band.top >= 7 and band.bottom <= 7 + height for band in cut)
    assert all(one.top <= other.top for one, other in pairwise(cut))
    if height * min(weights) >= sum(weights):
        assert all(one.bottom == other.top for one, other in pairwise(cut))
        assert (cut[0].top, cut[-1].bottom) == (7, 7 + height)
