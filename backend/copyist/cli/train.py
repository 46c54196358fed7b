"""``copyist train``: how it stands with learning, and what to do about it, in the database of the settings."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from sqlalchemy.orm import Session

from copyist.api.training_schemas import Wish
from copyist.cli import formula
from copyist.cli.database import opened
from copyist.cli.parts import configured, stop
from copyist.cli.train_export import export
from copyist.cli.train_tables import model_table, result_of, run_in_words, run_table, show, status_table
from copyist.db import examples, models, presence, runs, training_plan
from copyist.db.session import Database
from copyist.db.states import RUN_OPEN, RunStatus
from copyist.db.training_plan import Rules
from copyist.errors import CopyistError, TrainingOff
from copyist.queue.lease import DATABASE_AWAY
from copyist.queue.routing import Sender, celery_app
from copyist.reasons import why
from copyist.settings import Settings

app = typer.Typer(
    help="Learn from corrections: runs, versions of the model, and which one serves.", no_args_is_help=True
)
app.command("export")(export)
app.command("formula")(formula.train)

LISTED = 100
POLL_S = 1.0

Reason = Annotated[str, typer.Option(help="Why; it is kept with the decision.")]


@app.command("status")
def status() -> None:
    """Show how much was corrected, what serves, and when the next run begins."""
    with _database() as (settings, database), database.read() as session:
        table = status_table(
            _rules(settings),
            examples.counts(session),
            champion=models.champion(session),
            challengers=models.challengers(session),
            active=runs.active(session),
            paused=runs.paused(session),
            trainer_alive=presence.trainer_alive(session),
            last=next(iter(runs.newest(session, 1)), None),
            champion_problem=presence.champion_problem(session),
        )
    show(table)


@app.command("run")
def run(
    wait: Annotated[bool, typer.Option("--wait", help="Come back when it is over.")] = False,
    parameter: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Such as epochs=5; once for each.")
    ] = None,
) -> None:
    """Start a run. It goes to the standard output by its id; a trainer does it."""
    parameters = _parameters(parameter or ())
    with _database() as (settings, database):
        if settings.training == "off":
            raise TrainingOff
        # Not while it writes: counting takes seconds, and everybody else would wait.
        with database.read() as session:
            counts, needed = examples.counts(session), settings.train_min_lines
            if counts.train < needed and runs.active(session) is None:
                raise training_plan.too_few(counts, needed)
        with database.write() as session:
            made = runs.create(session, trigger="manual", requested_by=_who(), parameters=parameters)
            is_alive, paused = presence.trainer_alive(session), runs.paused(session)
            to_send = _to_send(settings, session)
        _send(settings, to_send)
        if paused:
            typer.echo("Training is paused, so the run waits for `copyist train resume`.", err=True)
        if not is_alive:
            typer.echo("No trainer is running, so the run waits: start `copyist trainer`.", err=True)
        typer.echo(made.id)
        if wait:
            _wait(database, made.id)


@app.command("runs")
def list_runs() -> None:
    """Show the runs, newest first."""
    with _database() as (_, database), database.read() as session:
        table = run_table(runs.newest(session, LISTED))
    show(table)


@app.command("models")
def list_models() -> None:
    """Show the versions of the model, newest first."""
    with _database() as (_, database), database.read() as session:
        table = model_table(models.newest(session, limit=LISTED))
    show(table)


@app.command("promote")
def promote(
    version: Annotated[str, typer.Argument(help="Its number, as `copyist train models` shows it.")],
    reason: Reason = "Promoted by hand.",
) -> None:
    """Let a version serve, whatever the gate said. Workers take it up between two pages."""
    number = version.removeprefix("v")
    if not (number.isascii() and number.isdecimal()):
        raise stop(f'"{version}" is no number of a version. `copyist train models` has all.', os.EX_USAGE)
    with _database() as (_, database), database.write() as session:
        models.promote(session, int(number), actor=_who(), reason=reason)
    typer.echo(f"Version {number} serves from now on.", err=True)


@app.command("rollback")
def roll_back(reason: Reason = "Rolled back by hand.") -> None:
    """Let the version before serve again, or the base."""
    with _database() as (_, database), database.write() as session:
        serves = models.roll_back(session, actor=_who(), reason=reason)
        name = f"Version {serves.id}" if serves else "The base, as published,"
    typer.echo(f"{name} serves from now on.", err=True)


@app.command("pause")
def pause() -> None:
    """Let no run begin, and the one under way stand still."""
    with _database() as (_, database), database.write() as session:
        paused = runs.pause(session, _who())
    typer.echo(f"Training is paused by {paused.by}. `copyist train resume` lets it go on.", err=True)


@app.command("resume")
def resume() -> None:
    """Let training go on."""
    with _database() as (settings, database):
        with database.write() as session:
            was_paused, to_send = runs.resume(session), _to_send(settings, session)
        _send(settings, to_send)
    typer.echo("Training goes on." if was_paused else "Training was not paused.", err=True)


@contextmanager
def _database() -> Iterator[tuple[Settings, Database]]:
    """The settings and their database, migrated; the command ends with a sentence where something cannot be done."""
    settings = configured(broker=False)
    with opened(settings) as database:
        try:
            yield settings, database
        except CopyistError as error:
            raise stop(error.detail) from error
        except DATABASE_AWAY as error:
            raise stop(f"The database does not answer: {why(error)}.") from error


def _rules(settings: Settings) -> Rules:
    return Rules(
        is_on=settings.training != "off",
        retrain_after=settings.retrain_after,
        min_lines=settings.train_min_lines,
        nightly_at=settings.train_at,
    )


def _parameters(given: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` pairs as parameters of a run, in the bounds of the API; ends the command for what is none."""
    values = {name.strip(): value.strip() for name, _, value in (pair.partition("=") for pair in given)}
    if unknown := values.keys() - Wish.model_fields.keys():
        known = ", ".join(Wish.model_fields)
        raise stop(f"There is no parameter {', '.join(sorted(unknown))}. There are {known}.", os.EX_USAGE)
    try:
        found = Wish.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise stop(f"{first['loc'][0]} cannot be that: {first['msg']}.", os.EX_USAGE) from error
    return found.model_dump(exclude_none=True)


def _to_send(settings: Settings, session: Session) -> list[str]:
    """Runs whose message has to go out now: noted as sent where there is a broker, else left to beat."""
    if settings.redis_url:
        return runs.to_send(session, again=False)
    waits = None if runs.paused(session) else runs.active(session)
    return [waits.id] if waits and waits.status == RunStatus.QUEUED else []


def _send(settings: Settings, run_ids: Sequence[str]) -> None:
    if not run_ids:
        return
    if not settings.redis_url:
        typer.echo("REDIS_URL is not set here, so beat sends it to the trainer at its next sweep.", err=True)
        return
    sender = Sender(celery_app(settings.redis_url), settings.redis_url)
    for run_id in run_ids:
        sender.train(run_id)


def _wait(database: Database, run_id: str) -> None:
    """Tell where the run is until it is over; ends the command with 1 if nothing came of it."""
    told = ""
    while True:
        with database.read() as session:
            found = runs.get(session, run_id)
        if found.status not in RUN_OPEN:
            break
        words = run_in_words(found)
        if words != told:
            typer.echo(words, err=True)
        told = words
        time.sleep(POLL_S)
    if found.status != RunStatus.COMPLETED:
        raise stop(f"The run is {found.status}. {result_of(found)}".strip())
    typer.echo(result_of(found), err=True)


def _who() -> str:
    """Who sits at the terminal, as decisions are signed."""
    try:
        return f"{getpass.getuser()} (command line)"
    except (OSError, KeyError):
        return "somebody (command line)"
