"""Versions of the model: one serves at a time, whoever promotes, and the way back leads to the base."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import pytest

from copyist.db import models
from copyist.db.learning_tables import ModelVersion, TrainingRun
from copyist.db.runs import KIND
from copyist.db.session import Database
from copyist.db.states import ModelStatus, RunStatus
from copyist.db.tables import now
from copyist.errors import CannotPromote, NotFound, NothingToRollBack


def make_version(db: Database) -> int:
    """A challenger, from a run that is over."""
    with db.write() as session:
        run = TrainingRun(id=str(uuid4()), kind=KIND, status=RunStatus.COMPLETED, trigger="manual")
        session.add(run)
        version = models.add(
            session,
            run,
            base="trocr-small-handwritten",
            base_sha256="b" * 64,
            dataset_sha256="d" * 64,
            parameters={"rank": 16},
            code_version="0.1.0",
            figures={"holdout": {"cer": 0.03}},
            files={"model.safetensors": {"sha256": "f" * 64, "size": 3}},
        )
        return version.id


def promote(db: Database, version: int) -> None:
    with db.write() as session:
        models.promote(session, version, actor="ann", reason="It reads better.")


def roll_back(db: Database) -> int | None:
    with db.write() as session:
        previous = models.roll_back(session, actor="ann", reason="It reads worse.")
        return previous.id if previous else None


def prune(db: Database, version: int) -> bool:
    with db.write() as session:
        return models.pruned(session, models.get(session, version))


def serving(db: Database) -> int | None:
    with db.read() as session:
        found = models.champion(session)
        return found.id if found else None


def look(db: Database, version: int) -> ModelVersion:
    with db.read() as session:
        return models.get(session, version)


def test_a_promoted_version_serves_and_the_one_before_is_retired(db: Database) -> None:
    first, second = make_version(db), make_version(db)
    assert (serving(db), look(db, first).status) == (None, ModelStatus.CHALLENGER)
    promote(db, first)
    promote(db, second)
    assert serving(db) == second
    before, after = look(db, first), look(db, second)
    assert (before.status, after.status) == (ModelStatus.RETIRED, ModelStatus.CHAMPION)
    assert before.retired_at is not None and before.retired_at == after.promoted_at
    assert (before.replaced_id, after.replaced_id) == (None, first)
    with db.read() as session:
        told = models.decisions(session)
    assert [(one.action, one.version_id, one.from_id, one.actor) for one in told] == [
        ("promoted", second, first, "ann"),
        ("promoted", first, None, "ann"),
    ]
    assert (told[0].reason, told[0].figures) == ("It reads better.", {"holdout": {"cer": 0.03}})


def test_a_version_keeps_all_that_it_came_from(db: Database) -> None:
    found = look(db, make_version(db))
    assert (found.base, found.base_sha256, found.dataset_sha256) == ("trocr-small-handwritten", "b" * 64, "d" * 64)
    assert (found.parameters, found.code_version, found.figures) == (
        {"rank": 16},
        "0.1.0",
        {"holdout": {"cer": 0.03}},
    )
    assert found.files == {"model.safetensors": {"sha256": "f" * 64, "size": 3}}


def test_rolling_back_leads_to_the_base_and_no_further(db: Database) -> None:
    first, second = make_version(db), make_version(db)
    promote(db, first)
    promote(db, second)
    assert [roll_back(db), serving(db)] == [first, first]
    assert [roll_back(db), serving(db)] == [None, None]
    with pytest.raises(NothingToRollBack):
        roll_back(db)
    assert look(db, second).status == ModelStatus.RETIRED
    with db.read() as session:
        told = models.decisions(session, limit=2)
    assert [(one.action, one.version_id, one.from_id) for one in told] == [
        ("rolled_back", None, first),
        ("rolled_back", first, second),
    ]
    # A person may have it back all the same.
    promote(db, second)
    assert (serving(db), look(db, second).replaced_id, look(db, second).retired_at) == (second, None, None)


def test_the_way_back_has_no_circle(db: Database) -> None:
    first, second = make_version(db), make_version(db)
    for version in (first, second, first):
        promote(db, version)
    assert [roll_back(db), roll_back(db)] == [second, None]


def test_rolling_back_passes_over_what_was_pruned(db: Database) -> None:
    first, second, third = (make_version(db) for _ in range(3))
    for version in (first, second, third):
        promote(db, version)
    with db.write() as session:
        models.get(session, second).pruned_at = now()
    assert roll_back(db) == first


def test_what_cannot_serve_is_not_promoted(db: Database) -> None:
    first, second = make_version(db), make_version(db)
    promote(db, first)
    with pytest.raises(CannotPromote, match="serves already"):
        promote(db, first)
    assert prune(db, second)
    with pytest.raises(CannotPromote, match="files were deleted"):
        promote(db, second)
    for none in (0, -1, second + 1, 2**31, 2**63):
        with pytest.raises(NotFound):
            promote(db, none)
    assert serving(db) == first


def test_of_promotions_at_once_each_sees_the_one_before(db: Database) -> None:
    versions = [make_version(db) for _ in range(4)]
    together = Barrier(len(versions))

    def one(version: int) -> None:
        together.wait()
        promote(db, version)

    with ThreadPoolExecutor(len(versions)) as pool:
        list(pool.map(one, versions))
    with db.read() as session:
        told = models.decisions(session)[::-1]
    # From the base on, each took the place of the one that served then.
    assert [decision.from_id for decision in told] == [None, *(decision.version_id for decision in told[:-1])]
    assert serving(db) == told[-1].version_id
    statuses = [look(db, version).status for version in versions]
    assert (statuses.count(ModelStatus.CHAMPION), statuses.count(ModelStatus.RETIRED)) == (1, 3)


def test_the_gate_notes_what_it_refuses_and_the_champion_stays(db: Database) -> None:
    first, refused, unsure = (make_version(db) for _ in range(3))
    promote(db, first)
    with db.write() as session:
        for version, action in ((refused, models.REFUSED), (unsure, models.NEEDS_REVIEW)):
            found = models.get(session, version)
            models.decide(session, found, action=action, actor=models.GATE, reason=f"{action}.", figures={"cer": 1})
    assert serving(db) == first
    with db.read() as session:
        assert [version.id for version in models.challengers(session)] == [unsure]
        told = models.decisions(session, version=refused)
    assert [(one.action, one.from_id, one.actor, one.figures) for one in told] == [
        ("refused", first, "gate", {"cer": 1})
    ]
    assert look(db, refused).status == ModelStatus.RETIRED
    promote(db, refused)
    assert serving(db) == refused


def test_neither_the_champion_nor_the_one_before_it_is_pruned(db: Database) -> None:
    versions = [make_version(db) for _ in range(6)]
    for version in versions[:2]:
        promote(db, version)
    with db.read() as session:
        may_go = models.to_prune(session, keep=2)
    assert [version.id for version in may_go] == versions[2:4][::-1]
    assert not prune(db, versions[0]) and not prune(db, versions[1])
    assert all(prune(db, version.id) for version in may_go)
    gone = look(db, versions[2])
    assert gone.pruned_at is not None and gone.status == ModelStatus.RETIRED
    with db.read() as session:
        assert models.to_prune(session, keep=2) == []
