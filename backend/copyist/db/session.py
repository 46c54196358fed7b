"""Connections: one ``Database`` per process, ``read()`` and ``write()`` transactions.

SQLite runs in WAL mode, with ``BEGIN IMMEDIATE`` for writes, so that several processes wait for each other instead of
failing half-way (measured in the project's research: four processes racing 1,000 claims, each won exactly once).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.orm import Session

from copyist.errors import ConfigurationError, Unavailable

IDLE_S = 2.0
PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""How long a server that has vanished is waited for, in s, and ms for the last; without these it is hours."""


def make_engine(url: str) -> Engine:
    """An engine for PostgreSQL or SQLite; the folder of a SQLite file is made."""
    engine = _engine(url)
    if engine.dialect.name == "sqlite" and engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
    return engine


def _engine(url: str) -> Engine:
    try:
        return _connecting(make_url(url))
    except (ArgumentError, ValueError):
        problem = "DATABASE_URL names no database. Use postgresql://user:password@host/name or sqlite:///file."
        # The parser's own words may show a piece of the address.
        raise ConfigurationError(problem=problem) from None
    except ImportError as error:
        problem = f"There is no driver for DATABASE_URL here ({error}). Install copyist with [postgres]."
        raise ConfigurationError(problem=problem) from error


def _connecting(target: URL) -> Engine:
    if target.get_backend_name() != "sqlite":
        engine = create_engine(
            target, pool_size=10, max_overflow=30, pool_timeout=15, hide_parameters=True, connect_args=PATIENCE
        )
        _ping_after_a_pause(engine)
        return engine
    engine = create_engine(target, connect_args={"timeout": 30}, pool_size=10, max_overflow=30, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # The driver must not begin transactions on its own terms: begin() below does.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        writing = connection.get_execution_options().get("writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _ping_after_a_pause(engine: Engine) -> None:
    """Test a pooled connection that has lain idle: the server may have gone and come back.

    A test before every use would be a tenth of the time that the service spends on a page by itself.
    """

    @event.listens_for(engine, "checkin")
    def note(_connection: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def test(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("idle_since", 0.0) > IDLE_S:
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as error:
                raise DisconnectionError from error


class Database:
    """The database of this process. Call ``forget_connections`` in a freshly forked child.

    Made without asking anything of the database, so it may be away then. While ``is_open`` is not set, because nobody
    knows yet whether it has its tables, it raises ``Unavailable`` at once instead of trying.
    """

    def __init__(self, url: str, *, is_open: bool = True) -> None:
        self.is_open = is_open
        self.engine = _engine(url)
        self._writing = self.engine.execution_options(writing=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads."""
        self._enter()
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session in one transaction: committed at the end, rolled back by an exception."""
        self._enter()
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def _enter(self) -> None:
        if not self.is_open:
            raise Unavailable(what="The database")

    def check(self) -> None:
        """One round trip; raises whatever stands in the way.

        A server that may only be read (a standby) is found out. A full disk is not: a small write may well find room
        where the next page finds none, so the only honest test is the work itself.
        """
        self._enter()
        with self.engine.connect() as connection:
            if self.engine.dialect.name == "sqlite":
                connection.execute(text("SELECT 1"))
            elif connection.scalar(text("SHOW transaction_read_only")) == "on":
                raise PermissionError("the server has only read-only transactions")

    def forget_connections(self) -> None:
        """Drop inherited connections without closing them: they belong to the parent process."""
        self.engine.dispose(close=False)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
