"""Fixtures that every room's tests share: real servers, fresh databases, sample files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from copyist.db import migrate
from copyist.db.session import Database
from tests.servers import ROOT, PostgresServer, ValkeyServer

# Nothing in the tests may ask the network for anything: not for weights, not to report that it was started.
os.environ.update({"HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"})


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """Run one Valkey for the whole session; tests that kill it start their own (see ``tests.servers``)."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def redis_url(valkey: ValkeyServer) -> str:
    """Return the address of the session's Valkey, emptied for this test."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    return valkey.url


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run one PostgreSQL for the whole session; tests that kill it start their own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def fresh_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Return a maker of empty databases: ``fresh_database("sqlite")`` or ``("postgres")`` gives a ``DATABASE_URL``."""
    made: list[tuple[PostgresServer, str]] = []

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / f'copyist-{len(made)}-{os.urandom(4).hex()}.db'}"
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.create_database()
        made.append((server, url))
        return url

    yield make
    for server, url in made:
        server.drop_database(url)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, fresh_database: Callable[[str], str]) -> str:
    """Run the test twice: on an empty SQLite file and on an empty PostgreSQL database."""
    return fresh_database(request.param)


@pytest.fixture
def sqlite_url(fresh_database: Callable[[str], str]) -> str:
    """Return the address of an empty SQLite file."""
    return fresh_database("sqlite")


@pytest.fixture
def postgres_url(fresh_database: Callable[[str], str]) -> str:
    """Return the address of an empty PostgreSQL database."""
    return fresh_database("postgres")


@pytest.fixture(scope="session")
def own_samples() -> Path:
    """Return the folder of the samples that this project made itself; they are part of the repository."""
    return ROOT / "tests" / "samples"


@pytest.fixture(scope="session")
def samples_dir() -> Path:
    """Return the folder of the collected samples, which are too many for the repository; skip where it is missing."""
    folder = Path(os.environ.get("COPYIST_SAMPLES", ROOT.parent / "shared" / "samples"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here; COPYIST_SAMPLES names the folder with the collected samples")
    return folder


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """Return the test's database, migrated."""
    migrate.upgrade(database_url)
    database = Database(database_url)
    yield database
    database.close()
