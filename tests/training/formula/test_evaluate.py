"""Figures: errors in tokens, exact readings, confidence; and what is asked of a reader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from copyist.engines.base import Stop
from copyist.engines.formula.decoding import ReadFormula
from copyist.engines.formula.picture import Picture, PictureUnusable
from copyist.training.formula.evaluate import (
    Question,
    Reading,
    by_length,
    calibration_error,
    canonical,
    case,
    examined,
    figures,
    questions,
    worst_of,
)
from copyist.training.formula.sets import open_set
from tests.training.formula.small_sets import add, write_set

PAPER = np.full((20, 40), 255, np.uint8)


class Reader:
    """Reads ``1+x`` wherever there is ink, as sure as it is told."""

    version, at_once = "test", 4

    def __init__(self, tokens: str = "1+x", confidence: float = 0.8) -> None:
        self._read = ReadFormula(tokens, confidence, confidence, tuple(tokens))
        self.closed = False

    def read(self, pictures: Sequence[Picture], stop: Stop) -> list[ReadFormula | PictureUnusable]:
        stop.check()
        blank = PictureUnusable("no_ink", "Nothing is written there.")
        return [self._read if picture.min() < 128 else blank for picture in pictures]

    def close(self) -> None:
        self.closed = True


def asked(truth: str, name: str = "a") -> Question:
    return Question(name, tuple(truth), PAPER)


def test_errors_are_those_of_tokens_after_both_sides_are_made_canonical() -> None:
    right = Question("a", ("x", "^", "{", "2", "}"), PAPER)
    assert case(right, Reading(("x", "^", "2"), 0.9)).exact
    wrong = case(Question("a", ("\\alpha", "+", "1"), PAPER), Reading(("\\beta", "+", "1"), 0.9))
    assert (wrong.errors, wrong.exact) == (1, False)


def test_what_is_no_latex_is_compared_as_it_is() -> None:
    tokens, well_formed = canonical(["\\frac", "{", "1"])
    assert (tokens, well_formed) == (("\\frac", "{", "1"), False)


def test_a_token_that_the_model_does_not_know_is_an_error_of_the_model() -> None:
    assert case(Question("a", ("\\aleph", "=", "1"), PAPER), Reading(("=", "1"), 0.9)).errors == 1


def test_a_picture_that_cannot_be_read_counts_as_nothing_read() -> None:
    found = case(asked("1+1"), PictureUnusable("too_thin", "The picture is a strip."))
    assert (found.errors, found.confidence, found.code) == (3, 0.0, "too_thin")


def test_figures_count_errors_over_all_tokens() -> None:
    cases = [
        case(asked("1+1"), Reading(tuple("1+1"), 1.0)),
        case(asked("1+1=x"), Reading(tuple("1+1=z"), 0.5)),
        case(asked("1+1=xx"), Reading(tuple("1+1=zz"), 0.5)),
        case(asked("111111"), Reading(("4",), 0.0)),
    ]
    found = figures(cases)
    assert (found.formulas, found.cer) == (4, 9 / 20)
    assert (found.exact, found.within_one, found.within_two) == (0.25, 0.5, 0.75)
    assert (found.least, found.most, found.confidence) == (3, 6, 0.5)
    assert [(each.formulas, each.most) for each in by_length(cases)] == [(2, 5), (2, 6)]
    assert calibration_error(cases) == pytest.approx((0 + 1.0 + 0) / 4)


def test_the_worst_come_first_and_the_surest_of_them(tmp_path: Path) -> None:
    two, one, sure = (
        case(asked("1111", name), Reading(tuple(read), confidence))
        for name, read, confidence in (("two", "1144", 0.1), ("one", "1114", 0.2), ("sure", "4411", 0.9))
    )
    right = case(asked("1"), Reading(("1",), 0.9))
    assert [each.name for each, _ in worst_of([(each, PAPER) for each in (two, one, right, sure)])] == [
        "sure",
        "two",
        "one",
    ]


def test_a_reader_is_examined_on_a_split_and_what_has_no_label_is_left_out(tmp_path: Path) -> None:
    write_set(tmp_path, train=1, valid=1, test=5)
    add(tmp_path, "test", "a", "1+x")
    add(tmp_path, "test", "b", "1+x", latex="1+\\omega")
    add(tmp_path, "test", "c", "1", latex="{")
    add(tmp_path, "test", "d", "1").write_text("no ink")
    answers = examined(Reader(), open_set(tmp_path), "test", stop=Stop())
    assert len(answers.cases) == 7 and answers.left_out_by_code == {"broken_inkml": 1, "unbalanced_braces": 1}
    by_name = {each.name.split("/")[-1]: each for each in answers.cases}
    assert by_name["a.inkml"].exact and by_name["b.inkml"].errors == 1
    assert len(answers.worst) == sum(not each.exact for each in answers.cases)


def test_of_many_formulas_the_same_few_are_asked_each_time(tmp_path: Path) -> None:
    formulas = open_set(write_set(tmp_path, train=20))
    few = [[each.name for each in questions(formulas, "train", most=5, left_out=print)] for _ in range(2)]
    assert few[0] == few[1] and len(few[0]) == 5
    assert few[0] != list(formulas.names("train"))[:5]
