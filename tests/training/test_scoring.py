"""Scores of lines: counted over all characters, normalised, with intervals over pages."""

from __future__ import annotations

import numpy as np
import pytest

from copyist.training import bootstrap, scoring
from copyist.training.normal import plain
from copyist.training.order import LineScore


def line(text: str, read: str, *, page: str = "p", confidence: float | None = 0.9) -> LineScore:
    return scoring.line_score(sha256="0", page=page, text=text, read=read, confidence=confidence)


def test_the_error_rate_is_counted_over_all_characters_not_averaged_over_lines() -> None:
    lines = [line("a", "b"), line("abcdefghi", "abcdefghi")]
    found = scoring.score(lines, seconds_per_line=1.0)
    assert found.cer.value == pytest.approx(0.1)
    assert (found.wer.value, found.exact.value) == (0.5, 0.5)


def test_texts_that_mean_the_same_are_the_same() -> None:
    assert plain(" “cafe\u0301”\u00a0–\tit’s…  ") == '"café" - it\'s...'
    assert line("“café” — it’s", '"cafe\u0301" - it\'s').exact
    assert not line("Café", "Cafe").exact


@pytest.mark.parametrize(
    ("text", "read", "errors", "words_wrong"),
    [("", "", 0, 0), ("", "ab c", 4, 2), ("ab c", "", 4, 2), ("ab c", "abc", 1, 2), ("one two", "one too", 1, 1)],
)
def test_lines_on_which_nothing_stands_or_nothing_was_read_are_counted(
    text: str, read: str, errors: int, words_wrong: int
) -> None:
    found = line(text, read)
    assert (found.errors, found.length, found.word_errors, found.words) == (
        errors,
        len(text),
        words_wrong,
        len(text.split()),
    )


def test_what_was_left_empty_is_told_apart_from_what_is_empty() -> None:
    found = scoring.score(
        [line("abcd", ""), line("", ""), line("abcd", "abcd"), line("ab", "abab")], seconds_per_line=1
    )
    assert found.empty == 0.25
    assert found.length_ratio == pytest.approx(0.8)


def test_words_are_right_where_they_stand_along_the_text() -> None:
    assert scoring.right_words("the old lantern burns", ["old", "lanterm", "burns", "on"]) == [True, False, True, False]
    assert scoring.right_words("it’s", ["it's"]) == [True]
    assert scoring.right_words("", ["more"]) == [False]
    assert scoring.right_words("text", []) == []


def test_intervals_are_over_pages_since_lines_of_a_page_are_alike() -> None:
    chance = np.random.default_rng(1)
    errors = chance.integers(0, 5, 200)
    texts = [("x" * 20, "y" * count + "x" * (20 - count)) for count in errors]
    alone = [line(text, read, page=str(at)) for at, (text, read) in enumerate(texts)]
    # The same lines, in eight pages that are each good or bad as a whole.
    alike = [line(*pair, page=str(at // 25)) for at, pair in enumerate(sorted(texts, key=lambda pair: pair[1]))]
    one, other = (scoring.score(lines, seconds_per_line=1).cer for lines in (alone, alike))
    assert one.value == other.value == pytest.approx(errors.sum() / 4000)
    assert one.low < one.value < one.high
    assert other.high - other.low > 3 * (one.high - one.low)
    assert scoring.score(alone, seconds_per_line=1).cer == one


def test_many_pages_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = np.random.default_rng(2).integers(1, 9, (2, 50)).astype(float)
    whole = bootstrap.interval(sums)
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 50 * 300)
    assert bootstrap.interval(sums) == whole
    assert bootstrap.resampled(sums).shape == (2, bootstrap.RESAMPLES)


def test_confidence_that_keeps_its_word_has_no_calibration_error() -> None:
    half_right = [line("one two", "one too", confidence=0.5)] * 10
    assert scoring.calibration_error(half_right) == pytest.approx(0)
    too_sure = [line("one two", "one too", confidence=1.0)] * 10
    assert scoring.calibration_error([*half_right, *too_sure]) == pytest.approx(0.25)
    assert scoring.calibration_error([line("one", "", confidence=None)]) is None


def test_the_surest_lines_are_kept_first() -> None:
    lines = [line("abcd", "abcd" if at > 4 else "wxyz", confidence=at / 10) for at in range(10)]
    curve = scoring.risk_coverage([line("abcd", "", confidence=None), *lines])
    assert [share for share, _ in curve] == sorted({share for share, _ in curve})
    assert curve[0][1] == 0
    assert curve[-1] == (1.0, pytest.approx(6 / 11))
    assert scoring.risk_coverage([]) == ()
