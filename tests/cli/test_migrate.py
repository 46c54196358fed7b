"""``copyist migrate``: what it did in one line, and why it did nothing."""

from __future__ import annotations

import os

from sqlalchemy import text

from copyist.db import migrate
from copyist.db.session import make_engine
from tests.cli.conftest import Run
from tests.servers import free_port


def test_it_says_what_it_did(copyist: Run, database_url: str) -> None:
    newest = migrate.newest()
    done = copyist("migrate", DATABASE_URL=database_url, REDIS_URL="")
    assert (done.stdout, done.stderr) == (f"The database went from nothing to {newest}.\n", "")
    done = copyist("migrate", DATABASE_URL=database_url, REDIS_URL="")
    assert (done.stdout, done.stderr) == (f"The database is at revision {newest} already.\n", "")
    assert migrate.upgrade(database_url) == newest


def test_it_goes_on_from_an_older_revision(copyist: Run, sqlite_url: str) -> None:
    migrate.upgrade(sqlite_url, "0001")
    done = copyist("migrate", DATABASE_URL=sqlite_url)
    assert done.stdout == f"The database went from 0001 to {migrate.newest()}.\n"


def test_a_database_of_a_newer_version_is_left_alone(copyist: Run, sqlite_url: str) -> None:
    migrate.upgrade(sqlite_url)
    engine = make_engine(sqlite_url)
    with engine.execution_options(writing=True).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    for part in ("migrate", "worker", "beat"):
        done = copyist(part, DATABASE_URL=sqlite_url, REDIS_URL="redis://127.0.0.1:1/0")
        assert done.returncode == os.EX_CONFIG
        assert "newer version of Copyist" in done.stderr and "Traceback" not in done.stderr


def test_an_address_that_names_no_database_is_refused(copyist: Run) -> None:
    done = copyist("migrate", DATABASE_URL="nonsense")
    assert done.returncode == os.EX_CONFIG
    assert "DATABASE_URL" in done.stderr and "Traceback" not in done.stderr


def test_it_waits_as_long_as_it_may_and_says_why_once(copyist: Run) -> None:
    done = copyist("migrate", "--wait", "5", DATABASE_URL=f"postgresql://x:secret@127.0.0.1:{free_port()}/x")
    assert done.returncode == 1
    reported, gave_up = done.stderr.strip().splitlines()
    assert "the database does not answer: nothing answers there" in reported
    assert "waited for 5 s" in gave_up
    assert "secret" not in done.stderr
