"""Sentences for what is away, from the real messages of the real drivers."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import make_url, text

from copyist.db import migrate
from copyist.db.session import Database
from copyist.errors import ConfigurationError, CopyistError
from copyist.queue.routing import Sender, celery_app
from copyist.reasons import Trouble, is_full, known, why
from copyist.storage import Storage
from tests.away import as_role, ask_for_password, execute, small_disk
from tests.servers import PostgresServer, ValkeyServer, free_port

PASSWORD = "it refuses the password; the one it was first made with counts, see docs/deploy.md"
NOT_THERE = "nothing answers there; it may not be running"
UNKNOWN_HOST = "its name is not known; it may not be running"
OTHER_PASSWORD = "it asks for another password; check REDIS_URL"


def met(action: object) -> BaseException:
    """What a check of a database, a broker or a storage raises."""
    with pytest.raises(Exception) as found:
        action.check()  # type: ignore[attr-defined]
    return found.value


def broker(url: str) -> Sender:
    return Sender(celery_app(url), url)


def test_postgresql(postgres: PostgresServer, postgres_url: str) -> None:
    ask_for_password(postgres, "reader", "right")
    until = time.monotonic() + 5
    # The server reads its rules when it is told to, and that is a moment later.
    while why_not(as_role(postgres_url, "reader", "wrong")) is None and time.monotonic() < until:
        time.sleep(0.05)
    assert why_not(as_role(postgres_url, "reader", "wrong")) == PASSWORD
    assert why_not(make_url(postgres_url).set(username="reader").render_as_string()) == PASSWORD
    nobody = "there is no such database or user; check DATABASE_URL"
    assert why_not(as_role(postgres_url, "nobody", "x")) == nobody
    assert why_not(f"{postgres_url}_not") == nobody
    assert why_not(postgres_url.replace("127.0.0.1", "nowhere.invalid")) == UNKNOWN_HOST
    assert why_not(str(make_url(postgres_url).set(port=free_port()))) == NOT_THERE
    execute(postgres_url, f"ALTER DATABASE {make_url(postgres_url).database} SET default_transaction_read_only = on")
    assert why_not(postgres_url) == "it may not be written to"


def why_not(url: str) -> str | None:
    database = Database(url)
    try:
        database.check()
    except Exception as error:
        return why(error)
    finally:
        database.close()
    return None


def test_a_connection_that_breaks_off_and_a_newer_version(postgres: PostgresServer, postgres_url: str) -> None:
    migrate.upgrade(postgres_url)
    execute(postgres_url, "UPDATE alembic_version SET version_num = 'x999'")
    with pytest.raises(CopyistError) as newer:
        migrate.upgrade(postgres_url)
    assert why(newer.value) == "it was written by a newer version; update this one, see docs/deploy.md"
    database = Database(postgres_url)
    with database.engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        execute(postgres.url, f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(Exception, match="closed the connection") as broken:
            connection.execute(text("SELECT 1"))
    assert why(broken.value) == "it broke the connection off"
    database.close()


@pytest.mark.parametrize(
    "message",
    ["FATAL:  the database system is starting up", "FATAL:  the database system is not yet accepting connections"],
)
def test_a_server_that_has_just_been_started(message: str) -> None:
    error = Exception(f'connection to server at "10.0.0.1", port 5432 failed: {message}')
    assert why(error) == "it is just starting or stopping"


@pytest.mark.parametrize("message", ["SSL connection has been closed unexpectedly", "SSL SYSCALL error: EOF detected"])
def test_an_encrypted_connection_that_breaks_off(message: str) -> None:
    assert why(Exception(message)) == "it broke the connection off"


def test_redis(redis_url: str) -> None:
    assert why(met(broker(f"redis://127.0.0.1:{free_port()}"))) == NOT_THERE
    assert why(met(broker("redis://nowhere.invalid"))) == UNKNOWN_HOST
    with redis.Redis.from_url(redis_url) as client:
        try:
            client.config_set("requirepass", "x")
            assert why(met(broker(redis_url))) == OTHER_PASSWORD
            assert why(met(broker(redis_url.replace("//", "//:y@")))) == OTHER_PASSWORD
        finally:
            client.config_set("requirepass", "")
        try:
            client.config_set("maxmemory", "1mb")
            client.ping()
            assert why(met(broker(redis_url))) == "its memory is full"
        finally:
            client.config_set("maxmemory", "0")
        try:
            client.replicaof("127.0.0.1", str(free_port()))
            assert why(met(broker(redis_url))) == "it may not be written to"
        finally:
            client.replicaof("NO", "ONE")
    broker(redis_url).check()


@pytest.mark.parametrize(
    ("connect", "url"),
    [
        (celery_app, "redis://:s3cret/@host:6379"),
        (celery_app, "s3cret"),
        (Database, "postgresql://host:s3cret/x"),
        (Database, "s3cret"),
        (Database, "mysql://user:s3cret@host/x"),
    ],
)
def test_an_address_that_cannot_work_is_refused_without_a_word_of_it(
    connect: Callable[[str], object], url: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        connect(url)
    printed = [line for line in traceback.format_exception(refused.value) if not line.startswith("  File ")]
    assert "s3cret" not in "".join(printed)


def test_a_redis_whose_disk_is_full(tmp_path: Path) -> None:
    server = ValkeyServer()
    with small_disk(server.folder) as disk, server:
        sender = broker(server.url)
        sender.check()
        disk.fill()
        until = time.monotonic() + 10
        found = None
        # It appends to its file a moment after it has answered.
        while found is None and time.monotonic() < until:
            try:
                sender.check()
            except redis.RedisError as error:
                found = error
        assert found is not None
        assert is_full(found)
        disk.make_room()


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "r")
    yield "s3://bucket/prefix"


@pytest.mark.parametrize(("host", "reason"), [("127.0.0.1", NOT_THERE), ("nowhere.invalid", UNKNOWN_HOST)])
def test_a_store_elsewhere(stores: str, monkeypatch: pytest.MonkeyPatch, host: str, reason: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", f"http://{host}:{free_port()}")
    began = time.monotonic()
    assert why(met(Storage(stores))) == reason
    assert time.monotonic() - began < 6


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert why(met(Storage((tmp_path / "file").as_uri()))) == "its file or folder cannot be opened"
    with small_disk(tmp_path / "small") as disk:
        storage = Storage((disk.folder / "blobs").as_uri())
        storage.check()
        disk.fill()
        assert why(met(storage)) == "its disk is full"
        disk.make_room()
        storage.check()
        disk.forbid_writing()
        for one in (storage, Storage((disk.folder / "others").as_uri())):
            assert why(met(one)) == "it may not be written to"


def test_what_nobody_foresaw_is_told_by_the_name_of_its_cause() -> None:
    try:
        try:
            raise ZeroDivisionError("/secret/path of user at host")
        except ZeroDivisionError as cause:
            raise CopyistError from cause
    except CopyistError as error:
        assert known(error) is None
        assert why(error) == "it fails with ZeroDivisionError; the log says more"


def test_the_log_is_told_of_each_reason_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trouble = Trouble(logging.getLogger("test"), "the database")
    trouble.over()
    for error in (TimeoutError(), TimeoutError(), OSError("disk full"), OSError("disk full, too")):
        trouble.met(error)
    trouble.over()
    trouble.over()
    assert caplog.messages == [
        "the database does not answer: it does not answer in time; trying again",
        "the database does not answer: its disk is full; trying again (disk full)",
        "the database answers again",
    ]
