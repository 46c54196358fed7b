"""Brings the database to the newest revision, by Alembic; safe to call from every process at once.

PostgreSQL serialises callers by an advisory lock, SQLite by a lock file beside the database.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from copyist.db.session import make_engine
from copyist.errors import ConfigurationError

ADVISORY_LOCK = 0x636F7079
"""An arbitrary number that all versions of Copyist share ("copy")."""


def upgrade(url: str, revision: str = "head") -> str | None:
    """Migrate up to ``revision``; waits while another process migrates, and gives the revision that it then found.

    Raises ``ConfigurationError`` for a database that a newer version has migrated.
    """
    try:
        return _run(url, lambda config: command.upgrade(config, revision))
    except CommandError as error:
        if "Can't locate revision" not in str(error):
            raise
        problem = (
            f"The database is at a revision that is not known here, where {newest()} is the newest: it belongs to a "
            "newer version of Copyist. Run that version, or give this one a database of its own."
        )
        raise ConfigurationError(problem=problem) from error


def downgrade(url: str, revision: str) -> None:
    """Migrate down to ``revision`` (``base`` for an empty database)."""
    _run(url, lambda config: command.downgrade(config, revision))


def newest() -> str:
    """The revision that ``upgrade`` leads to."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _run(url: str, step: Callable[[Config], None]) -> str | None:
    engine = make_engine(url)
    try:
        with _alone(engine), engine.connect() as connection:
            before = MigrationContext.configure(connection).get_current_revision()
            connection.commit()
            config = _config()
            config.attributes["connection"] = connection
            step(config)
            connection.commit()
            return before
    finally:
        engine.dispose()


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection, _advisory_lock(connection):
            yield
        return
    with Path(f"{engine.url.database}.migrating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _advisory_lock(connection: Connection) -> Iterator[None]:
    connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": ADVISORY_LOCK})
    connection.commit()
    try:
        yield
    finally:
        connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": ADVISORY_LOCK})
        connection.commit()
