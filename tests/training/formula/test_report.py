"""The page of a report: figures, pictures, and nothing from data that a browser would run."""

from __future__ import annotations

import base64
import re

import cv2
import numpy as np

from copyist.engines.formula.config import Frame
from copyist.training.formula.evaluate import Answers, Question, Reading, case, worst_of
from copyist.training.formula.raster import draw
from copyist.training.formula.report import as_json, page
from tests.training.formula.small_sets import ink

FRAME = Frame(64, 160)


def answers() -> Answers:
    pictures = [draw(ink("1+x"), pen_px=4.0), np.full((5, 5000), 255, np.uint8)]
    cases = [
        case(Question("<script>alert(1)</script>", ("1", "<", "x"), pictures[0]), Reading(("1", "+", "x"), 0.9)),
        case(Question("strip", ("1",), pictures[1]), Reading(("4",), 0.25)),
        case(Question("right", ("4",), pictures[0]), Reading(("4",), 0.75)),
    ]
    left_out = {"a&b": ("broken_inkml", "It <b>breaks</b> off.")}
    worst = worst_of(zip(cases, [*pictures, pictures[0]], strict=True))
    return Answers(tuple(cases), tuple(worst), left_out, 0.01)


def test_the_figures_as_json() -> None:
    found = as_json(answers())
    assert (found["formulas"], found["cer"], found["left_out"]) == (3, 2 / 5, {"broken_inkml": 1})
    assert [each["formulas"] for each in found["by_length"]] == [3]


def test_the_page_shows_the_worst_cases_as_the_model_sees_them_and_runs_nothing() -> None:
    html = page("<img src=x onerror=y>", {"model": "<i>m</i>"}, answers(), FRAME)
    assert "<script" not in html and "<b>" not in html and "<i>" not in html and "<img src=x" not in html
    assert "1&lt;x" in html.replace(" ", "") and "&lt;script&gt;" in html and "a&amp;b" in html
    assert html.count("<img") == 2 and "40.0 %" in html
    seen = re.search(r'src="data:image/png;base64,([^"]+)"', html)
    assert seen is not None
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(seen[1]), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None and picture.shape[0] % 32 == 0 and picture.min() < 64
    assert np.median(picture) == 255


def test_a_page_without_an_error_says_so() -> None:
    right = Answers((case(Question("a", ("1",), np.zeros((9, 9), np.uint8)), Reading(("1",), 1.0)),), (), {}, 0.0)
    assert "Everything was read without an error." in page("t", {}, right, FRAME)
