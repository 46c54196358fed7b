"""The command line: ``copyist up`` for everything at once, its parts by name, and reading without any server."""

from __future__ import annotations

from typing import Annotated

import typer

from copyist import __version__
from copyist.cli import (
    correct,
    engines,
    flower,
    formula,
    keys,
    migrate,
    parts,
    read,
    submit,
    train,
    trainer,
    up,
    weights,
)

app = typer.Typer(
    name="copyist", help="OCR for notes, scans and PDFs.", no_args_is_help=True, pretty_exceptions_show_locals=False
)
app.command("up", help="Run everything on this machine: broker, API, worker, beat.")(up.up)
app.command("api", help="Run the API.")(parts.api)
app.command("worker", help="Run a worker.")(parts.worker)
app.command("beat", help="Run beat, which sweeps up what was lost.")(parts.beat)
app.command("trainer", help="Run a trainer, which learns from corrections.")(trainer.trainer)
app.command("flower", help="Run Flower, which shows workers, tasks and queues.")(flower.flower)
app.command("migrate", help="Bring the database to the newest revision.")(migrate.migrate)
app.command("read", help="Read files here and now, without server or database.")(read.read)
app.command("submit", help="Send files to a server and wait for them.")(submit.submit)
app.command("correct", help="Send a text that was corrected back to the server.")(correct.correct)
app.command("engines", help="Show which engines can read here, and why the others cannot.")(engines.engines)
app.add_typer(weights.app, name="weights")
app.add_typer(keys.app, name="keys")
app.add_typer(train.app, name="train")
app.add_typer(formula.app, name="formula")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"copyist {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """OCR for notes, scans and PDFs."""
    del version
