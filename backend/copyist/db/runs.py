"""Runs of training: asked for, claimed by a trainer under a lease, ended. All changes of their status are made here.

A run is a row, and its message only a doorbell: whoever claims the row has it until the lease runs out. Writes of the
one that has it carry the lease's token, so that a trainer that was taken for dead cannot overwrite its successor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import and_, case, delete, exists, false, or_, select, update
from sqlalchemy.orm import Session

from copyist.db.insert import insert
from copyist.db.jobs import is_id
from copyist.db.learning_tables import Dataset, Decision, ModelVersion, TrainingPause, TrainingRun, TrainingStep
from copyist.db.states import RUN_OPEN, ModelStatus, PageStatus, RunStatus, before_run
from copyist.db.tables import Page, now
from copyist.errors import NotFound, RunActive, RunEnded, TrainerLost

KIND = "handwriting"
ATTEMPTS = 3
"""So often a run is begun whose trainer was gone; after the last time it has failed."""
RESEND_S = 60.0
"""A run that was sent and that nobody took for so long is sent again: its message was lost."""
BATCH = 500


@dataclass(frozen=True)
class Held:
    """What the trainer that has a run is told at each beat of its lease."""

    cancel_asked: bool
    paused_by: str | None
    """Who paused training; ``None`` while it is not paused."""
    reading: bool
    """Whether a page is being read at this moment."""


def create(
    session: Session, *, trigger: str, requested_by: str = "", parameters: Mapping[str, Any] | None = None
) -> TrainingRun:
    """Write down a run that is to be made; raises ``RunActive`` while there is another.

    Send it after the commit; a message that does not go out is sent by the sweep.
    """
    values = {"id": str(uuid4()), "kind": KIND, "trigger": trigger, "requested_by": requested_by}
    made = insert(session, TrainingRun).values(**values, parameters=dict(parameters or {})).on_conflict_do_nothing()
    run_id = session.scalar(made.returning(TrainingRun.id))
    if run_id is None:
        other = active(session)
        raise RunActive(run=other.id if other else "before", status=other.status if other else RunStatus.RUNNING)
    return session.get_one(TrainingRun, run_id)


def get(session: Session, run_id: str) -> TrainingRun:
    """The run; raises ``NotFound``, also for what cannot be an id."""
    run = session.get(TrainingRun, run_id) if is_id(run_id) else None
    if run is None:
        raise NotFound(what="run")
    return run


def newest(session: Session, limit: int, before: TrainingRun | None = None) -> list[TrainingRun]:
    """The runs asked for last, newest first; with ``before`` those that are older than it."""
    query = select(TrainingRun).order_by(TrainingRun.created_at.desc(), TrainingRun.id.desc()).limit(limit)
    if before is not None:
        older = TrainingRun.created_at < before.created_at
        query = query.where(or_(older, and_(TrainingRun.created_at == before.created_at, TrainingRun.id < before.id)))
    return list(session.scalars(query))


def active(session: Session) -> TrainingRun | None:
    """The run that waits or is under way."""
    return session.scalar(select(TrainingRun).where(TrainingRun.kind == KIND, TrainingRun.status.in_(RUN_OPEN)))


def open_ids(session: Session) -> set[str]:
    """Ids of all runs that wait or are under way."""
    return set(session.scalars(select(TrainingRun.id).where(TrainingRun.status.in_(RUN_OPEN))))


def claim(session: Session, run_id: str, token: str, lease_s: float) -> TrainingRun | None:
    """Take the run, if it waits and training is not paused; ``None`` when it is not to be had."""
    pause_there = exists().where(TrainingPause.kind == TrainingRun.kind)
    taken = session.scalar(
        update(TrainingRun)
        .where(TrainingRun.id == run_id, TrainingRun.status.in_(before_run(RunStatus.RUNNING)), ~pause_there)
        .values(
            status=RunStatus.RUNNING,
            lease_token=token,
            lease_until=now() + timedelta(seconds=lease_s),
            attempts=TrainingRun.attempts + 1,
            started_at=case((TrainingRun.started_at.is_(None), now()), else_=TrainingRun.started_at),
        )
        .returning(TrainingRun.id)
        .execution_options(synchronize_session=False)
    )
    return session.get_one(TrainingRun, taken, populate_existing=True) if taken else None


def extend(session: Session, run_id: str, token: str, lease_s: float) -> Held | None:
    """Hold the lease for ``lease_s`` seconds more; ``None`` when the run is somebody else's by now, or over."""
    asked = session.execute(
        update(TrainingRun)
        .where(*_held(run_id, token))
        .values(lease_until=now() + timedelta(seconds=lease_s))
        .returning(TrainingRun.cancel_asked)
        .execution_options(synchronize_session=False)
    ).first()
    if asked is None:
        return None
    pause_row, reading = paused(session), exists().where(Page.status == PageStatus.PROCESSING, Page.lease_until > now())
    return Held(asked[0], pause_row.by if pause_row else None, bool(session.scalar(select(reading))))


def holds(session: Session, run_id: str, token: str) -> bool:
    """Whether ``token`` still has the run; its row is locked until the transaction ends."""
    locked = select(TrainingRun.id).where(*_held(run_id, token)).with_for_update()
    return session.scalar(locked) is not None


def note(session: Session, run_id: str, token: str, **values: Any) -> bool:
    """Write ``values`` into the run's row; ``False`` when it is no longer ``token``'s. A status is set elsewhere."""
    return _set(session, run_id, token, **values)


def add_steps(session: Session, run_id: str, token: str, steps: Iterable[Mapping[str, Any]]) -> None:
    """Write down steps as they went; one that was made again after a kill takes the place of the first.

    Each has ``step``, and what else is known by now: of one that is there already it changes only that.
    """
    if not holds(session, run_id, token):
        return
    for step in steps:
        known = {name: value for name, value in step.items() if name != "step" and value is not None}
        blank = {"epoch": 0, "loss": 0.0, "learning_rate": 0.0, "seconds": 0.0, "at": now()}
        made = insert(session, TrainingStep).values(run_id=run_id, step=step["step"], **blank | known)
        session.execute(
            made.on_conflict_do_update(index_elements=[TrainingStep.run_id, TrainingStep.step], set_=known or blank)
        )


def steps(session: Session, run_id: str, *, after: int = 0, limit: int = 1000) -> list[TrainingStep]:
    """The steps of a run from ``after`` on, in order."""
    found = select(TrainingStep).where(TrainingStep.run_id == run_id, TrainingStep.step > after)
    return list(session.scalars(found.order_by(TrainingStep.step).limit(limit)))


def complete(
    session: Session,
    run_id: str,
    token: str,
    *,
    outcome: str,
    reason: str,
    figures: Mapping[str, Any],
    version_id: int | None,
) -> bool:
    """The run has done what it can, whatever the gate made of it."""
    found = {"outcome": outcome, "reason": reason, "figures": dict(figures), "version_id": version_id}
    return _end(session, run_id, token, RunStatus.COMPLETED, **found)


def fail(session: Session, run_id: str, token: str, *, code: str, detail: str) -> bool:
    """The run came to nothing, for a reason that another attempt would meet, too."""
    return _end(session, run_id, token, RunStatus.FAILED, error_code=code, error_detail=detail)


def cancel(session: Session, run_id: str) -> TrainingRun:
    """Cancel a run: one that waits at once; one that is under way within seconds, by its trainer.

    Raises ``NotFound``, and ``RunEnded`` for one that is over.
    """
    get(session, run_id)
    run = session.get_one(TrainingRun, run_id, with_for_update=True, populate_existing=True)
    if run.status not in RUN_OPEN:
        raise RunEnded(status=run.status)
    if run.status == RunStatus.QUEUED:
        run.status, run.finished_at = RunStatus.CANCELLED, now()
    run.cancel_asked = True
    session.flush()
    return run


def cancelled(session: Session, run_id: str, token: str) -> bool:
    """The trainer has stopped a run that was to be cancelled."""
    return _end(session, run_id, token, RunStatus.CANCELLED)


def give_back(session: Session, run_id: str, token: str, *, at_once: bool = True) -> bool:
    """The trainer stops, or something that it stands on is away: the run waits again, its attempt uncounted.

    It is sent again ``at_once``, or after ``RESEND_S``.
    """
    if not holds(session, run_id, token):
        return False
    if session.get_one(TrainingRun, run_id, populate_existing=True).cancel_asked:
        return cancelled(session, run_id, token)
    values = _WAITING | {"sent_at": None if at_once else now()}
    return _set(session, run_id, token, **values, attempts=TrainingRun.attempts - 1)


def expired(session: Session, *, lock: bool = False) -> list[tuple[str, str]]:
    """Runs whose lease ran out, each with its token: their trainers are gone.

    With ``lock`` none of them can extend its lease any more until the transaction ends.
    """
    gone = select(TrainingRun.id, TrainingRun.lease_token).where(
        TrainingRun.status == RunStatus.RUNNING, TrainingRun.lease_until < now()
    )
    found = session.execute(gone.limit(BATCH).with_for_update() if lock else gone.limit(BATCH))
    return [(run_id, token or "") for run_id, token in found]


def of_task(session: Session, task_id: str) -> list[tuple[str, str]]:
    """Runs that the Celery task ``task_id`` has in hand, each with its token."""
    mine = TrainingRun.lease_token.startswith(f"{task_id}.", autoescape=True)
    found = select(TrainingRun.id, TrainingRun.lease_token).where(TrainingRun.status == RunStatus.RUNNING, mine)
    return [(run_id, token or "") for run_id, token in session.execute(found)]


def recover(
    session: Session, run_id: str, token: str, max_attempts: int = ATTEMPTS, *, reason: str = ""
) -> RunStatus | None:
    """The trainer that had the run is gone, or its process was: the run waits again, or has failed too often.

    ``reason`` is what is known of it, a sentence. Gives the status it has now; ``None`` when it was not ``token``'s.
    """
    if not holds(session, run_id, token):
        return None
    run = session.get_one(TrainingRun, run_id, populate_existing=True)
    if run.cancel_asked:
        cancelled(session, run_id, token)
        return RunStatus.CANCELLED
    if run.attempts < max_attempts:
        _set(session, run_id, token, **_WAITING)
        return RunStatus.QUEUED
    lost = TrainerLost(attempts=run.attempts)
    fail(session, run_id, token, code=lost.code, detail=f"{reason} {lost.detail}".strip())
    return RunStatus.FAILED


def to_send(session: Session, *, again: bool) -> list[str]:
    """Ids of runs that wait and were never sent, or, with ``again``, long ago; marks them as sent.

    None while training is paused: nobody could claim them.
    """
    lost = TrainingRun.sent_at < now() - timedelta(seconds=RESEND_S) if again else false()
    waits = and_(TrainingRun.status == RunStatus.QUEUED, or_(TrainingRun.sent_at.is_(None), lost))
    pause_there = exists().where(TrainingPause.kind == TrainingRun.kind)
    sent = (
        update(TrainingRun)
        .where(waits, ~pause_there)
        .values(sent_at=now())
        .returning(TrainingRun.id)
        .execution_options(synchronize_session=False)
    )
    return list(session.scalars(sent))


def pause(session: Session, by: str) -> TrainingPause:
    """Let no run begin, and the one under way stand still; a pause that is there stays as it is."""
    made = insert(session, TrainingPause).values(kind=KIND, by=by, at=now()).on_conflict_do_nothing()
    session.execute(made)
    return session.get_one(TrainingPause, KIND)


def resume(session: Session) -> bool:
    """Let training go on; ``False`` when it was not paused."""
    gone = session.execute(delete(TrainingPause).where(TrainingPause.kind == KIND).returning(TrainingPause.kind))
    if gone.first() is None:
        return False
    waits = update(TrainingRun).where(TrainingRun.kind == KIND, TrainingRun.status == RunStatus.QUEUED)
    session.execute(waits.values(sent_at=None).execution_options(synchronize_session=False))
    return True


def paused(session: Session) -> TrainingPause | None:
    """Since when, and by whom; ``None`` while training is not paused."""
    return session.get(TrainingPause, KIND, populate_existing=True)


def dataset(session: Session, sha256: str, counts: Mapping[str, Any]) -> None:
    """Write down a dataset; the same one may be there from an earlier run."""
    made = insert(session, Dataset).values(sha256=sha256, kind=KIND, counts=dict(counts))
    session.execute(made.on_conflict_do_nothing())


def hide_version(version: ModelVersion, *, until_saved: bool) -> None:
    """Keep a version from being promoted while its files are not in the storage yet, or let it be from now on."""
    version.pruned_at = now() if until_saved else None


def unsaved(session: Session, run_id: str | None = None) -> list[ModelVersion]:
    """Versions that were not saved to the end: those of this run, or, without one, of all runs that are over."""
    query = select(ModelVersion).where(*_UNSAVED)
    if run_id is not None:
        return list(session.scalars(query.where(ModelVersion.run_id == run_id)))
    still_open = select(TrainingRun.id).where(TrainingRun.status.in_(RUN_OPEN))
    return list(session.scalars(query.where(ModelVersion.run_id.not_in(still_open))))


def forget_unsaved(session: Session, number: int) -> None:
    """Delete the row of a version that was not saved to the end, once none of its files is left."""
    session.execute(delete(ModelVersion).where(ModelVersion.id == number, *_UNSAVED))


def is_decided(session: Session, number: int) -> bool:
    """Whether anything was decided about the version of this number."""
    return bool(session.scalar(select(exists().where(Decision.version_id == number))))


_UNSAVED = (
    ModelVersion.status == ModelStatus.CHALLENGER,
    ModelVersion.pruned_at.is_not(None),
    ~exists().where(Decision.version_id == ModelVersion.id),
)
_WAITING: dict[str, Any] = {
    "status": RunStatus.QUEUED,
    "lease_token": None,
    "lease_until": None,
    "sent_at": None,
}


def _held(run_id: str, token: str) -> tuple[Any, ...]:
    return TrainingRun.id == run_id, TrainingRun.lease_token == token, TrainingRun.status == RunStatus.RUNNING


def _set(session: Session, run_id: str, token: str, **values: Any) -> bool:
    changed = (
        update(TrainingRun)
        .where(*_held(run_id, token))
        .values(**values)
        .returning(TrainingRun.id)
        .execution_options(synchronize_session=False)
    )
    return session.scalar(changed) is not None


def _end(session: Session, run_id: str, token: str, status: RunStatus, **values: Any) -> bool:
    assert RunStatus.RUNNING in before_run(status)
    moment = now()
    return _set(session, run_id, token, status=status, finished_at=moment, lease_token=None, lease_until=None, **values)
