"""When a run of training begins by itself, and why it does not just now: one rule, for beat and for who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from copyist.db.learning_tables import TrainingPause, TrainingRun
from copyist.db.states import RunStatus
from copyist.db.tables import now
from copyist.errors import TooFewLines

RETRY_AFTER = timedelta(hours=6)
"""After a run that failed or was cancelled none begins by itself for so long, but for the night's: it would most likely
go the same way, minute by minute."""


class Counted(Protocol):
    """What the rule wants to know of the corrections (``examples.Counts``)."""

    @property
    def train(self) -> int:
        """Lines that can be learned from."""

    @property
    def new(self) -> int:
        """Those of them that no run has seen."""

    @property
    def waiting(self) -> int:
        """Lines that have no picture yet."""


@dataclass(frozen=True)
class Rules:
    """The settings that it follows: ``TRAINING``, ``RETRAIN_AFTER``, ``TRAIN_MIN_LINES`` and ``TRAIN_AT``."""

    is_on: bool
    retrain_after: int
    min_lines: int
    nightly_at: str = ""


def why_not(
    counts: Counted,
    rules: Rules,
    *,
    active: TrainingRun | None = None,
    paused: TrainingPause | None = None,
    last: TrainingRun | None = None,
    nightly: bool = False,
) -> str | None:
    """Why no run begins now, in one sentence; ``None`` when one does.

    ``last`` is the newest run, whatever became of it. ``nightly`` asks for the run of the night.
    """
    if not rules.is_on:
        return "Training is switched off by the setting TRAINING."
    if active is not None:
        return f"The run {active.id} is {active.status}."
    if paused is not None:
        return f"Training is paused by {paused.by}." if paused.by else "Training is paused."
    if missing := max(0, rules.min_lines - counts.train):
        return (
            f"{counts.train} corrected or confirmed lines can be learned from, and {rules.min_lines} are needed: "
            f"{missing} are missing."
        )
    wanted = 1 if nightly else rules.retrain_after
    if counts.new >= wanted:
        return None if nightly or last is None else _why_not_again(last)
    if nightly:
        return "No line is new since the last run."
    at_night = f", or one at {rules.nightly_at}" if rules.nightly_at else ""
    return f"{counts.new} lines are new since the last run; the next begins with {wanted}{at_night}."


def too_few(counts: Counted, needed: int) -> TooFewLines:
    """What somebody is told who asks for a run when there is too little to learn from."""
    hint = "Correct or confirm more lines of handwriting."
    if counts.waiting:
        hint = f"{counts.waiting} more wait to be cut out of their pages. Try again in a moment."
    return TooFewLines(have=counts.train, needed=needed, missing=needed - counts.train, hint=hint)


def _why_not_again(last: TrainingRun) -> str | None:
    if last.status not in (RunStatus.FAILED, RunStatus.CANCELLED) or last.finished_at is None:
        return None
    again = last.finished_at + RETRY_AFTER
    if now() >= again:
        return None
    how = "failed" if last.status == RunStatus.FAILED else "was cancelled"
    return f"The last run {how}; the next begins by itself after {again:%H:%M} UTC, or when somebody asks for it."
