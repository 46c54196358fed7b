"""Other words on the lines of a reading: what stays where it was, and what shares the place of what it stands for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copyist.corrections import reword
from copyist.document import Block, BlockKind, Box, Line, Page, Word, whole


def line(*words: tuple[str, int, int], text: str | None = None) -> Line:
    """A line of words, each from one x to another."""
    laid = tuple(Word(text=one, box=Box(left, 0, right, 20), confidence=0.4) for one, left, right in words)
    return Line(text=text or " ".join(word.text for word in laid), box=Box(0, 0, 200, 20), confidence=0.4, words=laid)


def page(*lines: Line, turned: int = 0) -> Page:
    block = Block(kind=BlockKind.TEXT, box=Box(0, 0, 200, 20), lines=lines, markup="**it**")
    other = Block(box=Box(0, 30, 200, 50), lines=(Line(text="below", box=Box(0, 30, 200, 50), confidence=0.3),))
    return Page(width=300, height=200, turned=turned, engine="e", engine_version="1", blocks=(block, other))


READ = line(("Men", 0, 30), ("we", 40, 60), ("saw", 70, 100))


def spans(changed: Page) -> list[tuple[str, int, int]]:
    return [(word.text, word.box.left, word.box.right) for word in next(changed.lines()).words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Then we saw", [("Then", 0, 30), ("we", 40, 60), ("saw", 70, 100)]),
        ("Men we", [("Men", 0, 30), ("we", 40, 60)]),
        ("Men wesaw", [("Men", 0, 30), ("wesaw", 40, 100)]),
        ("M en we saw", [("M", 0, 7), ("en", 15, 30), ("we", 40, 60), ("saw", 70, 100)]),
        ("Men we a saw", [("Men", 0, 30), ("we", 40, 60), ("a", 60, 70), ("saw", 70, 100)]),
        ("Men we saw it", [("Men", 0, 30), ("we", 40, 60), ("saw", 70, 100), ("it", 100, 200)]),
    ],
)
def test_words_that_stay_keep_their_boxes_and_the_others_share_what_is_left(
    text: str, words: list[tuple[str, int, int]]
) -> None:
    changed = reword.apply(page(READ), {0: text})
    assert spans(changed) == words
    assert (next(changed.lines()).text, next(changed.lines()).confidence) == (text, 1.0)
    assert {word.confidence for word in next(changed.lines()).words} == {1.0}


@pytest.mark.parametrize(
    ("turned", "boxes"),
    [
        (90, [Box(0, 15, 20, 30), Box(0, 0, 20, 8)]),
        (180, [Box(15, 0, 30, 20), Box(0, 0, 8, 20)]),
        (270, [Box(0, 0, 20, 15), Box(0, 22, 20, 30)]),
    ],
)
def test_words_follow_each_other_the_way_the_page_lies(turned: int, boxes: list[Box]) -> None:
    box = Box(0, 0, 30, 20) if turned == 180 else Box(0, 0, 20, 30)
    read = Line(text="abc", box=box, words=(Word(text="abc", box=box),))
    found = next(reword.apply(page(read, turned=turned), {0: "ab c"}).lines())
    assert [word.box for word in found.words] == boxes


def test_words_of_a_script_that_runs_to_the_left_do_so() -> None:
    changed = reword.apply(page(line(("שלום", 0, 90))), {0: "של ום"})
    assert spans(changed) == [("של", 54, 90), ("ום", 0, 36)]


def test_a_changed_line_takes_the_markup_of_its_block_along_and_a_confirmed_one_does_not() -> None:
    read = page(READ)
    changed, confirmed = reword.apply(read, {0: "Then"}), reword.apply(read, {0: READ.text, 9: "no such line"})
    assert (changed.blocks[0].markup, confirmed.blocks[0].markup) == (None, "**it**")
    assert (confirmed.text, [one.confidence for one in confirmed.lines()]) == (read.text, [1.0, 0.3])
    assert reword.apply(read, {1: "down"}).blocks[0] == read.blocks[0]
    assert reword.apply(read, {}) is read


def test_a_corrected_formula_has_the_correction_as_its_markup() -> None:
    one = Line(text="x^{2}", box=Box(0, 0, 50, 20), confidence=0.4)
    block = Block(kind=BlockKind.FORMULA, box=one.box, lines=(one,), markup="x^{2}")
    read = Page(width=300, height=200, engine="e", engine_version="1", blocks=(block,))
    assert reword.apply(read, {0: "x^{3}"}).blocks[0].markup == "x^{3}"


@given(st.lists(st.text(max_size=6), max_size=4), st.text(max_size=30).map(whole), st.sampled_from([0, 90, 180, 270]))
def test_any_text_can_be_laid_over_any_line(words: list[str], text: str, turned: int) -> None:
    read = line(*((word, 10 * place, 10 * place) for place, word in enumerate(words)), text="as read")
    found = next(reword.apply(page(read, turned=turned), {0: text}).lines())
    assert (found.text, [word.text.strip() for word in found.words]) == (text, text.split() if words else [])


def test_where_nothing_stands_lines_and_then_blocks_are_left_out_and_the_others_keep_their_numbers() -> None:
    second = line(("it", 0, 20))
    read = page(READ, second)
    assert [len(block.lines) for block in reword.apply(read, {0: ""}).blocks] == [2, 1], "each at its number"
    for texts, left in (({0: ""}, [1, 2]), ({0: "", 1: ""}, [2]), ({2: ""}, [0, 1]), ({0: "", 1: "", 2: ""}, [])):
        given_out = reword.shown(read, texts)
        assert [one.text for one in given_out.lines()] == [list(read.lines())[number].text for number in left]
        assert (reword.numbers(read, texts), len(given_out.blocks)) == (left, len({number < 2 for number in left}))
    # What an engine left empty stays, and so does a picture that had words in it.
    box = Box(0, 0, 9, 9)
    silent, bare = Block(box=box, lines=(Line(text="", box=box),)), Block(box=box)
    picture = Block(kind=BlockKind.PICTURE, box=box, lines=(second,))
    whole_page = read.model_copy(update={"blocks": (silent, bare, picture)})
    assert reword.shown(whole_page, {1: ""}).blocks == (silent, bare, picture.model_copy(update={"lines": ()}))
