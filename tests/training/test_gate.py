"""The gate: what is better gets through, what is worse in any way does not, and the reason says why with figures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from copyist.training import gate, scoring
from copyist.training.bootstrap import difference
from copyist.training.gate import Rules, Verdict
from copyist.training.order import Compared, Evaluation, LineScore

LENGTH = 40
RULES = Rules(margin_points=0.5, min_pages=10)


def lines(errors: Sequence[int], per_page: int, **values: Any) -> tuple[LineScore, ...]:
    """One line for each number of errors in it."""
    usual = {"word_errors": 0, "words": 7, "exact": False, "read": "x" * LENGTH, "confidence": 0.9}
    return tuple(
        LineScore(sha256=str(at), page=str(at // per_page), errors=count, length=LENGTH, **{**usual, **values})
        for at, count in enumerate(errors)
    )


def compared(
    before: Sequence[int], after: Sequence[int], per_page: int = 20, *, seconds: float = 1.0, **after_values: Any
) -> Compared:
    old, new = lines(before, per_page), lines(after, per_page, **after_values)
    return Compared(
        champion=scoring.score(old, seconds_per_line=1.0),
        challenger=scoring.score(new, seconds_per_line=seconds),
        champion_lines=old,
        challenger_lines=new,
    )


def drawn(rate: float, count: int, seed: int) -> list[int]:
    return np.random.default_rng(seed).poisson(rate * LENGTH, count).tolist()


def general(before: float = 0.05, after: float = 0.05, count: int = 400, **values: Any) -> Compared:
    """Two models that err on the same lines, mostly."""
    old = drawn(before, count, 1)
    new = old if before == after else drawn(after, count, 1)
    return compared(old, new, 4, **values)


def better(pages: int = 14, **values: Any) -> Compared:
    return compared(drawn(0.084, 20 * pages, 2), drawn(0.031, 20 * pages, 2), **values)


def judged(holdout: Compared | None, others: Compared, *, golden: bool = True) -> Verdict:
    evaluation = Evaluation(golden=golden, holdout=holdout, general=others, general_name="drawn", calibration=None)
    return gate.decide(evaluation, RULES)


def test_a_better_model_that_forgot_nothing_is_promoted_with_its_figures() -> None:
    found = judged(better(), general())
    assert found.outcome == "promoted"
    assert "On 14 held-out pages (280 lines) it makes 3.2 % errors in place of 8." in found.reason
    assert "On 400 general lines it makes 5.1 % errors in place of 5.1 %" in found.reason
    assert "0.5 are allowed" in found.reason
    assert found.figures["holdout"]["worst"] < 0
    assert found.figures["rules"]["min_pages"] == 10


def test_a_worse_model_is_refused_with_the_reason() -> None:
    found = judged(compared(drawn(0.05, 280, 1), drawn(0.08, 280, 2)), general())
    assert found.outcome == "refused"
    assert "reads the held-out pages no better" in found.reason
    assert "points more" in found.reason


def test_the_same_model_again_is_refused() -> None:
    errors = drawn(0.05, 280, 1)
    assert judged(compared(errors, errors), general()).outcome == "refused"


def test_where_nothing_was_learned_nobody_is_asked() -> None:
    evaluation = Evaluation(
        golden=True, unchanged=True, holdout=None, general=general(), general_name="drawn", calibration=None
    )
    found = gate.decide(evaluation, RULES)
    assert (found.outcome, "nothing was learned" in found.reason) == ("refused", True)


def test_a_difference_that_may_be_chance_is_refused() -> None:
    before = drawn(0.08, 200, 3)
    after = [max(0, count - (at == 7)) for at, count in enumerate(before)]
    after[60] += 1
    after[61] -= before[61] > 0
    found = judged(compared(before, after), general())
    assert found.outcome == "refused"
    assert "may be chance" in found.reason


def test_a_model_that_forgot_other_hands_is_refused_however_well_it_reads_this_one() -> None:
    found = judged(better(), general(0.05, 0.07))
    assert found.outcome == "refused"
    assert "it has forgotten other hands" in found.reason


def test_where_too_few_general_lines_tell_a_person_decides() -> None:
    chance = np.random.default_rng(5)
    before = drawn(0.10, 80, 6)
    after = [max(0, count + int(step)) for count, step in zip(before, chance.normal(0, 4, 80).round(), strict=True)]
    after[0] += max(0, sum(before) - sum(after))
    others = compared(before, after, 4)
    change, worst = gate._difference(others).change, gate._difference(others).worst
    assert change < 0.005 < worst
    found = judged(better(), others)
    assert (found.outcome, "may have forgotten other hands" in found.reason) == ("needs_review", True)
    few = judged(better(), general(count=20))
    assert (few.outcome, "of 5 pages, and 10 are needed" in few.reason) == ("needs_review", True)


@pytest.mark.parametrize(("pages", "words"), [(9, "only 9 pages are held out"), (1, "only 1 page is held out")])
def test_with_few_pages_held_out_a_person_decides_on_what_looks_better(pages: int, words: str) -> None:
    found = judged(better(pages), general())
    assert found.outcome == "needs_review"
    assert words in found.reason
    assert "and 10 are needed" in found.reason
    assert f"On {pages} held-out page" in found.reason


def test_with_few_pages_held_out_what_looks_worse_is_refused() -> None:
    assert judged(compared(drawn(0.05, 40, 1), drawn(0.08, 40, 2)), general()).outcome == "refused"


def test_without_a_page_held_out_a_person_decides_unless_something_speaks_against_it() -> None:
    found = judged(None, general())
    assert (found.outcome, found.figures["holdout"]) == ("needs_review", None)
    assert "no page is held out yet" in found.reason
    assert "On 400 general lines" in found.reason
    assert judged(None, general(0.05, 0.07)).outcome == "refused"


def test_a_saved_model_that_reads_otherwise_is_refused() -> None:
    found = judged(better(), general(), golden=False)
    assert (found.outcome, "does not read as the trained one did" in found.reason) == ("refused", True)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"read": ""}, "come out empty"),
        ({"cut_short": True}, "are cut short"),
        ({"read": "x" * (LENGTH // 2)}, "of the length of the held-out lines"),
        ({"confidence": 0.1, "word_errors": 0}, "farther from the truth"),
        ({"seconds": 1.6}, "1.60 s a line in place of 1.00 s"),
    ],
    ids=["empty", "cut", "short", "unsure", "slow"],
)
def test_what_fails_in_another_way_is_refused(values: dict[str, Any], words: str) -> None:
    found = judged(better(**values), general())
    assert found.outcome == "refused"
    assert words in found.reason


def test_a_single_empty_line_more_and_a_little_more_time_are_forgiven() -> None:
    one = better(seconds=1.4)
    first, *rest = one.challenger_lines
    once = (first.model_copy(update={"read": "", "errors": 0}), *rest)
    changed = one.model_copy(update={"challenger": scoring.score(once, seconds_per_line=1.4), "challenger_lines": once})
    assert judged(changed, general()).outcome == "promoted"


def test_a_few_lines_do_not_tell_how_long_a_model_takes() -> None:
    assert judged(better(4, seconds=2.0), general()).outcome == "needs_review"


def test_models_that_read_other_lines_are_not_compared() -> None:
    whole = better()
    with pytest.raises(ValueError, match="same lines"):
        judged(whole.model_copy(update={"challenger_lines": whole.challenger_lines[:-1]}), general())


def passed(before: float, after: float, *, pages: int, trials: int) -> float:
    """How often a model counts as better: pages differ, and each model has pages that lie it."""
    chance = np.random.default_rng(11)
    count = 0
    for _ in range(trials):
        lengths = np.round(20 * LENGTH * chance.uniform(0.5, 1.5, pages))
        hardness = lengths * np.exp(chance.normal(0, 0.4, pages))
        old, new = (
            chance.poisson(rate * hardness * np.exp(chance.normal(0, 0.15, pages))).astype(float)
            for rate in (before, after)
        )
        count += difference(old, new, lengths)[1] < 0
    return count / trials


def test_no_better_models_pass_rarely_and_much_better_ones_mostly() -> None:
    assert passed(0.08, 0.08, pages=10, trials=400) <= 0.08
    assert passed(0.08, 0.08, pages=3, trials=150) > 0.1, "so few pages would do, and min_pages is needless"
    assert passed(0.08, 0.06, pages=10, trials=120) >= 0.85


def test_the_gate_needs_neither_torch_nor_jiwer() -> None:
    code = (
        "import sys, copyist.training.gate; assert not {'torch', 'jiwer', 'transformers', 'cv2'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
