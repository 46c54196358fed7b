"""Versions of the model: which there are, which one serves, and who decided that.

At most one version is the champion; without one the base serves, as published. Every change of that is one transaction
under one lock, so that of two promotions at once the second sees what the first has done. The champion and what it
replaced, that one's own ``replaced_id``, and so on, are the way back: a version stands in it once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from copyist.db.insert import insert
from copyist.db.learning_tables import Decision, ModelVersion, TrainingRun
from copyist.db.runs import KIND
from copyist.db.states import ModelStatus, before_model
from copyist.db.tables import Lock, now
from copyist.errors import CannotPromote, NotFound, NothingToRollBack

GATE = "gate"
"""Who decides where no person does."""
PROMOTED, REFUSED, NEEDS_REVIEW, ROLLED_BACK = "promoted", "refused", "needs_review", "rolled_back"
_LARGEST_ID = 2**31 - 1


def lock(session: Session) -> None:
    """Let nobody else change versions until this transaction ends; what was loaded before is looked up anew."""
    moment = now()
    held = insert(session, Lock).values(name=f"models of {KIND}", holder="", until=moment)
    # There need be no version yet, so the lock is on a row that is there for nothing else.
    session.execute(held.on_conflict_do_update(index_elements=[Lock.name], set_={"until": moment}))
    session.flush()
    for loaded in session.identity_map.values():
        if isinstance(loaded, ModelVersion):
            session.expire(loaded)


def champion(session: Session) -> ModelVersion | None:
    """The version that serves; ``None``: the base does."""
    serves = (ModelVersion.kind == KIND, ModelVersion.status == ModelStatus.CHAMPION)
    return session.scalar(select(ModelVersion).where(*serves))


def get(session: Session, version: int) -> ModelVersion:
    """The version of this number; raises ``NotFound``."""
    # PostgreSQL refuses numbers that do not fit into the column.
    found = session.get(ModelVersion, version) if 0 < version <= _LARGEST_ID else None
    if found is None or found.kind != KIND:
        raise NotFound(what="version of the model")
    return found


def newest(session: Session, *, limit: int | None = None, before: int | None = None) -> list[ModelVersion]:
    """Versions, newest first, from below the number ``before``; but for one whose files are still being saved."""
    is_saved = or_(ModelVersion.status != ModelStatus.CHALLENGER, ModelVersion.pruned_at.is_(None))
    query = select(ModelVersion).where(ModelVersion.kind == KIND, is_saved)
    query = query.order_by(ModelVersion.id.desc()).limit(limit)
    if before is not None:
        query = query.where(ModelVersion.id < before)
    return list(session.scalars(query))


def cer(version: ModelVersion, lines: str) -> float | None:
    """The share of wrong characters (0 to 1) that the gate found on ``lines``: ``holdout`` or ``general``."""
    found = version.figures.get(lines)
    value = found.get("challenger") if isinstance(found, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def challengers(session: Session) -> list[ModelVersion]:
    """The versions that wait for a person to decide about them, newest first."""
    return [version for version in newest(session) if version.status == ModelStatus.CHALLENGER]


def decisions(
    session: Session, *, limit: int | None = None, before: int | None = None, version: int | None = None
) -> list[Decision]:
    """Decisions, newest first, from before the one with the id ``before``; all of them, or about one version."""
    query = select(Decision).where(Decision.kind == KIND).order_by(Decision.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Decision.id < before)
    if version is not None:
        query = query.where((Decision.version_id == version) | (Decision.from_id == version))
    return list(session.scalars(query))


def add(
    session: Session,
    run: TrainingRun,
    *,
    base: str,
    base_sha256: str,
    dataset_sha256: str,
    parameters: Mapping[str, Any],
    code_version: str,
    figures: Mapping[str, Any],
    files: Mapping[str, Any],
) -> ModelVersion:
    """Write down what a run has made: a challenger."""
    lock(session)
    version = ModelVersion(
        kind=run.kind,
        run_id=run.id,
        base=base,
        base_sha256=base_sha256,
        dataset_sha256=dataset_sha256,
        parameters=dict(parameters),
        code_version=code_version,
        figures=dict(figures),
        files=dict(files),
    )
    session.add(version)
    session.flush()
    return version


def decide(
    session: Session, version: ModelVersion, *, action: str, actor: str, reason: str, figures: Mapping[str, Any]
) -> Decision:
    """Write down a decision that leaves the champion as it is; a challenger that was refused is retired by it."""
    lock(session)
    version, serves = get(session, version.id), champion(session)
    if action == REFUSED and version.status == ModelStatus.CHALLENGER:
        version.status, version.retired_at = ModelStatus.RETIRED, now()
    return _note(
        session, action, version.id, serves.id if serves else None, actor=actor, reason=reason, figures=figures
    )


def promote(
    session: Session, version_id: int, *, actor: str, reason: str, figures: Mapping[str, Any] | None = None
) -> ModelVersion:
    """Let a version serve in place of the champion, which is retired.

    Raises ``NotFound``, and ``CannotPromote`` for the champion itself and for a version whose files were deleted.
    """
    lock(session)
    version = get(session, version_id)
    if version.pruned_at is not None and version.status == ModelStatus.CHALLENGER:
        raise CannotPromote(version=version_id, reason="its files are still being saved. Try again in a moment.")
    if version.pruned_at is not None:
        reason = f"its files were deleted on {version.pruned_at:%Y-%m-%d}. Train a new version."
        raise CannotPromote(version=version_id, reason=reason)
    if version.status not in before_model(ModelStatus.CHAMPION):
        raise CannotPromote(version=version_id, reason="it serves already.")
    before = champion(session)
    for newer in _way_back(session, before):
        if newer.replaced_id == version.id:
            # Else the way back would lead round in a circle.
            newer.replaced_id = version.replaced_id
    version.replaced_id = before.id if before else None
    _change(session, before, version)
    _note(
        session,
        PROMOTED,
        version.id,
        version.replaced_id,
        actor=actor,
        reason=reason,
        figures=version.figures if figures is None else figures,
    )
    return version


def roll_back(session: Session, *, actor: str, reason: str) -> ModelVersion | None:
    """Let the version serve again that the champion replaced, or the one before it where that is pruned.

    Gives ``None`` where that is the base as published. Raises ``NothingToRollBack`` if it serves already.
    """
    lock(session)
    serves = champion(session)
    if serves is None:
        raise NothingToRollBack
    previous = _previous(session, serves)
    _change(session, serves, previous)
    _note(session, ROLLED_BACK, previous.id if previous else None, serves.id, actor=actor, reason=reason, figures={})
    return previous


def to_prune(session: Session, keep: int) -> list[ModelVersion]:
    """Versions whose files may go: all but the champion, the one before it, and the ``keep`` newest of the others."""
    kept = _kept(session)
    aside = [
        version for version in newest(session) if version.pruned_at is None and version.status != ModelStatus.CHAMPION
    ]
    return [version for version in aside[keep:] if version.id not in kept]


def pruned(session: Session, version: ModelVersion) -> bool:
    """Write down that the version's files go; ``False``, and nothing is done, if it has come to be needed meanwhile.

    Its row, with where it came from and its figures, stays.
    """
    lock(session)
    found = session.get(ModelVersion, version.id, populate_existing=True)
    if found is None or found.id in _kept(session):
        return False
    moment = now()
    found.pruned_at = found.pruned_at or moment
    if found.status == ModelStatus.CHALLENGER:
        found.status, found.retired_at = ModelStatus.RETIRED, moment
    session.flush()
    return True


def _change(session: Session, before: ModelVersion | None, after: ModelVersion | None) -> None:
    moment = now()
    if before is not None:
        before.status, before.retired_at = ModelStatus.RETIRED, moment
    # The database never sees two champions: one goes before the other comes.
    session.flush()
    if after is not None:
        after.status, after.promoted_at, after.retired_at = ModelStatus.CHAMPION, moment, None
    session.flush()


def _way_back(session: Session, serves: ModelVersion | None) -> Iterator[ModelVersion]:
    """The champion, what it replaced, what that one had replaced, and so on to the first."""
    while serves is not None:
        yield serves
        serves = None if serves.replaced_id is None else session.get(ModelVersion, serves.replaced_id)


def _previous(session: Session, serves: ModelVersion) -> ModelVersion | None:
    """What serves after a roll back from the champion; ``None``: the base."""
    way = _way_back(session, serves)
    next(way)
    return next((version for version in way if version.pruned_at is None), None)


def _kept(session: Session) -> set[int]:
    """The champion, and the one before it."""
    serves = champion(session)
    if serves is None:
        return set()
    previous = _previous(session, serves)
    return {serves.id} if previous is None else {serves.id, previous.id}


def _note(
    session: Session,
    action: str,
    version_id: int | None,
    from_id: int | None,
    *,
    actor: str,
    reason: str,
    figures: Mapping[str, Any],
) -> Decision:
    decision = Decision(
        kind=KIND,
        action=action,
        version_id=version_id,
        from_id=from_id,
        actor=actor,
        reason=reason,
        figures=dict(figures),
    )
    session.add(decision)
    session.flush()
    return decision
