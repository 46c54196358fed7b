"""``copyist submit``: send files to a server and wait for them, through ``copyist.Client``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from copyist import settings as configuration
from copyist.cli.delivery import Delivery, Force, Format, Output
from copyist.cli.read import EngineWish, Files, Languages, ModeIfNamed, Pages, Password, TextWish
from copyist.client import Client, CopyistClientError, Job, Unreachable
from copyist.document import TextPolicy
from copyist.errors import ConfigurationError

INTERRUPTED = 130
"""What a shell reports for a command ended by Ctrl-C: 128 and the number of the signal."""
WATCHED = 8
"""Open jobs that are looked at in one round; the others are behind them in the queue."""
ROUND_S = 1.0
NOT_LET_IN = (401, 403)
"""What holds for every file alike."""
_ANY = {"0.0.0.0": "localhost", "::": "localhost"}  # noqa: S104


def submit(
    files: Files,
    url: Annotated[str | None, typer.Option(help="The server; else the one at HOST and PORT.")] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="COPYIST_API_KEY", show_default=False, help="A key, where the server asks for one."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the text, or print the jobs' URLs.")] = True,
    format: Format = "txt",  # noqa: A002
    output: Output = None,
    force: Force = False,
    engine: EngineWish = None,
    languages: Languages = None,
    mode: ModeIfNamed = None,
    text: TextWish = TextPolicy.AUTO,
    pages: Pages = None,
    password: Password = None,
) -> None:
    """Send files to a server, wait for them, and print or write what was read.

    Ends with 0 when every page of every file was read, 1 when some were not, 2 when what was asked for cannot be done.
    """
    files = list(dict.fromkeys(files))
    wishes = {"mode": mode, "engine": engine, "languages": languages, "pages": pages, "password": password}
    options = {"text": text.value, **{name: wish for name, wish in wishes.items() if wish}}
    try:
        delivery = Delivery(files, format, output, force=force)
        client = Client(url or own_address(), api_key)
    except (ConfigurationError, ValueError) as error:
        typer.secho(getattr(error, "detail", str(error)), fg="red", err=True)
        raise typer.Exit(2) from error
    with client:
        run = _Run(client, delivery, format)
        try:
            run.upload(files, options, wait=wait)
            if wait:
                run.wait()
        except CopyistClientError as error:
            typer.secho(str(error), fg="red", err=True)
            run.tell_of_open_jobs()
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            run.cancel()
            raise typer.Exit(INTERRUPTED) from None
    if run.failed:
        raise typer.Exit(1)


def own_address() -> str:
    """Where the server of this machine's own settings is."""
    settings = configuration.load()
    host = _ANY.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


class _Run:
    """One call of the command: uploads, waits, hands over, and shows how far it is."""

    def __init__(self, client: Client, delivery: Delivery, extension: str) -> None:
        self.failed = False
        self._client, self._delivery, self._extension = client, delivery, extension
        self._console = Console(stderr=True, soft_wrap=True)
        self._open: dict[Path, Job] = {}

    def upload(self, files: Sequence[Path], options: dict[str, Any], *, wait: bool) -> None:
        """Send the files, one after the other; without ``wait`` print where each job is."""
        for file in files:
            there = self._delivery.in_the_way(file)
            if there is not None:
                self._fail(file, f'"{there}" is already there; overwrite it with --force.')
                continue
            try:
                self._open[file] = self._client.submit(file, **options)
            except OSError as error:
                self._fail(file, f"It cannot be opened: {error.strerror}.")
            except CopyistClientError as error:
                self._fail(file, _about_one_file(error))
            else:
                if not wait:
                    typer.echo(self._open[file].url)

    def wait(self) -> None:
        """Wait for all jobs, and hand over each result as soon as it is there."""
        with self._bars() as bars:
            shown = {file: bars.add_task(file.name, total=None, start=True) for file in self._open}
            while self._open:
                for place, file in enumerate(list(self._open)[:WATCHED]):
                    self._look(file, bars, shown[file], wait_s=ROUND_S if place == 0 else 0)
        self._delivery.flush()

    def _bars(self) -> Progress:
        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("pages"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def _look(self, file: Path, bars: Progress, shown: TaskID, *, wait_s: float) -> None:
        job = self._open[file]
        try:
            job.refresh(wait_s)
        except CopyistClientError as error:
            self._end(file, failure=_about_one_file(error))
            return
        place = f", {job.queue_position} ahead" if job.queue_position else ""
        bars.update(
            shown,
            completed=job.pages_done + job.pages_failed,
            total=job.pages_total,
            description=f"{file.name} ({job.status}{place})",
        )
        if not job.is_open:
            bars.update(shown, visible=False)
            self._ended(file, job)

    def _ended(self, file: Path, job: Job) -> None:
        for warning in job.warnings:
            self._say(f"{file}: {warning}", "yellow")
        if job.status != "completed":
            self._end(file, failure=job.error or f"The job was {job.status}.")
            return
        self.failed |= job.pages_failed > 0
        self._end(file, failure=self._deliver(file, job))

    def _deliver(self, file: Path, job: Job) -> str | None:
        """Hand a result over as it comes from the server; gives what went wrong."""

        def write(into: IO[bytes]) -> None:
            job.write(into, self._extension)

        try:
            self._delivery.give(file, write)
        except BrokenPipeError:
            raise
        except CopyistClientError as error:
            return _about_one_file(error)
        except OSError as error:
            return f"Its result cannot be written ({error.strerror})."
        return None

    def _end(self, file: Path, *, failure: str | None) -> None:
        self._open.pop(file)
        if failure is not None:
            self._fail(file, failure)

    def _fail(self, file: Path, reason: str) -> None:
        self.failed = True
        self._say(f"{file}: {reason}", "red")
        self._delivery.give(file, None)

    def _say(self, sentence: str, style: str) -> None:
        self._console.print(Text(sentence, style))

    def cancel(self) -> None:
        """Cancel what is still open on the server, and say so."""
        self._say("Interrupted: cancelling what is still open on the server ...", "yellow")
        cancelled = 0
        for file, job in self._open.items():
            try:
                cancelled += job.cancel()
            except CopyistClientError as error:
                self._say(f"{file}: {error}", "red")
                if isinstance(error, Unreachable):
                    break
        self._say(f"{cancelled} of {len(self._open)} open jobs were cancelled.", "yellow")

    def tell_of_open_jobs(self) -> None:
        """Say where the jobs are that the server has and this command gives up."""
        for file, job in self._open.items():
            self._say(f"{file}: its job goes on at {job.url}", "yellow")


def _about_one_file(error: CopyistClientError) -> str:
    """What the server says of this one file; what holds for all of them is raised."""
    if error.status is None or error.status in NOT_LET_IN:
        raise error
    return error.detail
