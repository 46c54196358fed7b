"""Which answers are readings, and which a model writes when it has lost its way."""

from __future__ import annotations

import numpy as np
import pytest

from copyist.engines.dots.backend import Answer
from copyist.engines.dots.crops import Shown
from copyist.engines.dots.guards import layout_doubt, layout_fault, text_fault, without_loops
from copyist.engines.dots.parse.cells import Category, Cell, Layout
from copyist.engines.generation import Finish

PAGE = Shown(np.zeros((2352, 1652, 3), np.uint8), 1.0, 1.0)
STRIP = Shown(np.zeros((56, 700, 3), np.uint8), 1.0, 1.0)


def cell(text: str | None, box: tuple[float, float, float, float], category: Category = Category.TEXT) -> Cell:
    return Cell(box, category, text)


def rows(*texts: str) -> Layout:
    cells = tuple(cell(text, (10, 40 * row, 400, 40 * row + 30)) for row, text in enumerate(texts))
    return Layout(cells, whole=True, problems=())


def fault(layout: Layout, finish: Finish = Finish.STOP, tokens: int = 100) -> str:
    return layout_fault(Answer("", finish, tokens_out=tokens), layout, 8192)


def test_a_whole_layout_has_neither_fault_nor_doubt() -> None:
    layout = rows("One", "Two", "Three")
    assert (fault(layout), layout_doubt(layout, PAGE, inked=True)) == ("", "")


@pytest.mark.parametrize(
    ("finish", "words"),
    [
        (Finish.LENGTH, "cut at 1,234 tokens"),
        (Finish.REPETITION, "in circles"),
        (Finish.TIME, "too long"),
        (Finish.ASKED, "stopped"),
    ],
)
def test_only_an_answer_that_the_model_ended_is_whole(finish: Finish, words: str) -> None:
    assert words in fault(rows("One"), finish, 1234)


def test_a_cut_answer_of_a_server_that_counts_no_tokens_names_the_limit() -> None:
    assert "cut at 8,192 tokens" in fault(rows("One"), Finish.LENGTH, 0)


def test_a_broken_layout_is_a_fault() -> None:
    assert fault(Layout(rows("One").cells, whole=False, problems=("cut",)))


def test_boxes_without_text_are_a_fault_but_pictures_are_none() -> None:
    assert "without their text" in fault(Layout((cell(None, (0, 0, 9, 9)),), whole=True, problems=()))
    picture = cell(None, (0, 0, 9, 9), Category.PICTURE)
    assert fault(Layout((picture,), whole=True, problems=())) == ""


@pytest.mark.parametrize("text", ["the cat " * 60, "A line. " + "and so on, " * 30, "1" * 900])
def test_a_text_that_goes_in_circles_is_a_fault(text: str) -> None:
    assert "repeats" in fault(rows(text))
    assert "repeats" in text_fault(Answer(text, Finish.STOP), 100)


@pytest.mark.parametrize("text", ["Contents" + " ." * 200 + " 7", "Name: " + "_" * 300, "Chapter 1 " + "." * 300])
def test_leaders_and_empty_fields_are_no_loop(text: str) -> None:
    assert fault(rows(text)) == ""
    assert text_fault(Answer(text, Finish.STOP), 100) == ""


def test_a_table_of_zeros_is_no_loop() -> None:
    table = cell("<table>" + "<tr><td>0</td><td>0</td></tr>" * 30 + "</table>", (0, 0, 500, 500), Category.TABLE)
    assert fault(Layout((table,), whole=True, problems=())) == ""


def test_one_block_over_and_over_in_one_place_is_a_fault() -> None:
    same = cell("The end.", (10, 10, 200, 30))
    assert "5 times in one place" in fault(Layout((same,) * 5, whole=True, problems=()))
    drifting = tuple(cell("The end.", (10, 10 + at, 200, 30 + at)) for at in range(6))
    assert "6 times" in fault(Layout(drifting, whole=True, problems=()))


def test_the_same_words_in_many_places_may_be_a_form() -> None:
    form = rows("Signature", "Signature", "Signature", "Signature", "Signature")
    assert fault(form) == ""
    assert "5 times" in layout_doubt(form, PAGE, inked=True)


def test_one_block_over_the_whole_page_with_hardly_any_text_is_odd() -> None:
    collapsed = Layout((cell("Invoice", (0, 0, 1652, 2352)),), whole=True, problems=())
    assert "hardly any text" in layout_doubt(collapsed, PAGE, inked=True)
    full = Layout((cell("word " * 400, (0, 0, 1652, 2352)),), whole=True, problems=())
    assert layout_doubt(full, PAGE, inked=True) == ""


def test_a_line_that_fills_its_strip_is_not_odd() -> None:
    line = Layout((cell("0123", (0, 0, 700, 56)),), whole=True, problems=())
    assert layout_doubt(line, STRIP, inked=True) == ""


def test_an_empty_layout_is_odd_only_where_there_is_ink() -> None:
    empty = Layout((), whole=True, problems=())
    assert "No block" in layout_doubt(empty, PAGE, inked=True)
    assert layout_doubt(empty, PAGE, inked=False) == ""


def test_what_is_kept_of_a_loop_is_each_block_once() -> None:
    cells = (*rows("One", "Two").cells, *(cell("Two", (0, 0, 9, 9)),) * 9, cell("na " * 90, (0, 0, 9, 9)))
    assert [kept.text for kept in without_loops(cells)] == ["One", "Two"]
