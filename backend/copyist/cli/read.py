"""``copyist read``: read files here and now, without server or database."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import date
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from copyist import settings as configuration
from copyist.cli.delivery import Delivery, Force, Format, Output
from copyist.cli.reader import ReaderBroken, Setup
from copyist.cli.reading import FileEnded, PageEnded, PagesFound, Reading, SetupRefused
from copyist.document import Decoding, Mode, TextPolicy
from copyist.errors import CopyistError, InvalidOption
from copyist.exports import find_export
from copyist.exports.material import Material
from copyist.fetch.files import file_path
from copyist.pageranges import read_ranges
from copyist.settings import Settings

MAX_MODEL_NAME = 200
log = logging.getLogger(__name__)


def _page_ranges(value: str | None) -> str | None:
    try:
        if value is not None:
            read_ranges(value)
    except InvalidOption as error:
        raise typer.BadParameter(error.detail) from error
    return value


def _path(text: str) -> Path:
    """A path, or the one that a ``file://`` URI names."""
    if not text.lower().startswith("file:"):
        return Path(text)
    try:
        return file_path(text)
    except CopyistError as error:
        raise typer.BadParameter(f'"{text}" names no file here. Write file:///path, percent-encoded.') from error


def _model_name(value: str | None) -> str | None:
    if value is not None and len(value) > MAX_MODEL_NAME:
        raise typer.BadParameter(f"A model's name has at most {MAX_MODEL_NAME} signs.")
    return value


Files = Annotated[
    list[Path],
    typer.Argument(help="PDFs and images; file:// URIs, too.", show_default=False, metavar="FILES", parser=_path),
]
EngineWish = Annotated[str | None, typer.Option("--engine", help="The engine that reads first.")]
Languages = Annotated[str | None, typer.Option("--languages", "-l", help='Such as "eng+deu" or "en,de".')]
ModeIfNamed = Annotated[
    Mode | None, typer.Option("--mode", help="What the pages are; else what the engine named is made for.")
]
ModelWish = Annotated[
    str | None,
    typer.Option("--model", help='Another model of the engine: "facebook/nougat-small".', callback=_model_name),
]
Temperature = Annotated[
    float | None, typer.Option("--temperature", min=0, max=2, help="Of models that write: 0 takes the likeliest token.")
]
TopP = Annotated[
    float | None, typer.Option("--top-p", "--top_p", min=0, max=1, help="Share of the tokens drawn from; 0 is all.")
]
RepetitionPenalty = Annotated[
    float | None,
    typer.Option(
        "--repetition-penalty", "--repetition_penalty", min=0.01, max=10, help="1 is none; over 1, less is said twice."
    ),
]
TextWish = Annotated[TextPolicy, typer.Option("--text", help="A PDF's own text: use it, never, or nothing else.")]
Pages = Annotated[str | None, typer.Option("--pages", help='Such as "1-3,5" or "7-".', callback=_page_ranges)]
Password = Annotated[str | None, typer.Option("--password", help="Opens protected PDFs.")]


def read(
    files: Files,
    format: Format = "txt",  # noqa: A002
    output: Output = None,
    force: Force = False,
    engine: EngineWish = None,
    languages: Languages = None,
    mode: ModeIfNamed = None,
    text: TextWish = TextPolicy.AUTO,
    pages: Pages = None,
    password: Password = None,
    model: ModelWish = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    repetition_penalty: RepetitionPenalty = None,
    processes: Annotated[int, typer.Option(help="Pages read at once.", min=1, max=256)] = 2,
) -> None:
    """Read files here and now, without server or database.

    Ends with 0 when every page of every file was read, 1 when some were not, 2 when what was asked for cannot be done.
    """
    files = list(dict.fromkeys(files))
    try:
        setup = Setup(
            settings=_settings(),
            engine=engine,
            languages=languages,
            mode=mode,
            text=text,
            pages=pages,
            password=password,
            decoding=Decoding(model=model, temperature=temperature, top_p=top_p, repetition_penalty=repetition_penalty),
        )
        delivery = Delivery(files, format, output, force=force)
        run = _Run(files, setup, delivery, format)
        run.go(processes)
    except (CopyistError, SetupRefused) as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(2) from error
    except ReaderBroken as error:
        typer.secho("No page can be read here; the lines above say why.", fg="red", err=True)
        raise typer.Exit(1) from error
    if run.failed:
        raise typer.Exit(1)


def _settings() -> Settings:
    """As ``copyist up`` has them: the cheapest engine reads first, unless somebody has said otherwise."""
    settings = configuration.load()
    return settings if "ocr_strategy" in settings.model_fields_set else configuration.load(ocr_strategy="fast")


class _Run:
    """One call of the command: shows what happens, hands over what was read."""

    def __init__(self, files: Sequence[Path], setup: Setup, delivery: Delivery, extension: str) -> None:
        self.failed = False
        self._setup, self._delivery, self._extension = setup, delivery, extension
        self._console = Console(stderr=True, soft_wrap=True)
        self._files = [file for file in files if self._may_be_read(file)]

    def _may_be_read(self, file: Path) -> bool:
        there = self._delivery.in_the_way(file)
        if there is not None:
            self._fail(file, f'"{there}" is already there; overwrite it with --force.')
            self._delivery.give(file, None)
        return there is None

    def _fail(self, file: Path, reason: str) -> None:
        self.failed = True
        self._say(f"{file}: {reason}", "red")

    def _say(self, sentence: str, style: str = "") -> None:
        self._console.print(Text(sentence, style))

    def go(self, processes: int) -> None:
        """Read everything."""
        bar = Progress(
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
        with bar, Reading(self._files, self._setup, processes) as reading:
            shown = bar.add_task("looking into the files", total=None)
            for event in reading.events():
                if isinstance(event, PagesFound):
                    so_far = bar.tasks[shown].total
                    bar.update(shown, total=(so_far or 0) + event.pages)
                    if so_far is None:
                        bar.update(shown, description=event.file.name)
                elif isinstance(event, PageEnded):
                    self._page(event, bar, shown)
                else:
                    self._file(event)
        self._delivery.flush()

    def _page(self, event: PageEnded, bar: Progress, shown: TaskID) -> None:
        bar.update(shown, advance=1, description=event.file.name)
        for note in event.notes:
            self._say(f"{event.file}, page {event.number}: {note}", "yellow")

    def _file(self, event: FileEnded) -> None:
        for reason, numbers in event.failures.items():
            whole = event.document is None and len(event.failures) == 1
            self._fail(event.file, reason if whole else f"{_named(numbers)}: {reason}")
        if event.degraded:
            self._say(
                f"{event.file}: no engine read {_named(event.degraded)}; its text is only a placeholder.", "yellow"
            )
        self._deliver(event)

    def _deliver(self, event: FileEnded) -> None:
        material = _material(event)
        failure = None
        try:
            if material is not None:
                self._delivery.give(event.file, partial(find_export(self._extension).write, material))
                return
        except BrokenPipeError:
            raise
        except CopyistError as error:
            failure = error.detail
        except OSError as error:
            failure = f"Its result cannot be written ({error.strerror or type(error).__name__})."
        except Exception as error:
            # A fault of ours with one document is no reason to lose the others.
            log.debug("%s could not be exported", event.file, exc_info=True)
            failure = f"Its result cannot be written as {self._extension} ({type(error).__name__})."
        if failure is not None:
            self._fail(event.file, failure)
        self._delivery.give(event.file, None)


def _material(event: FileEnded) -> Material | None:
    """What the export is made of, ``None`` where no page was read."""
    document, opened = event.document, event.opened
    if document is None or opened is None:
        return None
    return Material(
        pages=lambda: document.pages,
        numbers=opened.numbers,
        filename=event.file.name,
        uploaded=date.today(),
        kind=opened.kind,
        original=lambda: nullcontext(opened.content),
    )


def _named(numbers: Sequence[int]) -> str:
    return f"page{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
