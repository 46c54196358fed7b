"""How much there is of corrections and runs, and how well it reads: for whoever watches the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from copyist.db import models
from copyist.db.learning_tables import Correction, TrainingRun
from copyist.db.states import RunStatus


@dataclass(frozen=True)
class LearningFigures:
    """Counts of rows, and what is known of the version that serves."""

    version: int
    """0: the base, as published."""
    holdout_cer: float | None
    corrections: Mapping[str, int]
    """Revisions of lines: ``corrected`` ones, which change a text, and ``confirmed`` ones."""
    runs: Mapping[str, int]


def take(session: Session) -> LearningFigures:
    """All figures of this moment."""
    champion = models.champion(session)
    changed = Correction.after != Correction.before
    kinds = dict(session.execute(select(changed, func.count()).group_by(changed)).all())
    states = dict(session.execute(select(TrainingRun.status, func.count()).group_by(TrainingRun.status)).all())
    return LearningFigures(
        version=champion.id if champion else 0,
        holdout_cer=models.cer(champion, "holdout") if champion else None,
        corrections={"corrected": kinds.get(True, 0), "confirmed": kinds.get(False, 0)},
        runs={status.value: states.get(status, 0) for status in RunStatus},
    )
