"""What is read of the model's layout JSON: everything that is sound, to the byte, and as much as can be of the rest."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copyist.engines.dots.parse.layout_json import Category, Cell, Layout, parse
from tests.engines.dots.layouts import CELLS, PAGE, Block, cell_of, latex, pages, written

JSON = json.dumps(PAGE)


def block(text: str, box: str = "[1, 2, 30, 40]", category: str = '"Text"') -> str:
    """A block as the model would write it, with ``text`` as it stands between the quotes."""
    return f'{{"bbox": {box}, "category": {category}, "text": "{text}"}}'


def texts(answer: str) -> list[str | None]:
    return [cell.text for cell in parse(answer).cells]


@given(st.data(), pages)
def test_sound_json_is_read_exactly_as_json_reads_it(data: st.DataObject, page: list[Block]) -> None:
    answer = json.dumps(page, ensure_ascii=data.draw(st.booleans()), indent=data.draw(st.sampled_from([None, 1, 4])))
    layout = parse(answer)
    assert layout.cells == tuple(map(cell_of, page))
    assert layout.whole


@given(st.data(), pages)
def test_a_cut_answer_keeps_every_complete_block_and_the_beginning_of_the_next(
    data: st.DataObject, page: list[Block]
) -> None:
    blocks = data.draw(written(page))
    answer = f"[{', '.join(blocks)}]"
    end = data.draw(st.integers(0, len(answer) - 1))
    layout = parse(answer[:end])
    complete = [found for found, text in zip(page, _ends(blocks), strict=True) if text <= end]
    assert layout.cells[: len(complete)] == tuple(map(cell_of, complete))
    assert not layout.whole
    assert layout.problems
    for cell in layout.cells[len(complete) :]:
        assert (page[len(complete)].get("text") or "").startswith(cell.text or "")


def _ends(blocks: list[str]) -> list[int]:
    return [1 + sum(map(len, blocks[: index + 1])) + 2 * index for index in range(len(blocks))]


@given(st.text())
def test_nothing_is_raised_for_any_text(answer: str) -> None:
    assert isinstance(parse(answer), Layout)


_SHARDS = [
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    ",",
    ":",
    "\\",
    '"bbox":',
    '{"bbox": [1, 2, 3, 4]',
    '"category": "Text"',
    '"text": "',
]


@given(
    st.lists(st.sampled_from([*_SHARDS, "\n", "a", "NaN", "1e999", "null", "\\u12", "\\ud83d", "```", " "])).map(
        "".join
    )
)
@settings(max_examples=300)
def test_nothing_is_raised_for_shards_of_json(answer: str) -> None:
    assert isinstance(parse(answer), Layout)


@given(latex)
def test_latex_with_braces_survives_byte_for_byte_even_when_the_answer_is_broken(formula: str) -> None:
    broken = f"[{block('lost')} {json.dumps({**PAGE[3], 'text': formula})} {block('also lost')}"
    assert texts(broken) == ["lost", formula, "also lost"]


@pytest.mark.parametrize(
    "answer",
    [
        f"```json\n{JSON}\n```",
        f"```\n{JSON}```",
        f"Here is the layout of [page 1]:\n\n{JSON}\n\nAsk me {{anything}}.",
        f'{{"layout": {JSON}}}',
        f'{{"page": 1, "result": {{"blocks": {JSON}}}}}',
        f"[{JSON}]",
        f"\ufeff \n{JSON}\n",
        JSON.replace("}, {", "} {"),
        JSON.replace("}, {", "},, {"),
        f"{JSON[:-1]},]",
        "\n".join(map(json.dumps, PAGE)),
    ],
    ids=["fenced", "fence", "prose", "wrapped", "deep", "nested", "bom", "no commas", "commas", "trailing", "lines"],
)
def test_what_stands_around_the_blocks_does_not_matter(answer: str) -> None:
    assert parse(answer) == Layout(CELLS, whole=True, problems=())


def test_a_single_object_is_a_page_with_one_block() -> None:
    assert parse(json.dumps(PAGE[0])) == Layout(CELLS[:1], whole=True, problems=())


@pytest.mark.parametrize("answer", ["[]", " [ ]\n", "```json\n[]\n```", '{"layout": []}', "The page is blank:\n\n[]"])
def test_an_empty_list_is_a_blank_page(answer: str) -> None:
    assert parse(answer) == Layout((), whole=True, problems=())


@pytest.mark.parametrize(
    "answer", ["", "  ", "I cannot read this.", "{}", "null", "5", '["text"]', "[", "{", "```", "[]]"]
)
def test_an_answer_without_blocks_is_not_whole_and_says_so(answer: str) -> None:
    layout = parse(answer)
    assert (layout.cells, layout.whole) == ((), False)
    assert "The answer holds no layout." in layout.problems


def test_blocks_without_any_text_are_what_the_prompt_for_layout_only_gives() -> None:
    bare = [{"bbox": [1, 2, 3, 4], "category": "Table"}, {"bbox": [1, 5, 3, 9], "category": "Text"}]
    layout = parse(json.dumps(bare))
    assert layout == Layout(tuple(map(cell_of, bare)), whole=True, problems=())


def test_a_missing_text_is_only_fine_for_a_picture() -> None:
    answer = json.dumps([*PAGE, {"bbox": [1, 2, 3, 4], "category": "Table"}])
    assert parse(answer).problems == ("A block had no text.",)


def test_the_cut_last_block_keeps_its_text_and_is_told() -> None:
    answer = json.dumps(PAGE[:4])
    layout = parse(answer[: answer.index("\\\\sqrt")])
    assert layout.cells[:3] == CELLS[:3]
    assert layout.cells[3] == Cell(CELLS[3].box, Category.FORMULA, "$$\\frac{a}{b} \\neq")
    assert not layout.whole
    assert "The answer ends in the middle of a block, which was kept up to there." in layout.problems


@pytest.mark.parametrize("end", ["\\", "\\u", "\\u00", "\\ud83d", "\\ud83d\\", "\\ud83d\\ude"])
def test_half_an_escape_at_the_cut_is_no_text(end: str) -> None:
    assert texts(f"[{block('a')}, {block('say ')[:-2]}{end}") == ["a", "say "]


def test_an_answer_that_ends_between_two_blocks_is_not_whole() -> None:
    layout = parse(f"[{block('a')},")
    assert (layout.whole, layout.problems) == (False, ("The answer ends before its list does.",))


def test_a_block_that_is_cut_before_its_category_is_left_out() -> None:
    assert texts(f'[{block("a")}, {{"bbox": [1, 2, 3, 4], "categ') == ["a"]
    assert texts(f'[{block("a")}, {{"bbox": [1, 2, 3, 4], "category": "Pict') == ["a"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ('<td colspan="2">a</td>', '<td colspan="2">a</td>'),
        ('She said "no", and "yes".', 'She said "no", and "yes".'),
        ('a "quote" at the "end"', 'a "quote" at the "end"'),
        (r"$\alpha \frac{a}{b}$", r"$\alpha \frac{a}{b}$"),
        (r"\[ \nabla \times \theta \rho \beta \]", r"\[ \nabla \times \theta \rho \beta \]"),
        (r"$$\sum_i \nu_i \\ \neq \text{if}$$", r"$$\sum_i \nu_i \\ \neq \text{if}$$"),
        (r"one\ntwo, $\alpha$\nThree", "one\ntwo, $\\alpha$\nThree"),
        (r"escaped $\\alpha$ and not \(\gamma\)", r"escaped $\alpha$ and not \(\gamma\)"),
        (r"5\% of \$3", r"5\% of \$3"),
        (r"\x and \uXYZ1 and \u00e9", r"\x and \uXYZ1 and é"),
    ],
)
def test_what_should_have_been_escaped_is_taken_literally(written: str, read: str) -> None:
    assert texts(f"[{block('a')}, {broken(written)}, {block('b')}]") == ["a", read, "b"]


def broken(text: str) -> str:
    """A block that is no JSON, whatever its text is."""
    return f'{{"text": "{text}", "bbox": [1, 2, 30, 40] "category": "Text"}}'


def test_escapes_stay_escapes_where_only_something_else_is_broken() -> None:
    assert texts(f"[{broken('one' + chr(92) + 'ntwo' + chr(92) + 'tthree')}]") == ["one\ntwo\tthree"]


def test_a_text_that_lost_its_end_does_not_take_the_next_block_along() -> None:
    layout = parse(f"[{block('a')[:-2]}}}, {block('b')}]")
    assert [cell.text for cell in layout.cells] == ["a", "b"]
    assert (layout.whole, layout.problems) == (False, ("A block had no end and was kept up to the next block.",))


def test_a_lost_brace_loses_nothing() -> None:
    for answer in (
        f"[{block('a')[:-1]}, {block('b')}]",
        f"[{block('a')}, {block('b')[1:]}]",
        f"[{block('a')[1:]}, {block('b')}]",
    ):
        layout = parse(answer)
        assert ([cell.text for cell in layout.cells], layout.whole) == (["a", "b"], True), answer


def test_a_lost_seam_between_two_blocks_loses_nothing() -> None:
    assert texts(f"[{block('a')[:-1]}, {block('b', box='[5, 6, 7, 8]')[1:]}]") == ["a", "b"]


def test_python_s_quotes_are_understood() -> None:
    page = [{"bbox": [1, 2, 3, 4], "category": "Text", "text": "it's 'so': \\frac{a}{b}"}, *PAGE[:2], *PAGE[3:7]]
    assert parse(str(page)).cells == tuple(map(cell_of, page))


@pytest.mark.parametrize(
    "box",
    [
        '["1", "2", "30", "40"]', '"[1, 2, 30, 40]"', "[[1, 2], [30, 40]]", "[1.0, 2e0, 3e1, 40.0]", "[1 2, 30 40]",
        "[1, 2, 30, 40", '"1,2,30,40"',
    ],
)  # fmt: skip
def test_four_numbers_are_a_box_however_they_are_written(box: str) -> None:
    assert parse(f"[{block('a', box=box)}]").cells == (Cell((1.0, 2.0, 30.0, 40.0), Category.TEXT, "a"),)


@pytest.mark.parametrize(
    "box",
    [
        "[1, 2, 3]", "[1, 2, 3, 4, 5]", "[NaN, 2, 3, 4]", "[1, 2, Infinity, 4]", "[1, 2, 1e999, 4]", "null", '"none"',
        f"[1, 2, 3, {'9' * 400}]", f"[1, 2, 3, {'9' * 5000}]", "{}", "[true, 1, 2, 3]", "[[[[[1, 2, 3, 4]]]]]", "[]",
    ],
)  # fmt: skip
def test_a_block_without_a_usable_box_is_kept_below_the_one_before(box: str) -> None:
    layout = parse(f"[{block('a', box='[10, 20, 30, 44]')}, {block('b', box=box)}]")
    assert layout.cells[1] == Cell((10.0, 44.0, 30.0, 44.0), Category.TEXT, "b")
    assert "A block had no usable box and was put beside its neighbour." in layout.problems


@pytest.mark.parametrize("category", ['"section_header"', '"SECTION-HEADER"', '" Section header "'])
def test_a_category_is_known_by_its_words(category: str) -> None:
    assert parse(f"[{block('a', category=category)}]").cells[0].category is Category.SECTION_HEADER


@pytest.mark.parametrize("category", ['"Stamp"', "null", "7", '["Text"]', '""'])
def test_an_unknown_category_is_text_and_told(category: str) -> None:
    layout = parse(f"[{block('a', category=category)}]")
    assert layout.cells[0].category is Category.TEXT
    assert layout.problems == ("A block had no known category and was taken for text.",)


def test_a_text_that_is_no_string_is_read_where_that_makes_sense() -> None:
    page = [{"bbox": [1, 2, 3, 4], "category": "Text", "text": text} for text in (12, ["a", "b"], {"x": 1}, True)]
    layout = parse(json.dumps(page))
    assert [cell.text for cell in layout.cells] == ["12", "a\nb", None, None]
    assert "A block's text was no text. (2 times)" in layout.problems
    assert "A block had no text. (2 times)" in layout.problems


@pytest.mark.parametrize("depth", [100, 900, 5_000, 20_000])
@pytest.mark.parametrize("opening", ["[", '{"bbox":', '{"layout":[', '[{"category":', "{'text':"])
def test_deep_nesting_ends_nothing_but_the_list(opening: str, depth: int) -> None:
    assert isinstance(parse(opening * depth), Layout)
    assert texts(f"{opening * depth} {block('a')} ]")[-1] == "a"
