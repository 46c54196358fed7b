"""How workers come to the model that serves, and keep what serves while they cannot."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from copyist import storage
from copyist.db import jobs, models
from copyist.db.states import PageStatus
from copyist.db.tables import Page
from copyist.engines.base import Stop, TimedOut
from copyist.engines.registry import Registry
from copyist.engines.setup import engine_settings
from copyist.errors import Unavailable
from copyist.queue import champion, intake, reading
from copyist.queue.context import Context
from copyist.storage import Storage
from tests.queue.learned import FILES, learning, make_version, write_base

OURS = {"mode": "handwriting"}


@pytest.fixture
def database_url(fresh_database: Callable[[str], str]) -> str:
    """Run on SQLite alone: which version serves is looked up as ``tests/db/test_models.py`` does on both."""
    return fresh_database("sqlite")


@pytest.fixture
def here(context: Context) -> Context:
    return learning(context)


@pytest.fixture
def base(here: Context) -> str:
    """Return the hash of the base's weights."""
    return hashlib.sha256((here.settings.data_dir / "trocr-base" / "model.safetensors").read_bytes()).hexdigest()


def home(here: Context) -> Path:
    return here.settings.data_dir / "models"


def served(here: Context) -> dict[str, str] | None:
    """The files that an engine finds behind the link now."""
    link = home(here) / "handwriting"
    return {path.name: path.read_text() for path in sorted(link.iterdir())} if link.exists() else None


def refresh(here: Context) -> None:
    if champion.is_due(here, OURS):
        champion.refresh(here)


def after_a_while(here: Context) -> None:
    champion._not_before.clear()
    champion._check_at.clear()


def test_only_pages_that_it_reads_ask_for_it(here: Context, base: str) -> None:
    assert not champion.is_due(here, OURS), "the base serves"
    make_version(here, base_sha256=base)
    asking = [{"mode": "handwriting"}, {"engine": "trocr"}, {"mode": "document"}, {"engine": "tesseract"}, {}]
    assert [champion.is_due(here, options) for options in asking] == [True, True, False, False, False]


def test_a_new_champion_is_taken_and_a_roll_back_brings_the_one_before_and_then_the_base(
    here: Context, base: str
) -> None:
    assert served(here) is None
    first = make_version(here, base_sha256=base)
    refresh(here)
    assert served(here) == FILES
    second = make_version(here, base_sha256=base, files={**FILES, "model.safetensors": "better"})
    refresh(here)
    assert served(here) == {**FILES, "model.safetensors": "better"}
    assert not champion.is_due(here, OURS)
    assert champion.told(here) == {"version": second.id, "problem": ""}
    for expected in (FILES, None):
        with here.db.write() as session:
            models.roll_back(session, actor="ann", reason="")
        refresh(here)
        assert served(here) == expected
    assert {path.name for path in home(here).iterdir() if path.is_dir()} <= {str(first.id), str(second.id)}


def test_all_machines_give_a_version_the_same_name_and_the_base_has_its_own_back(here: Context, base: str) -> None:
    """The name is a part of the cache's key: readings of the base count again after a roll back."""

    def name(where: Context) -> str:
        return Registry(engine_settings(where.settings.model_dump())).check("trocr").version

    files = {path.name: path.read_text("latin-1") for path in (here.settings.data_dir / "trocr-base").iterdir()}
    weights = (here.settings.data_dir / "trocr-base" / "model.safetensors").read_bytes()
    version = make_version(here, base_sha256=base, files={one: text for one, text in files.items() if "json" in one})
    with here.db.write() as session:
        row = models.get(session, version.id)
        facts = {"sha256": hashlib.sha256(weights).hexdigest(), "size": len(weights)}
        row.files = {**row.files, "model.safetensors": facts}
    here.storage.put(storage.model_key(version.id, "model.safetensors"), weights)
    elsewhere = replace(
        here, settings=here.settings.model_copy(update={"data_dir": here.settings.data_dir / "elsewhere"})
    )
    before = name(here)
    refresh(here)
    time.sleep(0.01)
    refresh(elsewhere)
    assert name(here) == name(elsewhere) != before
    with here.db.write() as session:
        models.roll_back(session, actor="ann", reason="")
    refresh(here)
    assert name(here) == before


class Away(Storage):
    """A storage that breaks off in the middle of a file."""

    def open(self, key: str) -> tuple[int, Generator[bytes]] | None:
        def half() -> Generator[bytes]:
            yield b"half"
            raise Unavailable(what="The storage")

        return 8, half()


def test_while_the_storage_is_away_what_served_serves_on_and_it_is_not_asked_for_each_page(
    here: Context, base: str, caplog: pytest.LogCaptureFixture
) -> None:
    make_version(here, base_sha256=base)
    refresh(here)
    newer = make_version(here, base_sha256=base, files={"config.json": "newer"})
    away = replace(here, storage=Away(here.settings.storage))
    for _ in range(3):
        refresh(away)
    assert served(here) == FILES
    assert caplog.text.count("what served before serves on") == 1
    assert "could not be fetched" in champion.told(here)["problem"]
    after_a_while(here)
    refresh(here)
    assert served(here) == {"config.json": "newer"}
    assert champion.told(here) == {"version": newer.id, "problem": ""}
    assert [path for path in home(here).iterdir() if path.name.startswith(champion.PART)] == []


def test_what_a_process_left_that_was_killed_while_it_fetched_is_in_nobodys_way(here: Context, base: str) -> None:
    version = make_version(here, base_sha256=base)
    left = home(here) / f"{champion.PART}{version.id}-{os.getpid()}"
    left.mkdir(parents=True)
    (left / "config.json").write_text("half")
    refresh(here)
    assert served(here) == FILES
    assert not left.exists()


def test_another_version_that_had_the_same_number_is_not_served(here: Context, base: str) -> None:
    """As there may be one after the database was brought back from a backup."""
    version = make_version(here, base_sha256=base)
    refresh(here)
    with here.db.write() as session:
        models.get(session, version.id).created_at += timedelta(minutes=1)
    (home(here) / str(version.id) / "config.json").write_text("[]")
    after_a_while(here)
    refresh(here)
    assert served(here) == FILES


def test_files_that_are_not_as_they_were_written_are_never_served(here: Context, base: str) -> None:
    version = make_version(here, base_sha256=base)
    here.storage.put(storage.model_key(version.id, "model.safetensors"), b"damaged")
    refresh(here)
    assert served(here) is None
    assert "model.safetensors is not in the storage as it was written" in champion.told(here)["problem"]


def test_where_another_base_lies_it_serves_and_that_is_told(
    here: Context, base: str, caplog: pytest.LogCaptureFixture
) -> None:
    make_version(here, base_sha256=base)
    refresh(here)
    write_base(here.settings.data_dir / "trocr-base", seed=1)
    for _ in range(2):
        after_a_while(here)
        refresh(here)
    assert served(here) is None
    assert caplog.text.count("was trained from another base") == 1
    assert "the base serves" in champion.told(here)["problem"]


def test_of_several_processes_one_fetches_and_the_others_find_it_done(here: Context, base: str) -> None:
    make_version(here, base_sha256=base)
    opened = []

    class Slow(Storage):
        def open(self, key: str) -> tuple[int, Generator[bytes]] | None:
            opened.append(key)
            time.sleep(0.3)
            return super().open(key)

    slow = replace(here, storage=Slow(here.settings.storage))
    threads = [threading.Thread(target=champion.refresh, args=(slow,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(opened), served(here)) == (len(FILES), FILES)


def test_a_fetch_that_takes_too_long_ends_and_the_page_is_read_by_what_serves(here: Context, base: str) -> None:
    make_version(here, base_sha256=base)
    stop = Stop()
    stop.ask(TimedOut("It did not finish within 300 s."))
    champion.refresh(here, stop)
    assert served(here) is None and not champion.is_due(here, OURS)


def test_a_job_of_handwriting_brings_it_here_before_its_pages_are_looked_up(
    here: Context, base: str, own_samples: Path
) -> None:
    content = (own_samples / "note.png").read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    here.storage.put(storage.file_key(sha256), content)

    def upload(mode: str) -> str:
        job_id = str(uuid4())
        facts = {"sha256": sha256, "size": len(content), "kind": "png", "labels": {}, "priority": 3, "queue": "cpu"}
        with here.db.write() as session:
            jobs.create(session, job_id=job_id, filename="note.png", options={"mode": mode}, **facts)
        return job_id

    first = make_version(here, base_sha256=base)
    intake.take_in(here, upload("document"), token="t.1")
    assert champion.serving(home(here)) is None
    intake.take_in(here, upload("handwriting"), token="t.2")
    assert champion.serving(home(here)) == first.id

    second = make_version(here, base_sha256=base)
    job_id = upload("handwriting")
    with here.db.write() as session:
        job = jobs.claim_intake(session, job_id, token="t.3", lease_s=30, max_attempts=3)
        assert job is not None
        jobs.open_pages(session, job, [1])
    reading.read_one(here, job_id, 1, token="t.4")
    assert champion.serving(home(here)) == second.id
    with here.db.read() as session:
        assert session.get_one(Page, (job_id, 1)).status == PageStatus.DONE
