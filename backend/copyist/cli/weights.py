"""``copyist weights``: which models there are, fetching them, and checking that they are what they should be."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from copyist import __version__
from copyist import settings as configuration
from copyist.engines.weights import WeightsError
from copyist.engines.weights.hub import PUBLIC, Hub
from copyist.engines.weights.manifest import Entry, chosen, find_manifest, read_manifest
from copyist.engines.weights.pull import Puller
from copyist.engines.weights.state import Presence, look_at, verify
from copyist.errors import ConfigurationError

app = typer.Typer(help="Fetch and check the model files of the engines.", no_args_is_help=True)

Names = Annotated[list[str], typer.Argument(help="Such as dots or easyocr; `list` has all.", show_default=False)]
MaybeNames = Annotated[
    list[str] | None, typer.Argument(help="Such as dots; else all that are here.", show_default=False)
]
Accept = Annotated[bool, typer.Option("--accept-licence", help="Agree to licences that limit what may be done.")]
Revision = Annotated[str, typer.Option(help="Another revision than the manifest's: a commit, a branch or a tag.")]

_PLAIN_WIDTH = 160
"""Columns of a table that goes into a file or a pipe."""
_STYLES = {Presence.COMPLETE: "green", Presence.PARTIAL: "yellow", Presence.CUT: "red", Presence.ABSENT: "dim"}


@app.command("list")
def list_weights() -> None:
    """Show which weights there are, what they are for, and which of them are here."""
    with _said():
        root, entries = _weights()
        table = Table("name", "for", "licence", "size", "state", box=box.SIMPLE_HEAD, pad_edge=False)
        for entry in entries.values():
            state = look_at(entry, root)
            size = f"{state.size / 1e9:.2f} GB" if state.size else f"~{entry.size}" if entry.size else ""
            said = f"{state.presence}: {state.reason}" if state.reason else str(state.presence)
            cells = (entry.name, entry.purpose, entry.licence, size)
            table.add_row(*map(escape, cells), f"[{_STYLES[state.presence]}]{escape(said)}[/]")
        _console().print(table)


@app.command("pull")
def pull(names: Names, revision: Revision = "", accept_licence: Accept = False) -> None:
    """Fetch weights. What is here and right is kept, and what was cut goes on where it stopped.

    HF_ENDPOINT names a mirror of the Hugging Face hub, HF_TOKEN is sent to it.
    """
    with _said():
        fetch(names, revision=revision, accept_licence=accept_licence)


@app.command("verify")
def verify_weights(names: MaybeNames = None) -> None:
    """Check the files that are here, with hashes; ends with 1 when something is wrong with one."""
    with _said():
        root, entries = _weights()
        asked = chosen(entries, names or ())
        here = asked or [one for one in entries.values() if look_at(one, root).presence is not Presence.ABSENT]
        if not here:
            _console().print(f"No weights are in {root}.")
        wrong = [entry.name for entry in here if not _is_right(entry, root)]
    if wrong:
        stop = f"Something is wrong with {', '.join(wrong)}. Fetch what is by `copyist weights pull {' '.join(wrong)}`."
        typer.secho(stop, fg="red", err=True)
        raise typer.Exit(1)


def fetch(names: Sequence[str], *, revision: str = "", accept_licence: bool = False) -> None:
    """Pull ``names`` into the weights folder of the settings, showing how far it is.

    Raises ``WeightsError`` or ``ConfigurationError`` with the reason, ``typer.Exit`` when a licence is not accepted.
    """
    root, entries = _weights()
    asked = chosen(entries, names)
    if revision and (len(asked) > 1 or asked[0].releases):
        raise WeightsError("--revision goes with the name of one repository on the hub.")
    for entry in asked:
        _ask(entry, accepted=accept_licence)
    with _client() as client, _Bars() as bars:
        for entry in asked:
            bars.title(entry.name)
            record = Puller(root, client, _hub(), bars.show).pull(entry, revision)
            size = sum(file.size for file in record.files.values())
            at = f", commit {record.commit}" if record.commit else ""
            bars.say(f"{entry.name}: {len(record.files)} files, {size / 1e9:.2f} GB, in {root / entry.folder}{at}.")
            if record.commit and record.asked != record.commit:
                bars.say(f"The manifest pins no commit of it: this is what {record.asked} is today.")


def _weights() -> tuple[Path, dict[str, Entry]]:
    root = configuration.load().weights_dir
    return root, read_manifest(find_manifest(root))


def _client() -> httpx.Client:
    agent = {"User-Agent": f"copyist/{__version__}"}
    return httpx.Client(headers=agent, follow_redirects=True, timeout=httpx.Timeout(30.0, connect=10.0))


def _hub() -> Hub:
    """The hub as its own tools find it; an empty variable is none."""
    return Hub(os.environ.get("HF_ENDPOINT", "").strip() or PUBLIC, os.environ.get("HF_TOKEN", "").strip())


def _ask(entry: Entry, *, accepted: bool) -> None:
    """Let a person agree to a licence that limits what they may do; a program has to say so beforehand."""
    typer.echo(f"{entry.name} is published by {entry.source} under: {entry.licence}.", err=True)
    if not entry.consent or accepted:
        return
    typer.echo(entry.consent, err=True)
    if not sys.stdin.isatty() or not typer.confirm("Do you accept this?", err=True):
        typer.secho(f"{entry.name} was not pulled. Accept its licence with --accept-licence.", fg="red", err=True)
        raise typer.Exit(2)


def _is_right(entry: Entry, root: Path) -> bool:
    right = True
    console = _console()
    with _Bars() as bars:
        bars.title(entry.name)
        for finding in verify(entry, root, bars.show):
            right &= not finding.fault
            said = f"[red]{escape(finding.fault)}[/]" if finding.fault else "[green]is right[/]"
            by = f" ({escape(finding.by)})" if finding.by else ""
            console.print(f"{escape(entry.folder)}/{escape(finding.file)} {said}{by}", soft_wrap=True)
    return right


@contextmanager
def _said() -> Iterator[None]:
    """End the command with the sentence of what cannot be done."""
    try:
        yield
    except (WeightsError, ConfigurationError) as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(1) from error


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_PLAIN_WIDTH)


class _Bars:
    """A bar for each file, on a terminal; elsewhere only the sentences."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._title = ""

    def __enter__(self) -> _Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def title(self, name: str) -> None:
        """Begin with the next entry."""
        for task in self._tasks.values():
            self._bars.remove_task(task)
        self._tasks, self._title = {}, name

    def show(self, file: str, done: int, total: int | None) -> None:
        """Move a file's bar."""
        if file not in self._tasks:
            self._tasks[file] = self._bars.add_task(f"{self._title} {file}", total=total)
        self._bars.update(self._tasks[file], completed=done, total=total, visible=done != total)

    def say(self, sentence: str) -> None:
        """Print a sentence above the bars."""
        self._console.print(sentence, markup=False, highlight=False)
