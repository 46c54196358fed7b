"""How far a job is, derived from its pages: nothing is counted twice and nothing can drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Integer, cast, func, select
from sqlalchemy.orm import Session

from copyist.db.states import PageStatus
from copyist.db.tables import Page, Reading


@dataclass
class Progress:
    """Counts of a job's pages; ``engines`` are those whose readings were kept, ``confidence`` is their mean."""

    done: int = 0
    failed: int = 0
    degraded: bool = False
    engines: tuple[str, ...] = ()
    confidence: float | None = None


def progress_of(session: Session, ids: Sequence[str]) -> dict[str, Progress]:
    """Progress of each job in ``ids``."""
    found = {job_id: Progress() for job_id in ids}
    if not ids:
        return found
    rows = session.execute(
        select(
            Page.job_id,
            Page.status,
            Reading.engine,
            func.count(),
            func.max(cast(Page.degraded, Integer)),
            func.count(Reading.confidence),
            func.sum(Reading.confidence),
        )
        .outerjoin(Reading, Reading.id == Page.reading_id)
        .where(Page.job_id.in_(ids))
        .group_by(Page.job_id, Page.status, Reading.engine)
    )
    sums: dict[str, tuple[int, float]] = {}
    for job_id, status, engine, count, degraded, rated, total in rows:
        progress = found[job_id]
        if status == PageStatus.DONE:
            progress.done += count
            progress.degraded = progress.degraded or bool(degraded)
            progress.engines = tuple(sorted({*progress.engines, engine}))
            before, so_far = sums.get(job_id, (0, 0.0))
            sums[job_id] = (before + rated, so_far + (total or 0.0))
        elif status == PageStatus.FAILED:
            progress.failed += count
    for job_id, (rated, total) in sums.items():
        found[job_id].confidence = total / rated if rated else None
    return found
