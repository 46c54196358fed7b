"""``copyist train``: runs and versions in the database of the settings, from a terminal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from copyist.cli import app
from copyist.db import migrate, models, runs
from copyist.db.learning_tables import Correction, LinePicture, TrainingRun
from copyist.db.session import Database
from copyist.db.states import RunStatus
from copyist.queue.routing import Sender, celery_app

Train = Callable[..., Result]


@pytest.fixture
def db(sqlite_url: str) -> Iterator[Database]:
    migrate.upgrade(sqlite_url)
    database = Database(sqlite_url)
    yield database
    database.close()


def correct(db: Database, lines: int) -> None:
    job_id = str(uuid4())
    common: dict[str, Any] = {"file_sha256": "a" * 64, "page": 1, "box": [0, 0, 9, 9], "owner": "", "source": "api"}
    by = {"engine": "trocr", "engine_version": "1"}
    with db.write() as session:
        for line in range(lines):
            session.add(Correction(job_id=job_id, line=line, before="read", after=f"line {line}", **by, **common))
            picture = {"sha256": uuid4().hex, "page_sha256": job_id, "split": "train"}
            session.add(LinePicture(job_id=job_id, page=1, line=line, lines_on_page=lines, **picture))


def make_version(db: Database) -> int:
    with db.write() as session:
        run = TrainingRun(id=str(uuid4()), kind=runs.KIND, status=RunStatus.COMPLETED, trigger="manual")
        session.add(run)
        facts: dict[str, Any] = {"base_sha256": "b" * 64, "dataset_sha256": "d" * 64, "code_version": "0.1.0"}
        figures = {"holdout": {"challenger": 0.031}, "general": {"challenger": 0.042}}
        return models.add(session, run, base="small", parameters={}, figures=figures, files={}, **facts).id


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sqlite_url: str) -> Train:
    """Run ``copyist train ARGUMENT...`` in this process, in an empty folder, so that no ``.env`` is found there."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **environment: str) -> Result:
        settings = {"DATABASE_URL": sqlite_url, "REDIS_URL": "", "TRAINING": "auto", **environment}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(app, ["train", *arguments])

    return run


def test_a_run_is_started_shown_and_its_message_sent(train: Train, db: Database, redis_url: str) -> None:
    correct(db, 20)
    too_few = train("run")
    assert (too_few.exit_code, too_few.stdout) == (1, "")
    assert "12 are missing. Correct or confirm more lines" in too_few.stderr
    correct(db, 20)
    status = train("status")
    assert status.exit_code == 0 and "40 of 50" in status.stdout and "base, as published" in status.stdout

    made = train("run", "--set", "epochs=3", REDIS_URL=redis_url)
    run_id = made.stdout.removesuffix("\n")
    assert made.exit_code == 0 and "copyist trainer" in made.stderr
    with db.read() as session:
        run = runs.get(session, run_id)
    assert (run.status, run.parameters, run.trigger) == (RunStatus.QUEUED, {"epochs": 3}, "manual")
    assert Sender(celery_app(redis_url), redis_url).waiting("training") == 1
    again = train("run")
    assert again.exit_code == 1 and run_id in again.stderr
    assert run_id in train("runs").stdout


def test_without_a_broker_named_beat_is_left_to_send_it(train: Train, db: Database) -> None:
    correct(db, 40)
    made = train("run")
    assert made.exit_code == 0 and "beat" in made.stderr
    with db.write() as session:
        assert runs.to_send(session, again=False) == [made.stdout.strip()]


def test_what_cannot_be_started_is_a_sentence(train: Train, db: Database) -> None:
    off = train("run", TRAINING="off")
    assert off.exit_code == 1 and "TRAINING" in off.stderr
    assert "There is no parameter colour. There are epochs, " in train("run", "--set", "colour=red").stderr
    for wrong in ("epochs=-1", "epochs=none", "epochs", "learning_rate=inf", "epochs=1001"):
        refused = train("run", "--set", wrong)
        assert refused.exit_code == os.EX_USAGE and wrong.partition("=")[0] in refused.stderr, wrong


def test_a_run_that_fails_is_waited_for_and_its_reason_told(train: Train, db: Database) -> None:
    correct(db, 40)

    def fail() -> None:
        until = time.monotonic() + 30
        run_id = None
        while run_id is None and time.monotonic() < until:
            with db.write() as session:
                found = runs.active(session)
                if found and runs.claim(session, found.id, "t", 30):
                    run_id = found.id
                    runs.fail(session, run_id, "t", code="disk_full", detail="There is no room.")

    with ThreadPoolExecutor(1) as pool:
        failing = pool.submit(fail)
        done = train("run", "--wait")
        failing.result()
    assert done.exit_code == 1 and "The run is failed. There is no room." in done.stderr


def test_versions_are_promoted_and_taken_back(train: Train, db: Database) -> None:
    first, second = make_version(db), make_version(db)
    assert train("promote", f"v{first}", "--reason", "It knows the new forms.").exit_code == 0
    assert train("promote", str(second)).exit_code == 0
    listed = train("models").stdout
    assert "3.1 % on held-out pages" in listed and "champion" in listed and "retired" in listed
    assert f"version {second} since" in train("status").stdout
    back = train("rollback")
    assert back.exit_code == 0 and f"Version {first} serves" in back.stderr
    with db.read() as session:
        decided = models.decisions(session)
    assert (decided[-1].reason, decided[-1].actor.endswith("(command line)")) == ("It knows the new forms.", True)
    assert "base" in train("rollback").stderr
    for arguments, status in ((("rollback",), 1), (("promote", "99"), 1), (("promote", "x"), os.EX_USAGE)):
        refused = train(*arguments)
        assert refused.exit_code == status and refused.stderr, arguments


def test_training_is_paused_and_goes_on(train: Train, db: Database) -> None:
    assert train("pause").exit_code == 0
    assert "paused by" in train("status").stdout
    correct(db, 40)
    assert "waits for `copyist train resume`" in train("run").stderr
    assert "beat" in (resumed := train("resume")).stderr and "goes on" in resumed.stderr
    with db.write() as session:
        assert runs.cancel(session, runs.newest(session, 1)[0].id)
    assert train("resume").stderr == "Training was not paused.\n"
