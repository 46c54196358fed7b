"""``copyist migrate``: bring the database to the newest revision, once it answers."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from copyist.cli import waiting
from copyist.cli.parts import configured, stop
from copyist.errors import ConfigurationError

Wait = Annotated[
    float | None, typer.Option("--wait", metavar="SECONDS", help="Give up after so long; without it, never.", min=1)
]


def migrate(wait: Wait = None) -> None:
    """Wait for the database, migrate it, and say what was done. Only ``DATABASE_URL`` is needed."""
    settings = configured(broker=False)
    try:
        before, after = waiting.newest_database(settings, seconds=float("inf") if wait is None else wait)
    except ConfigurationError as error:
        raise stop(error.detail, os.EX_CONFIG) from error
    except waiting.GaveUp as error:
        raise stop(f"{error} It was waited for {wait:g} s.") from error
    if before == after:
        typer.echo(f"The database is at revision {after} already.")
    else:
        typer.echo(f"The database went from {before or 'nothing'} to {after}.")
