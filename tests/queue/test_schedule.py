"""When training begins by itself, who is sent what, and a real trainer that takes it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from copyist.db import presence, runs, training_plan
from copyist.db.learning_tables import TrainingRun
from copyist.db.states import RunStatus
from copyist.db.tables import Lock, now
from copyist.engines.base import Stop
from copyist.queue import schedule, upkeep
from copyist.queue.alone import alone
from copyist.queue.context import Context
from tests.queue.learned import add_lines, learning
from tests.servers import process_environment


@pytest.fixture
def database_url(request: pytest.FixtureRequest, fresh_database: Callable[[str], str]) -> str:
    """Run on SQLite where the test does not say otherwise: ``test_runs`` has both for the rows."""
    return fresh_database(getattr(request, "param", "sqlite"))


@pytest.fixture
def here(context: Context) -> Context:
    return learning(context)


def look(here: Context) -> TrainingRun | None:
    """Look as beat does each minute, and give the run that waits then."""
    assert schedule.maybe_start(here) is False
    with here.db.read() as session:
        return runs.active(session)


def end(here: Context) -> None:
    """Let the run that waits be made, with all that was corrected so far."""
    with here.db.write() as session:
        run = runs.active(session)
        assert run is not None and runs.claim(session, run.id, "t", 30)
        last = 10**6 if run.last_correction_id is None else run.last_correction_id
        runs.note(session, run.id, "t", last_correction_id=last, dataset_sha256="d")
        runs.complete(session, run.id, "t", outcome="refused", reason="", figures={}, version_id=None)


def set_to(here: Context, **settings: Any) -> Context:
    return replace(here, settings=here.settings.model_copy(update=settings))


def sent(here: Context) -> int:
    return here.sender.waiting("training")


def test_a_run_begins_with_enough_new_corrections_and_only_one(here: Context) -> None:
    add_lines(here, 3)
    assert look(here) is None
    add_lines(here, 1)
    run = look(here)
    assert run is not None and (run.trigger, run.status, sent(here)) == ("corrections", RunStatus.QUEUED, 1)
    again = look(here)
    assert again is not None and (again.id, sent(here)) == (run.id, 1)
    end(here)
    assert look(here) is None, "nothing is new"


def test_after_a_run_that_failed_none_begins_for_a_while(here: Context) -> None:
    add_lines(here, 4)
    run = look(here)
    assert run is not None
    with here.db.write() as session:
        assert runs.claim(session, run.id, "t", 30)
        runs.fail(session, run.id, "t", code="out_of_memory", detail="")
    assert look(here) is None, "it would fail the same way, each minute"
    with here.db.write() as session:
        session.execute(update(TrainingRun).values(finished_at=now() - training_plan.RETRY_AFTER))
    assert look(here) is not None


@pytest.mark.parametrize("why", ["off", "paused", "too few"])
def test_none_begins_where_training_is_off_or_paused_or_has_too_few_lines(here: Context, why: str) -> None:
    add_lines(here, 4)
    if why == "off":
        here = set_to(here, training="off")
    elif why == "too few":
        here = set_to(here, train_min_lines=5)
    else:
        with here.db.write() as session:
            runs.pause(session, "ann")
    assert look(here) is None


def test_the_night_has_its_run_once_if_anything_is_new(here: Context) -> None:
    at = (datetime.now().astimezone() - timedelta(minutes=5)).strftime("%H:%M")
    here = set_to(here, retrain_after=100, train_at=at)
    add_lines(here, 4)
    assert look(here) is None, "it was started after that time, and waits for the next"
    _let_the_night_come(here)
    run = look(here)
    assert run is not None and run.trigger == "nightly"
    end(here)
    _let_the_night_come(here)
    assert look(here) is None, "nothing is new"
    add_lines(here, 1)
    assert look(here) is None, "the turn of this night is over"


def _let_the_night_come(here: Context) -> None:
    with here.db.write() as session:
        session.execute(update(Lock).where(Lock.name.startswith("training nightly")).values(until=now()))


class Counted:
    def __init__(self, train: int, new: int) -> None:
        self.train, self.new = train, new


@pytest.mark.parametrize(
    ("train", "new", "nightly", "said"),
    [
        (20, 20, False, "12 are missing"),
        (40, 10, False, "10 lines are new since the last run; the next begins with 50, or one at 02:00."),
        (40, 0, True, "No line is new"),
        (40, 1, True, None),
        (60, 50, False, None),
    ],
)
def test_why_no_run_begins_is_said_in_a_sentence(train: int, new: int, nightly: bool, said: str | None) -> None:
    rules = training_plan.Rules(is_on=True, retrain_after=50, min_lines=32, nightly_at="02:00")
    reason = training_plan.why_not(Counted(train, new), rules, nightly=nightly)
    assert reason is None if said is None else reason is not None and said in reason


def test_the_sweep_sends_what_was_not_sent_and_puts_back_what_lost_its_trainer(here: Context) -> None:
    with here.db.write() as session:
        run_id = runs.create(session, trigger="manual").id
    upkeep.run_sweep(here)
    upkeep.run_sweep(here)
    assert sent(here) == 1
    with here.db.write() as session:
        session.execute(update(TrainingRun).values(sent_at=now() - timedelta(minutes=2)))
    upkeep.run_sweep(here)
    assert sent(here) == 1, "nobody is there to take it"
    with here.db.write() as session:
        presence.show(session, "t", queues=["training"], concurrency=0, engines={})
    upkeep.run_sweep(here)
    assert sent(here) == 2
    with here.db.write() as session:
        assert runs.claim(session, run_id, "t", -1)
    upkeep.run_sweep(here)
    with here.db.read() as session:
        assert runs.get(session, run_id).status == RunStatus.QUEUED
    assert sent(here) == 3


def test_a_trainer_that_wakes_up_while_the_sweep_looks_keeps_its_run(
    here: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    with here.db.write() as session:
        run_id = runs.create(session, trigger="manual").id
        assert runs.claim(session, run_id, "t", -1)
    look_up = runs.expired

    def look_up_and_wake(session: Session, **how: bool) -> list[tuple[str, str]]:
        found = look_up(session, **how)
        if found and not how:
            with here.db.write() as other:
                assert runs.extend(other, run_id, "t", 30)
        return found

    monkeypatch.setattr(runs, "expired", look_up_and_wake)
    schedule.recover_expired(here)
    with here.db.read() as session:
        assert runs.get(session, run_id).status == RunStatus.RUNNING


def test_a_trainer_is_no_worker_that_reads(here: Context) -> None:
    with here.db.write() as session:
        assert not presence.trainer_alive(session)
        before = presence.capacity(session), presence.engines(session), presence.on_gpu(session)
        presence.show(session, "t", queues=["training"], concurrency=0, engines={})
        assert presence.trainer_alive(session)
        after = presence.capacity(session), presence.engines(session), presence.on_gpu(session)
    assert after == ({**before[0], "training": 0}, *before[1:])


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_real_trainer_takes_a_run_gives_it_back_when_it_stops_and_signs_off(here: Context, tmp_path: Path) -> None:
    settings = here.settings
    environment = process_environment(
        DATABASE_URL=settings.database_url, REDIS_URL=settings.redis_url, DATA_DIR=str(settings.data_dir)
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "copyist", "trainer"], env=environment, cwd=tmp_path, stdout=log, stderr=log
        )

    def await_that(condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until and process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)

    def is_alive() -> bool:
        with here.db.read() as session:
            return presence.trainer_alive(session)

    def state() -> TrainingRun:
        with here.db.read() as session:
            return runs.get(session, run_id)

    try:
        await_that(is_alive)
        with here.db.write() as session:
            run_id = runs.create(session, trigger="manual").id
        (settings.data_dir / "training").mkdir()
        # Its folder is held, so that it waits there, as it would for hours while it trains.
        with alone(settings.data_dir / "training" / f"{run_id}.lock", Stop()):
            here.sender.train(run_id)
            await_that(lambda: state().status == RunStatus.RUNNING)
            process.terminate()
            assert process.wait(30) == 0
        assert (state().status, state().attempts, is_alive()) == (RunStatus.QUEUED, 0, False)
    finally:
        process.kill()
        process.wait()
