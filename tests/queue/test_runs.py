"""Runs of training in the database: one at a time, claimed once, never lost."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import update

from copyist.db import runs
from copyist.db.learning_tables import TrainingRun
from copyist.db.session import Database
from copyist.db.states import RunStatus
from copyist.db.tables import now
from copyist.errors import NotFound, RunActive, RunEnded


def ask(db: Database) -> str:
    with db.write() as session:
        return runs.create(session, trigger="manual", requested_by="ann").id


def state(db: Database, run_id: str) -> TrainingRun:
    with db.read() as session:
        return runs.get(session, run_id)


def test_of_many_that_ask_at_once_one_gets_a_run(db: Database) -> None:
    made: list[str] = []
    refused: list[str] = []
    gate = threading.Barrier(4)

    def try_it() -> None:
        gate.wait()
        try:
            made.append(ask(db))
        except RunActive as error:
            refused.append(error.detail)

    threads = [threading.Thread(target=try_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 3)
    assert made[0] in refused[0]


def test_a_run_is_claimed_once_and_written_by_who_has_it(db: Database) -> None:
    run_id = ask(db)
    with db.write() as session:
        first, second = runs.claim(session, run_id, "t.1", 30), runs.claim(session, run_id, "t.2", 30)
        assert first is not None and second is None
        assert (first.status, first.attempts, first.started_at is not None) == (RunStatus.RUNNING, 1, True)
        assert runs.extend(session, run_id, "t.2", 30) is None
        assert not runs.note(session, run_id, "t.2", progress={"phase": "x"})
        assert not runs.complete(session, run_id, "t.2", outcome="promoted", reason="", figures={}, version_id=None)
        assert runs.note(session, run_id, "t.1", progress={"phase": "training"})
        held = runs.extend(session, run_id, "t.1", 30)
    assert held == runs.Held(cancel_asked=False, paused_by=None, reading=False)
    assert state(db, run_id).progress == {"phase": "training"}


def test_a_run_that_waits_is_cancelled_at_once_and_one_under_way_by_its_trainer(db: Database) -> None:
    waiting = ask(db)
    with db.write() as session:
        assert runs.cancel(session, waiting).status == RunStatus.CANCELLED
        with pytest.raises(RunEnded):
            runs.cancel(session, waiting)
        with pytest.raises(NotFound):
            runs.cancel(session, str(uuid4()))
    running = ask(db)
    with db.write() as session:
        runs.claim(session, running, "t", 30)
        assert runs.cancel(session, running).status == RunStatus.RUNNING
        held = runs.extend(session, running, "t", 30)
        assert held is not None and held.cancel_asked
        assert runs.cancelled(session, running, "t")
    assert state(db, running).status == RunStatus.CANCELLED


def test_a_run_whose_trainer_is_gone_waits_again_and_fails_the_third_time(db: Database) -> None:
    run_id = ask(db)
    seen = []
    for number in range(3):
        with db.write() as session:
            assert runs.claim(session, run_id, f"t.{number}", -1)
        with db.write() as session:
            assert runs.expired(session, lock=True) == [(run_id, f"t.{number}")]
            seen.append(runs.recover(session, run_id, f"t.{number}", reason="It was killed."))
            assert runs.recover(session, run_id, f"t.{number}") is None
    assert seen == [RunStatus.QUEUED, RunStatus.QUEUED, RunStatus.FAILED]
    run = state(db, run_id)
    assert (run.error_code, run.finished_at is not None) == ("trainer_lost", True)
    assert (
        run.error_detail is not None and run.error_detail.startswith("It was killed.") and "3 times" in run.error_detail
    )


def test_one_that_is_given_back_is_not_counted_and_one_that_was_cancelled_does_not_come_back(db: Database) -> None:
    run_id = ask(db)
    with db.write() as session:
        runs.claim(session, run_id, "t", 30)
        assert runs.give_back(session, run_id, "t")
    assert (state(db, run_id).attempts, state(db, run_id).status) == (0, RunStatus.QUEUED)
    with db.write() as session:
        runs.claim(session, run_id, "t", 30)
        runs.cancel(session, run_id)
        assert runs.recover(session, run_id, "t") == RunStatus.CANCELLED


def test_it_is_sent_once_and_again_when_nobody_took_it_for_long(db: Database) -> None:
    run_id = ask(db)
    with db.write() as session:
        assert runs.to_send(session, again=True) == [run_id]
        assert runs.to_send(session, again=True) == []
        long_ago = now() - timedelta(seconds=runs.RESEND_S + 1)
        session.execute(update(TrainingRun).values(sent_at=long_ago))
        assert runs.to_send(session, again=False) == []
        assert runs.to_send(session, again=True) == [run_id]


def test_while_training_is_paused_nothing_is_sent_or_begun(db: Database) -> None:
    run_id = ask(db)
    with db.write() as session:
        runs.pause(session, "ann")
        assert runs.pause(session, "bob").by == "ann"
        assert runs.to_send(session, again=True) == []
        assert runs.claim(session, run_id, "t", 30) is None
        assert runs.resume(session) and not runs.resume(session)
        assert runs.to_send(session, again=False) == [run_id]
        assert runs.claim(session, run_id, "t", 30) is not None
        runs.pause(session, "ann")
        held = runs.extend(session, run_id, "t", 30)
    assert held is not None and held.paused_by == "ann"


def test_steps_are_told_in_order_and_a_step_made_again_takes_the_place_of_the_first(db: Database) -> None:
    run_id = ask(db)
    with db.write() as session:
        runs.claim(session, run_id, "t", 30)
        told = [{"step": n, "epoch": 1, "loss": 1 / n, "learning_rate": 0.1, "seconds": 1.0} for n in (1, 2, 3)]
        runs.add_steps(session, run_id, "t", told)
        runs.add_steps(session, run_id, "t", [{"step": 3, "dev_cer": 0.5}, {**told[1], "loss": 9.0}])
        runs.add_steps(session, run_id, "another", [{**told[1], "loss": 10.0}])
        found = runs.steps(session, run_id)
        assert [(one.step, one.loss, one.dev_cer) for one in found] == [(1, 1, None), (2, 9, None), (3, 1 / 3, 0.5)]
        assert [one.step for one in runs.steps(session, run_id, after=1, limit=1)] == [2]


def test_the_newest_come_first_page_by_page(db: Database) -> None:
    ids = []
    for _ in range(3):
        ids.append(ask(db))
        with db.write() as session:
            runs.cancel(session, ids[-1])
    with db.read() as session:
        first = runs.newest(session, 2)
        rest = runs.newest(session, 2, before=first[-1])
    assert [run.id for run in (*first, *rest)] == ids[::-1]
