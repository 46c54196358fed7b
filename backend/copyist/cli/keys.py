"""``copyist keys``: make, show and revoke keys to the API, in the database of the settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.orm import Session

from copyist.cli.database import opened
from copyist.cli.parts import configured, stop
from copyist.db import keys
from copyist.db.keys import DEFAULT_SCOPES, Scope, Tier
from copyist.db.tables import ApiKey, now

app = typer.Typer(help="Make, show and revoke keys to the API.", no_args_is_help=True)

LISTED = 1000
_PLAIN_WIDTH = 160
"""Columns of a table that goes into a file or a pipe."""


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Where it is used, for people.", show_default=False)],
    owner: Annotated[str, typer.Option(help="Whose jobs it makes and sees; else the key is on its own.")] = "",
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it is good for, once for each: read and write.")
    ] = None,
    tier: Annotated[Tier, typer.Option(help="standard, or unlimited: without rate limits.")] = Tier.STANDARD,
    days: Annotated[float | None, typer.Option(help="It stops after so many days.", min=0.001, max=36_500)] = None,
) -> None:
    """Make a key. It alone goes to the standard output, this once: only its hash is kept."""
    if tier is Tier.ANONYMOUS or not name.strip():
        raise stop("A key has a name, and the tier standard or unlimited.", os.EX_USAGE)
    expires_at = now() + timedelta(days=days) if days else None
    with _writing() as session:
        key, secret = keys.create(
            session,
            name=name.strip(),
            owner=owner.strip() or None,
            scopes=scope or DEFAULT_SCOPES,
            tier=tier,
            expires_at=expires_at,
        )
    until = f", until {_day(expires_at)}" if expires_at else ""
    typer.echo(f"The key {key.id} of {key.owner} is good for {', '.join(key.scopes)}{until}:", err=True)
    typer.echo(secret)


@app.command("list")
def list_keys() -> None:
    """Show the keys, newest first; never the keys themselves."""
    with _writing() as session:
        found = keys.newest(session, limit=LISTED)
    table = Table(
        *("hint", "name", "owner", "scopes", "tier", "made", "used", "state"), box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("id", no_wrap=True)
    for key in found:
        owner = "itself" if key.owner == key.id else key.owner
        cells = (key.hint, key.name, owner, " ".join(key.scopes), key.tier, _day(key.created_at))
        table.add_row(*map(escape, cells), _day(key.last_used_at), _state(key), key.id)
    console = Console()
    (console if console.is_terminal else Console(width=_PLAIN_WIDTH)).print(table)


@app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID|HINT", help="The key's id, or its first 8 letters.")],
) -> None:
    """Revoke a key: it opens nothing after 5 seconds at the latest."""
    with _writing() as session:
        found = keys.like(session, key)
        if len(found) == 1:
            keys.revoke(session, found[0].id)
    if not found:
        raise stop("There is no such key, or it was revoked by its hint before. `copyist keys list` has all.")
    if len(found) > 1:
        raise stop(f"Several keys begin like that. Name one by its id: {', '.join(one.id for one in found)}.")
    typer.echo(f"The key {found[0].id} ({found[0].name}) is revoked.", err=True)


@contextmanager
def _writing() -> Iterator[Session]:
    """A transaction on the database of the settings, migrated; without it, the command ends with the reason."""
    settings = configured(broker=False)
    with opened(settings) as database, database.write() as session:
        yield session


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return f"[red]revoked {_day(key.revoked_at)}[/]"
    if key.expires_at is None:
        return "[green]good[/]"
    if keys.objection(key):
        return f"[red]expired {_day(key.expires_at)}[/]"
    return f"[green]until {_day(key.expires_at)}[/]"


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "never"
