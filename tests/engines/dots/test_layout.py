"""From the model's cells to a page's blocks: kinds, boxes, lines, words, and how it reads when it is exported."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copyist.document import Block, BlockKind, Box, Document, Page
from copyist.engines.dots.parse.layout import KINDS, blocks_of, text_blocks
from copyist.engines.dots.parse.layout_json import Category, Cell, parse
from tests.engines.dots.layouts import CELLS, PAGE, latex, texts
from tests.exports.conftest import exported

BOX = (10.0, 20.0, 110.0, 120.0)


def read(category: Category, said: str | None, box: tuple[float, float, float, float] = BOX) -> tuple[Block, ...]:
    cell = Cell(box, category, said)
    return blocks_of([cell], scale_x=1, scale_y=1, width=200, height=300, confidence=0.9)


def page(*blocks: Block, width: int = 800, height: int = 900) -> Document:
    return Document(pages=(Page(width=width, height=height, engine="dots", engine_version="1", blocks=blocks),))


@pytest.mark.parametrize("category", list(Category))
def test_every_category_is_a_kind_of_block(category: Category) -> None:
    assert read(category, None)[0] == Block(kind=KINDS[category], box=Box(10, 20, 110, 120))


_ANY = st.floats() | st.integers(-(10**9), 10**9).map(float)
_CELLS = st.lists(
    st.builds(Cell, st.tuples(_ANY, _ANY, _ANY, _ANY), st.sampled_from(Category), st.none() | texts | st.text())
)


@given(_CELLS, st.floats(0.01, 100), st.integers(1, 2000), st.integers(1, 2000), st.sampled_from([None, 0.5]))
@settings(max_examples=80)
def test_blocks_lie_in_the_page_and_everything_in_its_block(
    cells: list[Cell], scale: float, width: int, height: int, confidence: float | None
) -> None:
    assert_sound(
        blocks_of(cells, scale_x=scale, scale_y=scale / 2, width=width, height=height, confidence=confidence),
        Box(0, 0, width, height),
    )


@given(texts | st.text(), st.integers(1, 2000), st.integers(1, 2000))
def test_blocks_of_plain_text_lie_in_the_page(said: str, width: int, height: int) -> None:
    assert_sound(text_blocks(said, width=width, height=height, confidence=None), Box(0, 0, width, height))


def assert_sound(blocks: tuple[Block, ...], whole: Box) -> None:
    for block in blocks:
        assert _in(block.box, whole)
        assert block.box.width > 0 < block.box.height
        for line in block.lines:
            assert _in(line.box, block.box)
            assert line.box.height > 0
            assert line.text.strip()
            assert [word.text for word in line.words] == line.text.split()
            assert all(_in(word.box, line.box) for word in line.words)
    assert Document.model_validate_json(page(*blocks).model_dump_json()) == page(*blocks)


def _in(inner: Box, outer: Box) -> bool:
    return Box.around((inner, outer)) == outer


@pytest.mark.parametrize(
    ("written", "box"),
    [
        ((10, 20, 30, 40), (15, 10, 45, 20)),
        ((30, 40, 10, 20), (15, 10, 45, 20)),
        ((10.5, 20, 30.1, 40), (15, 10, 46, 20)),
        ((-50, -50, 1000, 1000), (0, 0, 200, 100)),
        ((10, 20, 10, 20), (15, 10, 16, 11)),
        ((500, 600, 700, 800), (199, 99, 200, 100)),
        ((-9, -9, -5, -5), (0, 0, 1, 1)),
        ((1e308, 0, 0, float("nan")), (0, 0, 200, 1)),
    ],
)
def test_boxes_are_scaled_clipped_and_set_right(written: tuple[float, ...], box: tuple[int, ...]) -> None:
    cell = Cell(written, Category.PICTURE, None)  # type: ignore[arg-type]
    assert blocks_of([cell], scale_x=1.5, scale_y=0.5, width=200, height=100, confidence=None)[0].box == box


def test_lines_share_the_box_evenly_and_words_lie_along_them() -> None:
    (block,) = read(Category.TEXT, "one two\n\nthree")
    assert [(line.text, line.box) for line in block.lines] == [
        ("one two", Box(10, 20, 110, 70)),
        ("three", Box(10, 70, 110, 120)),
    ]
    assert [(word.text, word.box.left, word.box.right) for word in block.lines[0].words] == [
        ("one", 10, 52),
        ("two", 67, 110),
    ]
    assert {line.confidence for line in block.lines} == {word.confidence for word in block.lines[0].words} == {0.9}


def test_the_order_is_the_model_s() -> None:
    cells = [Cell((0, top, 9, top + 9), Category.TEXT, str(top)) for top in (90, 10, 50)]
    blocks = blocks_of(cells, scale_x=1, scale_y=1, width=100, height=100, confidence=None)
    assert [block.text for block in blocks] == ["90", "10", "50"]


@pytest.mark.parametrize(
    ("category", "said", "read_as"),
    [
        (Category.TITLE, "# On *Braces*", "On Braces"),
        (Category.SECTION_HEADER, "### 2.1 **Methods**", "2.1 Methods"),
        (Category.TEXT, "## A heading", "A heading"),
        (Category.TEXT, "# of items: #5", "# of items: #5"),
        (
            Category.TEXT,
            "**bold** and *slanted*, ***both***, __this__ and _that_",
            "bold and slanted, both, this and that",
        ),
        (Category.TEXT, "中文**重点**内容", "中文重点内容"),
        (Category.TEXT, "2*3*4 and snake_case_name and a * b * c", "2*3*4 and snake_case_name and a * b * c"),
        (Category.TEXT, "Name: ____ Date: ____", "Name: ____ Date: ____"),
        (Category.TEXT, r"5 \* 3 costs \$5", "5 * 3 costs $5"),
        (Category.TEXT, r"*If* $a*b*c_1 = \hat{x}_2^*$ *then*", r"If $a*b*c_1 = \hat{x}_2^*$ then"),
        (Category.TEXT, r"\mathbf{x}^*y^*_{i}", r"\mathbf{x}^*y^*_{i}"),
        (Category.TEXT, "one<br>two<br/>three", "one\ntwo\nthree"),
        (Category.LIST_ITEM, "* one *thing*", "* one thing"),
        (Category.LIST_ITEM, "- [x] done", "- [x] done"),
        (Category.TEXT, "a\0b\x07c\x1fd\rnext", "abcd\nnext"),
        (Category.PICTURE, "EXIT", "EXIT"),
    ],
)
def test_marks_of_markdown_are_taken_off(category: Category, said: str, read_as: str) -> None:
    assert read(category, said)[0].text == read_as


@given(latex)
def test_inline_latex_survives_byte_for_byte(formula: str) -> None:
    inline = f"${formula.strip()}x$"
    assert read(Category.TEXT, f"**So** {inline} *holds*")[0].text == " ".join(f"So {inline} holds".split(" "))


def test_a_formula_is_markup_without_its_delimiters_and_lines_to_correct() -> None:
    (block,) = read(Category.FORMULA, "$$\n\\frac{a}{b} \\\\\nc_{*}\n$$")
    assert block.kind is BlockKind.FORMULA
    assert block.markup == block.text == "\\frac{a}{b} \\\\\nc_{*}"


def test_several_formulas_in_a_cell_stand_below_each_other() -> None:
    first, beside, second = read(Category.FORMULA, "$$a$$\nand so\n$$b$$")
    assert [first.markup, beside.markup, second.markup] == ["a", None, "b"]
    assert (beside.kind, beside.text) == (BlockKind.TEXT, "and so")
    assert [first.box.bottom, beside.box.bottom, second.box.bottom] == [53, 86, 120]


def test_a_table_is_sound_html_and_a_line_for_every_row() -> None:
    (block,) = read(Category.TABLE, "<table onclick=x><tr><th>a<th>b c</tr><tr><td></td><td>$x<y$")
    assert block.markup == (
        "<table><tbody><tr><th>a</th><th>b c</th></tr><tr><td></td><td>$x&lt;y$</td></tr></tbody></table>"
    )
    assert [line.text for line in block.lines] == ["a\tb c", "\t$x<y$"]


@pytest.mark.parametrize("said", ["just text", "<table>just text</table>", "just <b>text"])
def test_a_table_without_rows_is_its_text(said: str) -> None:
    (block,) = read(Category.TABLE, said)
    assert (block.kind, block.markup) == (BlockKind.TABLE, None)
    assert block.text.split() == ["just", "text"]


def test_commands_that_json_took_for_escapes_are_read_as_meant() -> None:
    cells = parse('[{"bbox": [1, 2, 3, 4], "category": "Formula", "text": "$$\\frac{a}{b} \\times c$$"}]').cells
    assert cells[0].text == "$$\frac{a}{b} \times c$$"
    (block,) = blocks_of(cells, scale_x=1, scale_y=1, width=9, height=9, confidence=None)
    assert block.markup == r"\frac{a}{b} \times c"


def test_plain_text_is_parted_into_paragraphs_that_share_the_page() -> None:
    said = "# Title\n\none\ntwo\n\n$$\nx^2\n$$\n \n<table><tr><td>a</td></tr></table>\n\n* item"
    blocks = text_blocks(f"```markdown\n{said}\n```", width=100, height=80, confidence=None)
    assert [(block.kind.value, block.text, block.box.top, block.box.bottom) for block in blocks] == [
        ("title", "Title", 0, 10),
        ("text", "one\ntwo", 10, 30),
        ("formula", "x^2", 30, 60),
        ("table", "a", 60, 70),
        ("text", "* item", 70, 80),
    ]
    assert text_blocks(" \n\n ", width=5, height=5, confidence=None) == ()


@pytest.mark.parametrize(
    ("category", "said", "markup"),
    [
        (Category.TEXT, "no maths, $5", None),
        (Category.TEXT, r"**So** $x_1^*$ costs \$5 <b>", r"So $x_1^*$ costs \$5 \<b>"),
        (Category.TEXT, "1. $a<b$\n# and \\(c\\)", "1\\. $a< b$\n\\# and $c$"),
        (Category.TEXT, "so\n\\[\nx\n\\]", "so\n$$x$$"),
        (Category.TITLE, "# On\n$x$", "## On $x$"),
        (Category.LIST_ITEM, "* $a$\nand $b$", "- $a$\n  and $b$"),
        (Category.LIST_ITEM, "• $a$\n2. $b$", "- $a$\n2. $b$"),
        (Category.LIST_ITEM, "$a$", "- $a$"),
        (Category.FORMULA, "$$a<script>b</script>$$", "a< script>b< /script>"),
    ],
)
def test_text_with_maths_keeps_safe_markdown_in_which_the_maths_is_shown(
    category: Category, said: str, markup: str | None
) -> None:
    assert read(category, said)[0].markup == markup


def test_a_page_reads_well_as_markdown_and_as_text() -> None:
    layout = parse(json.dumps(PAGE))
    assert layout.cells == CELLS
    document = page(*blocks_of(layout.cells, scale_x=1, scale_y=1, width=800, height=900, confidence=0.9))
    written = exported(document, "md").decode()
    assert "# On Braces\n\n" in written
    assert "\n\n$$\n\\frac{a}{b} \\neq \\sqrt{\\beta_{i}} \\\\ \\nu\n$$\n\n" in written
    assert '\n\n<table><thead><tr><th colspan="2">Sum</th></tr></thead><tbody>' in written
    assert "\n\n- {" in written
    assert "Größe über $\\Delta t$ 🙂" in written
    plain = exported(document, "txt").decode()
    assert "\n\nSum\n1\t$x<y$\n\n" in plain
    assert "\n\n\\frac{a}{b} \\neq \\sqrt{\\beta_{i}} \\\\ \\nu\n\n" in plain
