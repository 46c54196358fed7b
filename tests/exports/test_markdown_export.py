from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from copyist.document import BlockKind, Document
from copyist.exports.markdown import escape, markdown
from tests.exports.conftest import block, exported, page

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
LINES = st.lists(
    st.one_of(st.text(), st.text(alphabet="#-+*_=~`>|:[](){}<!&$\\ 1.)aé;")).map(lambda text: " ".join(text.split())),
    min_size=1,
    max_size=4,
).map(lambda lines: [line for line in lines if line.strip(" \0") == line != ""])


def _markdown(*blocks: object) -> str:
    document = Document(pages=(page(*blocks),))  # type: ignore[arg-type]
    return exported(document, "md").decode()


@given(LINES)
@example(["# not a heading", "====", "- no item", "1. no item"])
@example(["a | b", "--- | ---", "c | d"])
@example(["[ref]: /url", "<b>", "&amp;", "_a_ **b** `c` ~~d~~ $e$", "snake_case"])
def test_text_is_never_turned_into_markup(lines: list[str]) -> None:
    source = "\n".join(text for line in lines if (text := escape(line)))
    tokens = [token for token in READER.parse(source) if token.type != "inline"]
    assert {token.type for token in tokens} <= {"paragraph_open", "paragraph_close"}
    rendered = [child for token in READER.parse(source) for child in token.children or []]
    assert {child.type for child in rendered} <= {"text", "softbreak", "text_special"}
    shown = "".join("\n" if child.type == "softbreak" else child.content for child in rendered)
    assert shown == "\n".join(lines).replace("\0", "\N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize("plain", ["snake_case", "R&D", "3 > 2", "well-known", "50% (about)", "a.b", "C#"])
def test_harmless_text_stays_as_it_is(plain: str) -> None:
    assert escape(plain) == plain


def test_lines_of_a_paragraph_stay_lines_and_blocks_are_parted() -> None:
    assert _markdown(block("one\ntwo"), block("three")) == "one\ntwo\n\nthree\n"


def test_the_first_title_is_the_heading_of_all() -> None:
    titles = (block("The\nwhole", BlockKind.TITLE), block("Part #", BlockKind.TITLE), block("Part 2", BlockKind.TITLE))
    assert _markdown(*titles) == "# The whole\n\n## Part \\#\n\n## Part 2\n"


def test_list_items_keep_their_boxes_and_numbers() -> None:
    assert _markdown(block("• one\nand more\n☑ two\n☐ three", BlockKind.LIST)) == (
        "- one\n  and more\n- [x] two\n- [ ] three\n"
    )
    assert _markdown(block("3. three\n4) four", BlockKind.LIST)) == "3. three\n4. four\n"


def test_numbers_that_markdown_would_change_are_kept_as_text() -> None:
    assert _markdown(block("3. three\n7. seven", BlockKind.LIST)) == "- 3\\. three\n- 7\\. seven\n"


def test_a_list_without_marks_has_an_item_per_line() -> None:
    assert _markdown(block("one\ntwo", BlockKind.LIST)) == "- one\n- two\n"


def test_lists_in_a_row_are_one_list() -> None:
    assert _markdown(block("- one", BlockKind.LIST), block("- two", BlockKind.LIST)) == "- one\n- two\n"


def test_a_list_inside_a_text_is_a_list() -> None:
    assert _markdown(block("To buy:\n- milk\n- eggs\n  and salt")) == "To buy:\n\n- milk\n- eggs\n  and salt\n"


def test_speech_with_dashes_is_no_list() -> None:
    assert "- " not in _markdown(block("— Bonjour !\n— Bonsoir !"))


def test_a_formula_stands_between_dollars_without_blank_lines() -> None:
    assert _markdown(block("", BlockKind.FORMULA, "a\n\n= b")) == "$$\na\n= b\n$$\n"


def test_a_table_is_its_markup_or_its_rows() -> None:
    markup = "<table>\n\n<tr><td>1</td></tr>\n</table>"
    assert _markdown(block("1", BlockKind.TABLE, markup)) == "<table>\n<tr><td>1</td></tr>\n</table>\n"
    assert _markdown(block("a 1\nb 2", BlockKind.TABLE)) == "a 1\\\nb 2\n"


def test_pages_are_told_apart_only_where_there_are_several() -> None:
    document = Document(pages=(page(block("one")), page(block("two"), number=2)))
    assert exported(document, "md").decode() == "<!-- page 1 -->\n\none\n\n<!-- page 2 -->\n\ntwo\n"
    assert "<!--" not in _markdown(block("one"))
    assert markdown(document.pages) == "one\n\ntwo\n"


def test_the_only_page_that_was_read_of_several_keeps_its_number() -> None:
    second = Document(pages=(page(block("two"), number=2),))
    assert exported(second, "md", numbers=[1, 2]).decode() == "<!-- page 2 -->\n\ntwo\n"
    assert exported(second, "md").decode() == "two\n"


@given(st.lists(st.tuples(st.text(), st.sampled_from(BlockKind)), max_size=4))
def test_any_page_can_be_written(parts: list[tuple[str, BlockKind]]) -> None:
    source = _markdown(*(block(text, kind) for text, kind in parts))
    assert not re.search(r"\n{3,}", source)
