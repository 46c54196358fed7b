"""What a trainer makes of a run, with a program in place of the real one that does whatever a test wants."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import psutil
import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from copyist import storage
from copyist.db import models, pages, runs
from copyist.db.learning_tables import Dataset, Decision, ModelVersion, TrainingRun
from copyist.db.states import ModelStatus, RunStatus
from copyist.db.tables import now
from copyist.errors import StorageFull, Unavailable
from copyist.queue import lease, run_folder, saving, supervising, training
from copyist.queue.context import Context
from copyist.storage import Storage
from tests.queue.learned import FAKE, FILES, add_lines, learning, make_version, tell_trainer
from tests.queue.rows import make_job
from tests.servers import process_environment

BOTH = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, fresh_database: Callable[[str], str]) -> str:
    """Run on SQLite; those that write the most (``BOTH``) on PostgreSQL, too. ``test_runs`` has both for the rows."""
    return fresh_database(getattr(request, "param", "sqlite"))


@pytest.fixture(autouse=True)
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "COMMAND", FAKE)
    monkeypatch.setattr(training, "TICK_S", 0.02)
    monkeypatch.setattr(lease, "BEAT_S", 0.1)
    monkeypatch.setattr(supervising, "GRACE_S", 0.5)


@pytest.fixture
def here(context: Context) -> Context:
    """Return a context in which a run has enough to learn from."""
    ready = learning(context)
    add_lines(ready, 6)
    return ready


def ask(here: Context) -> str:
    with here.db.write() as session:
        return runs.create(session, trigger="manual").id


def state(here: Context, run_id: str) -> TrainingRun:
    with here.db.read() as session:
        return runs.get(session, run_id)


def make(here: Context, run_id: str, token: str = "t") -> TrainingRun:
    training.train(here, run_id, token=token)
    return state(here, run_id)


def versions(here: Context) -> list[ModelVersion]:
    with here.db.read() as session:
        return models.newest(session)


def await_that(condition: Callable[[], Any], seconds: float = 20) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


@pytest.fixture
def making() -> Iterator[Callable[[Context, str], threading.Thread]]:
    """Make a run in a thread, as a trainer's process would, which is waited for at the end."""
    threads = []

    def start(here: Context, run_id: str) -> threading.Thread:
        thread = threading.Thread(target=training.train, args=(here, run_id), kwargs={"token": "t"}, daemon=True)
        threads.append(thread)
        thread.start()
        return thread

    yield start
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def programs() -> list[psutil.Process]:
    """The fake programs that run below this process."""
    alive = [one for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]
    return [one for one in alive if any(part.endswith("fake_trainer.py") for part in one.cmdline())]


@BOTH
def test_a_run_learns_and_its_model_is_promoted(here: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "a secret")
    tell_trainer(here)
    seen: dict[str, str] = {}
    save = training.saving.save
    monkeypatch.setattr(
        training.saving, "save", lambda *given: (seen.update(_environment(given[3].folder)), save(*given))
    )
    run = make(here, ask(here))
    assert (run.status, run.outcome, run.attempts, run.device) == (RunStatus.COMPLETED, "promoted", 1, "cpu")
    assert run.reason is not None and "5.0 %" in run.reason and "20.0 %" in run.reason
    (version,) = versions(here)
    assert (version.status, version.pruned_at, run.version_id) == (ModelStatus.CHAMPION, None, version.id)
    assert version.figures["holdout"]["challenger"] == run.figures["holdout"]["challenger"] == 0.05  # type: ignore[index]
    for name, content in FILES.items():
        assert here.storage.get(storage.model_key(version.id, name)) == content.encode()
    assert version.files["model.safetensors"]["size"] == len(FILES["model.safetensors"])
    with here.db.read() as session:
        steps, decision = runs.steps(session, run.id), session.scalars(select(Decision)).one()
        assert session.get(Dataset, run.dataset_sha256) is not None
    assert [(step.step, step.loss, step.dev_cer) for step in steps] == [(1, 1.0, None), (2, 0.5, 0.25)]
    assert (decision.action, decision.actor, decision.version_id) == ("promoted", "gate", version.id)
    assert version.dataset_sha256 == run.dataset_sha256 and version.base_sha256 == run.base_sha256
    assert not (here.settings.data_dir / "training" / run.id).exists()
    assert "a secret" not in seen.values() and seen["HF_HUB_OFFLINE"] == "1"


def _environment(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / "environment.json").read_text())
    return found


def test_what_reads_worse_is_refused_and_the_champion_serves_on(here: Context) -> None:
    champion = make_version(here)
    tell_trainer(here, before=1, after=4)
    run = make(here, ask(here))
    assert (run.status, run.outcome) == (RunStatus.COMPLETED, "refused")
    newest, before = versions(here)
    assert (newest.status, before.id, before.status) == (ModelStatus.RETIRED, champion.id, ModelStatus.CHAMPION)


@BOTH
def test_a_program_that_is_killed_is_started_again_and_goes_on(here: Context) -> None:
    tell_trainer(here, train="die")
    run_id = ask(here)
    first = make(here, run_id)
    assert (first.status, first.attempts, first.sent_at) == (RunStatus.QUEUED, 1, None)
    add_lines(here, 6)
    second = make(here, run_id, "t.2")
    assert (second.status, second.attempts, second.outcome) == (RunStatus.COMPLETED, 2, "promoted")
    assert second.dataset_sha256 == first.dataset_sha256, "it goes on with the lines that it began with"
    with here.db.read() as session:
        assert [step.step for step in runs.steps(session, run_id)] == [1, 2, 3]


def test_a_program_that_is_always_killed_fails_the_run_with_what_is_known(here: Context) -> None:
    tell_trainer(here, train="die_always")
    run_id = ask(here)
    seen = [make(here, run_id, f"t.{number}").status for number in range(3)]
    run = state(here, run_id)
    assert (seen[:2], run.status) == ([RunStatus.QUEUED] * 2, RunStatus.FAILED)
    assert run.error_code == "trainer_lost" and "memory runs out" in str(run.error_detail)
    assert versions(here) == []


@pytest.mark.parametrize(
    ("behaviour", "code", "sentence"),
    [("fail", "out_of_memory", "The memory ran out."), ("crash", "broken", "did not say why")],
)
def test_what_a_program_says_of_its_failure_is_told(here: Context, behaviour: str, code: str, sentence: str) -> None:
    tell_trainer(here, train=behaviour)
    run = make(here, ask(here))
    assert (run.status, run.error_code) == (RunStatus.FAILED, code)
    assert sentence in str(run.error_detail) and "champion serves on" in str(run.error_detail)


def test_too_few_lines_and_a_base_that_is_not_there_are_told(context: Context) -> None:
    here = learning(context)
    tell_trainer(here)
    add_lines(here, 3)
    few = make(here, ask(here))
    assert (few.status, few.error_code) == (RunStatus.FAILED, "too_few_lines")
    assert "1 are missing" in str(few.error_detail)
    (here.settings.data_dir / "trocr-base" / "model.safetensors").unlink()
    missing = make(here, ask(here))
    assert (missing.status, missing.error_code) == (RunStatus.FAILED, "base_model_missing")
    assert "model.safetensors is missing" in str(missing.error_detail)


def test_a_run_that_is_cancelled_is_stopped_with_all_that_it_has_started(
    here: Context, making: Callable[[Context, str], threading.Thread]
) -> None:
    tell_trainer(here, train="deaf")
    run_id = ask(here)
    thread = making(here, run_id)
    place = here.settings.data_dir / "training" / "child"
    child = psutil.Process(int(await_that(lambda: place.exists() and place.read_text())))
    with here.db.write() as session:
        runs.cancel(session, run_id)
    thread.join(20)
    assert state(here, run_id).status == RunStatus.CANCELLED
    assert programs() == []
    await_that(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_run_that_somebody_else_took_over_is_left_to_him(
    here: Context, making: Callable[[Context, str], threading.Thread]
) -> None:
    tell_trainer(here, train="wait")
    run_id = ask(here)
    thread = making(here, run_id)
    await_that(programs)
    with here.db.write() as session:
        session.execute(update(TrainingRun).values(lease_token="another"))
    thread.join(20)
    assert programs() == []
    run = state(here, run_id)
    assert (run.status, run.lease_token, versions(here)) == (RunStatus.RUNNING, "another", [])


def test_training_stands_still_while_pages_are_read_or_somebody_pauses_it(
    here: Context, making: Callable[[Context, str], threading.Thread]
) -> None:
    tell_trainer(here, train="wait")
    run_id = ask(here)
    thread = making(here, run_id)
    (program,) = await_that(programs)
    job_id = make_job(here, 1)
    with here.db.write() as session:
        claim = pages.claim(session, job_id, 1, token="p", lease_s=60, max_attempts=3)
        assert claim is not None
    await_that(lambda: program.status() == psutil.STATUS_STOPPED)
    assert "Pages are being read" in await_that(lambda: state(here, run_id).progress.get("paused"))
    with here.db.write() as session:
        pages.give_back(session, claim.lease)
        runs.pause(session, "ann")
    await_that(lambda: "paused by ann" in str(state(here, run_id).progress.get("paused")))
    (here.settings.data_dir / "training" / "go").touch()
    with here.db.write() as session:
        runs.resume(session)
    thread.join(20)
    assert (state(here, run_id).status, state(here, run_id).progress["paused"]) == (RunStatus.COMPLETED, None)


def test_a_run_that_takes_longer_than_it_may_fails(here: Context) -> None:
    short = replace(here, settings=here.settings.model_copy(update={"train_time_limit_h": 0.2 / 3600}))
    tell_trainer(short, train="deaf")
    run = make(short, ask(short))
    assert (run.status, run.error_code) == (RunStatus.FAILED, "time_limit")
    assert programs() == []


def test_the_folder_stays_that_somebody_goes_on_in(here: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    tell_trainer(here, train="die")
    run_id, end = ask(here), training._end

    def end_and_be_followed(*given: Any) -> None:
        end(*given)
        with here.db.write() as session:
            assert runs.claim(session, run_id, "another", 30)

    monkeypatch.setattr(training, "_end", end_and_be_followed)
    make(here, run_id)
    assert (here.settings.data_dir / "training" / run_id / "checkpoint").exists()


def test_the_folder_goes_of_a_run_that_was_cancelled_while_no_trainer_had_it(here: Context) -> None:
    tell_trainer(here, train="die")
    run_id = ask(here)
    make(here, run_id)
    folder = run_folder.place(here) / run_id
    run_folder.forget_others(here)
    assert folder.exists()
    with here.db.write() as session:
        runs.cancel(session, run_id)
    run_folder.forget_others(here)
    assert [path.name for path in folder.parent.iterdir()] == ["fake.json"]


class Failing(Storage):
    """A storage in which something stands in the way of everything after so many files of models."""

    def __init__(self, url: str, error: Exception, after: int) -> None:
        super().__init__(url)
        self._error, self._after, self.keys = error, after, [""]

    def put(self, key: str, content: IO[bytes] | bytes) -> None:
        if key.startswith("models/"):
            self.keys.append(key)
            if len(self.keys) > self._after + 1:
                raise self._error
        super().put(key, content)


@BOTH
def test_a_full_disk_leaves_nothing_of_the_new_model_behind(here: Context) -> None:
    champion = make_version(here)
    tell_trainer(here)
    full = Failing(here.settings.storage, StorageFull(), after=1)
    run = make(replace(here, storage=full), ask(here))
    assert (run.status, run.error_code) == (RunStatus.FAILED, "disk_full")
    assert "champion serves on" in str(run.error_detail)
    assert len(full.keys) == 3 and [key for key in full.keys if key and here.storage.exists(key)] == []
    assert [version.id for version in versions(here)] == [champion.id]


def test_a_storage_that_is_away_costs_no_attempt_and_training_is_not_done_again(here: Context) -> None:
    tell_trainer(here)
    away = replace(here, storage=Failing(here.settings.storage, Unavailable(what="The storage"), after=1))
    run_id = ask(here)
    run = make(away, run_id)
    assert (run.status, run.attempts, run.sent_at is not None) == (RunStatus.QUEUED, 0, True)
    tell_trainer(here, train="fail", evaluate="fail")
    assert make(here, run_id, "t.2").outcome == "promoted"
    assert len(versions(here)) == 1


def test_nothing_stays_of_a_model_whose_run_was_taken_over_while_it_was_saved(here: Context) -> None:
    tell_trainer(here)

    class TakenOver(Storage):
        def put(self, key: str, content: IO[bytes] | bytes) -> None:
            if key.startswith("models/"):
                keys.append(key)
                with here.db.write() as session:
                    session.execute(update(TrainingRun).values(lease_token="another"))
                    session.execute(delete(ModelVersion))
            super().put(key, content)

    keys: list[str] = []
    run = make(replace(here, storage=TakenOver(here.settings.storage)), ask(here))
    assert (run.status, run.lease_token) == (RunStatus.RUNNING, "another")
    assert keys and not any(here.storage.exists(key) for key in keys)


def test_a_model_that_was_compared_with_another_champion_waits_for_a_person(
    here: Context, making: Callable[[Context, str], threading.Thread]
) -> None:
    tell_trainer(here, evaluate="wait")
    run_id, other = _promote_meanwhile(here, making)
    run = state(here, run_id)
    assert (run.outcome, "put to serve" in str(run.reason)) == ("needs_review", True)
    with here.db.read() as session:
        champion = models.champion(session)
    assert champion is not None and champion.id == other


def test_a_model_is_compared_with_the_champion_that_was_put_to_serve_while_it_was_trained(
    here: Context, making: Callable[[Context, str], threading.Thread]
) -> None:
    tell_trainer(here, train="wait")
    run_id, other = _promote_meanwhile(here, making)
    assert state(here, run_id).outcome == "promoted"
    assert versions(here)[0].replaced_id == other


def _promote_meanwhile(here: Context, making: Callable[[Context, str], threading.Thread]) -> tuple[str, int]:
    """Make a run, and let another version serve while one of its programs waits; gives both."""
    run_id = ask(here)
    thread = making(here, run_id)
    await_that(lambda: state(here, run_id).progress.get("step") == 1 and programs())
    with here.db.write() as session:
        other = _add_version(session, run_id)
        models.promote(session, other.id, actor="ann", reason="")
    (here.settings.data_dir / "training" / "go").touch()
    thread.join(20)
    return run_id, other.id


def _add_version(session: Session, run_id: str, files: dict[str, Any] | None = None) -> ModelVersion:
    facts = {"base": "b", "base_sha256": "b", "dataset_sha256": "d", "code_version": ""}
    return models.add(session, runs.get(session, run_id), parameters={}, figures={}, files=files or {}, **facts)


@BOTH
def test_files_of_old_versions_are_deleted_and_never_those_of_the_champion(here: Context) -> None:
    frugal = replace(here, settings=here.settings.model_copy(update={"keep_models": 1}))
    serves, *others = [make_version(here, promote=number == 0) for number in range(3)]
    tell_trainer(here, before=1, after=4)
    assert make(frugal, ask(here)).outcome == "refused"
    newest = versions(here)[0]
    kept = [one.id for one in versions(here) if here.storage.exists(storage.model_key(one.id, "config.json"))]
    assert kept == [newest.id, serves.id]
    assert [one.pruned_at is not None for one in versions(here)] == [False, True, True, False]
    assert [other.id for other in others] == [2, 3]


def test_what_could_not_be_deleted_or_was_never_saved_whole_is_deleted_after_a_later_run(here: Context) -> None:
    class Stuck(Storage):
        def delete(self, *keys: str) -> None:
            raise Unavailable(what="The storage")

    frugal = replace(here, settings=here.settings.model_copy(update={"keep_models": 1}))
    old, _ = make_version(here, promote=False), make_version(here, promote=False)
    run_id = ask(here)
    with here.db.write() as session:
        half = _add_version(session, run_id, FILES)
        runs.hide_version(half, until_saved=True)
        runs.cancel(session, run_id)
    here.storage.put(storage.model_key(half.id, "config.json"), b"{}")
    saving.prune(replace(frugal, storage=Stuck(here.settings.storage)))
    saving.prune(frugal)
    saving.prune(frugal)
    left = [one for one in (old.id, half.id) for name in FILES if here.storage.exists(storage.model_key(one, name))]
    assert left == []
    with here.db.read() as session:
        assert session.get(ModelVersion, half.id) is None and models.get(session, old.id).pruned_at is not None


def test_a_trainer_that_is_killed_takes_its_program_along_and_the_run_is_taken_up_again(
    here: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_trainer(here, train="wait")
    run_id = ask(here)
    settings = here.settings
    script = (
        "import sys\nfrom copyist.queue import training\nfrom copyist.queue.footing import connect\n"
        "from copyist import settings\n"
        f"training.COMMAND = {FAKE!r}\ntraining.train(connect(settings.load()), sys.argv[1], token='dead')"
    )
    environment = process_environment(
        DATA_DIR=str(settings.data_dir),
        DATABASE_URL=settings.database_url,
        REDIS_URL=settings.redis_url,
        OCR_MODEL=str(settings.ocr_model),
        TRAIN_MIN_LINES="4",
    )
    trainer = subprocess.Popen([sys.executable, "-c", script, run_id], env=environment)
    try:
        (program,) = await_that(programs, 60)
    finally:
        os.kill(trainer.pid, signal.SIGKILL)
        trainer.wait()
    await_that(lambda: not program.is_running() or program.status() == psutil.STATUS_ZOMBIE)
    with here.db.write() as session:
        assert runs.expired(session) == []
        session.execute(update(TrainingRun).values(lease_until=now()))
    with here.db.write() as session:
        assert runs.recover(session, run_id, "dead") == RunStatus.QUEUED
    (settings.data_dir / "training" / "go").touch()
    assert make(here, run_id).outcome == "promoted"
