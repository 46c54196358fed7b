"""The database of the settings, for commands that somebody waits for at a terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from copyist.cli import waiting
from copyist.cli.parts import stop
from copyist.db.session import Database
from copyist.errors import ConfigurationError
from copyist.settings import Settings

DATABASE_S = 10.0
"""So long the database may keep somebody at a terminal waiting."""


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The database, migrated; without it, the command ends with the reason."""
    try:
        waiting.newest_database(settings, seconds=DATABASE_S)
    except ConfigurationError as error:
        raise stop(error.detail, os.EX_CONFIG) from error
    except waiting.GaveUp as error:
        raise stop(str(error)) from error
    database = Database(settings.database)
    try:
        yield database
    finally:
        database.close()
