"""Decides whether a new model may serve, by what was found of it and of the champion on the same lines.

It has to read the pages that are held out better, as far as a bootstrap over pages can tell, must not have forgotten
other hands by more than a margin, and must not fail in another way: silent, in loops, slow or sure of what is wrong.
Where too little is known to say so, a person decides. Whatever comes out, the reason names the figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from copyist.training.bootstrap import difference, page_sums
from copyist.training.order import Compared, Evaluation, LineScore, Score

VERSION = 1
"""Of the rules; it stands with each decision."""

_MORE_FAILURES = 0.01
"""So much larger may the share of lines be that come out empty or cut short; one line more is forgiven anyway."""
_LENGTHS = (0.9, 1.1)
"""How much is read, in the champion's; other lengths must be nearer to what stands there."""
_SLOWER, _SLOWER_S = 1.5, 0.05
"""It may take so many times as long for a line; a difference below so many seconds is noise."""
_LESS_CALIBRATED = 0.03
"""How much farther confidence may be from the truth."""
_LINES_THAT_TELL = 100
"""With fewer, time and confidence are judged by chance: by what else the machine did, and by a few words."""


@dataclass(frozen=True)
class Rules:
    """``margin_points`` is by how many points (hundredths) the CER of the general set may rise. With fewer pages held
    out than ``min_pages`` a person decides: a bootstrap over a few pages is too sure of itself.
    """

    margin_points: float = 0.5
    min_pages: int = 10


@dataclass(frozen=True)
class Verdict:
    """What becomes of the model, why in sentences for a person, and the ``figures`` it was decided by, as JSON."""

    outcome: Literal["promoted", "refused", "needs_review"]
    reason: str
    figures: dict[str, Any]


@dataclass(frozen=True)
class _Difference:
    """Champion and challenger on one set. ``change`` is in CER, negative is better; ``worst`` its 95 % upper bound."""

    champion: float
    challenger: float
    change: float
    worst: float
    pages: int
    lines: int


@dataclass
class _Findings:
    """What speaks against the model, and what nobody can tell yet."""

    against: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def decide(evaluation: Evaluation, rules: Rules) -> Verdict:
    """Decide by ``rules``; raises ``ValueError`` where the two models did not read the same lines."""
    holdout = _difference(evaluation.holdout) if evaluation.holdout else None
    general = _difference(evaluation.general)
    found = _Findings()
    if not evaluation.golden:
        found.against.append("the saved model does not read as the trained one did")
    if evaluation.unchanged:
        found.against.append("nothing was learned: no epoch read the dev lines better than the base model does")
    _judge_holdout(holdout, rules, found)
    _judge_general(general, rules, found)
    for compared, where in ((evaluation.holdout, "held-out lines"), (evaluation.general, "general lines")):
        found.against += _failures(compared, where) if compared else ()
    outcome, lead = _outcome(found)
    reason = f"{lead} {_holdout_in_words(holdout)} {_general_in_words(general, rules)}"
    figures = {
        "rules": {"version": VERSION, "margin_points": rules.margin_points, "min_pages": rules.min_pages},
        "golden": evaluation.golden,
        "holdout": vars(holdout) if holdout else None,
        "general": vars(general),
        "general_name": evaluation.general_name,
        "against": found.against,
        "doubts": found.doubts,
    }
    return Verdict(outcome, reason, figures)


def _outcome(found: _Findings) -> tuple[Literal["promoted", "refused", "needs_review"], str]:
    if found.against:
        return "refused", f"Refused: {_listed(found.against)}."
    if found.doubts:
        return "needs_review", f"A person has to decide: {_listed(found.doubts)}."
    return "promoted", "It reads this handwriting better and has not forgotten others."


def _listed(parts: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(parts))


def _difference(compared: Compared) -> _Difference:
    before, after = compared.champion_lines, compared.challenger_lines
    if list(map(_which, before)) != list(map(_which, after)):
        raise ValueError("champion and challenger did not read the same lines")
    # A page on which nothing stands cannot tell who reads better.
    kept = [(one, other) for one, other in zip(before, after, strict=True) if one.length]
    if not kept:
        return _Difference(0.0, 0.0, 0.0, 0.0, 0, len(before))
    pages = [one.page for one, _ in kept]
    errors, new_errors, lengths = page_sums(
        pages,
        [one.errors for one, _ in kept],
        [other.errors for _, other in kept],
        [one.length for one, _ in kept],
    )
    change, worst = difference(errors, new_errors, lengths)
    there = lengths.sum()
    return _Difference(
        champion=float(errors.sum() / there),
        challenger=float(new_errors.sum() / there),
        change=change,
        worst=worst,
        pages=len(set(pages)),
        lines=len(kept),
    )


def _which(line: LineScore) -> tuple[str, str, int]:
    return line.sha256, line.page, line.length


def _judge_holdout(found: _Difference | None, rules: Rules, findings: _Findings) -> None:
    if found is None or not found.pages:
        findings.doubts.append(f"no page is held out yet, and {rules.min_pages} are needed to tell")
    elif found.change >= 0:
        findings.against.append("it reads the held-out pages no better")
    elif found.pages < rules.min_pages:
        few = "1 page is" if found.pages == 1 else f"{found.pages} pages are"
        findings.doubts.append(f"only {few} held out, and {rules.min_pages} are needed to tell")
    elif found.worst >= 0:
        findings.against.append("that it reads the held-out pages better may be chance")


def _judge_general(found: _Difference, rules: Rules, findings: _Findings) -> None:
    margin = rules.margin_points / 100
    if not found.pages:
        findings.doubts.append("there is no general line to tell what it forgot")
    elif found.change >= margin:
        findings.against.append("it has forgotten other hands")
    elif found.pages < rules.min_pages:
        findings.doubts.append(
            f"the general lines are of {_count(found.pages, 'page')}, and {rules.min_pages} are needed"
        )
    elif found.worst >= margin:
        findings.doubts.append("it may have forgotten other hands; there are too few general lines to tell")


def _failures(compared: Compared, where: str) -> Iterator[str]:
    """What went wrong that the CER does not show, or not as such."""
    before, after = compared.champion, compared.challenger
    for share, old, more in (
        ("come out empty", before.empty, after.empty - before.empty),
        ("are cut short", before.cut_short, after.cut_short - before.cut_short),
    ):
        if more > _MORE_FAILURES and round(more * after.lines) > 1:
            yield f"{_percent(old + more)} of the {where} {share}, in place of {_percent(old)}"
    if _is_another_length(before, after):
        yield f"it reads {_percent(after.length_ratio)} of the length of the {where}"
    if after.lines < _LINES_THAT_TELL:
        return
    if after.seconds_per_line > max(before.seconds_per_line * _SLOWER, before.seconds_per_line + _SLOWER_S):
        yield f"it takes {after.seconds_per_line:.2f} s a line in place of {before.seconds_per_line:.2f} s"
    if after.calibration_error and before.calibration_error is not None:
        worse = after.calibration_error - before.calibration_error
        if worse > _LESS_CALIBRATED:
            yield f"on the {where} its confidence is {100 * worse:.1f} points farther from the truth"


def _is_another_length(before: Score, after: Score) -> bool:
    low, high = (bound * before.length_ratio for bound in _LENGTHS)
    nearer = abs(after.length_ratio - 1) <= abs(before.length_ratio - 1)
    return not (low <= after.length_ratio <= high or nearer)


def _holdout_in_words(found: _Difference | None) -> str:
    if found is None or not found.pages:
        return "No page is held out."
    return f"On {_count(found.pages, 'held-out page')} ({_count(found.lines, 'line')}) {_in_words(found)})."


def _general_in_words(found: _Difference, rules: Rules) -> str:
    if not found.pages:
        return "There are no general lines."
    return f"On {_count(found.lines, 'general line')} {_in_words(found)}; {rules.margin_points:g} are allowed)."


def _in_words(found: _Difference) -> str:
    return (
        f"it makes {_percent(found.challenger)} errors in place of {_percent(found.champion)} "
        f"({_points(found.change)}, at worst {_points(found.worst)}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(change: float) -> str:
    return f"{abs(100 * change):.1f} points {'fewer' if change < 0 else 'more'}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
