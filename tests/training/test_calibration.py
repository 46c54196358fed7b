"""Confidence after training: fitted to what was right, never worse than before, and passed over when it is damaged."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from copyist.engines.calibration import FILE, Calibration, load
from copyist.training.calibration import FEWEST, fit


def loss(calibration: Calibration, sure: list[float], right: list[bool]) -> float:
    likely = [
        calibration.apply(one) if was else 1 - calibration.apply(one) for one, was in zip(sure, right, strict=True)
    ]
    return -float(np.log(likely).sum())


def too_sure(words: int) -> tuple[list[float], list[bool]]:
    """Words of a model that thinks itself twice as sure as it is, in log odds."""
    chance = np.random.default_rng(3)
    odds = chance.normal(1.0, 1.5, words)
    right = chance.random(words) < 1 / (1 + np.exp(-odds))
    return (1 / (1 + np.exp(-2 * odds))).tolist(), right.tolist()


def test_a_model_that_is_too_sure_learns_how_sure_it_may_be() -> None:
    sure, right = too_sure(4000)
    found = fit(sure, right)
    assert found is not None
    assert found.a == pytest.approx(0.5, abs=0.05)
    assert found.b == pytest.approx(0.0, abs=0.1)
    assert loss(found, sure, right) < 0.95 * loss(Calibration(), sure, right)


@pytest.mark.parametrize("all_right", [True, False])
def test_words_that_are_all_right_or_all_wrong_do_not_carry_it_away(all_right: bool) -> None:
    sure, right = [0.7, 0.8, 0.9, 1.0] * 50, [all_right] * 200
    found = fit(sure, right)
    if found is not None:
        assert np.isfinite([found.a, found.b]).all()
        assert loss(found, sure, right) <= loss(Calibration(), sure, right)
        assert found.apply(0.7) < found.apply(0.9)


def test_confidence_that_says_nothing_or_the_contrary_does_no_harm() -> None:
    sure, right = too_sure(300)
    for others in ([not one for one in right], list(np.random.default_rng(4).random(300) < 0.5)):
        found = fit(sure, others)
        assert found is None or (found.a > 0 and loss(found, sure, others) <= loss(Calibration(), sure, others))


def test_few_words_are_not_enough() -> None:
    sure, right = too_sure(FEWEST)
    assert fit(sure, right) is not None
    assert fit(sure[1:], right[1:]) is None
    assert fit([], []) is None


def test_a_calibration_is_found_beside_its_model(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    (tmp_path / FILE).write_text(Calibration(0.5, -0.25).as_json())
    found = load(tmp_path)
    assert found == Calibration(0.5, -0.25)
    assert [found.apply(sure) for sure in (0.0, 0.5, 1.0)] == sorted(found.apply(sure) for sure in (0.0, 0.5, 1.0))
    assert 0 < found.apply(0.0) < found.apply(1.0) < 1


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "null", '{"a": 1}', '{"a": "x", "b": 0}', json.dumps({"a": float("nan"), "b": 0}), '{"a": -1, "b": 0}'],
)
def test_a_damaged_calibration_is_passed_over_and_told(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_text(content)
    with caplog.at_level(logging.WARNING):
        assert load(tmp_path) is None
    assert "holds no calibration" in caplog.text
