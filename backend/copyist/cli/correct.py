"""``copyist correct``: send a text that somebody corrected back to the server, through ``copyist.Client``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from copyist.cli.submit import own_address
from copyist.client import Client, CopyistClientError
from copyist.errors import ConfigurationError

MOST_SHOWN = 20
"""Lines that were not matched, of each side; the API tells all."""


def correct(
    job_id: Annotated[str, typer.Argument(help="The job that the text is of.", show_default=False)],
    file: Annotated[Path, typer.Argument(help="Its corrected result.txt or page.xml.", show_default=False)],
    pages: Annotated[str | None, typer.Option(help="The text is of these pages only, such as 2 or 1-3.")] = None,
    confirm_unchanged: Annotated[
        bool, typer.Option("--confirm/--no-confirm", help="Lines that are as they were count as right, or not.")
    ] = True,
    url: Annotated[str | None, typer.Option(help="The server; else the one at HOST and PORT.")] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="COPYIST_API_KEY", show_default=False, help="A key, where the server asks for one."),
    ] = None,
) -> None:
    """Send a text that was corrected back to the server, which learns from it.

    Download it (copyist submit, or result.txt), edit it, keep one line for each line that was read. Ends with 0 when
    the server took it, 1 when it refused it, 2 when what was asked for cannot be done.
    """
    try:
        client = Client(url or own_address(), api_key)
    except (ConfigurationError, ValueError) as error:
        raise _failed(getattr(error, "detail", str(error)), 2) from error
    with client:
        try:
            report = client.correct_text(job_id, file, pages=pages, confirm_unchanged=confirm_unchanged)
        except OSError as error:
            raise _failed(f"{file}: It cannot be opened: {error.strerror}.", 2) from error
        except CopyistClientError as error:
            raise _failed(error.detail, 1) from error
    _show(report)


def _failed(sentence: str, status: int) -> typer.Exit:
    typer.secho(sentence, fg="red", err=True)
    return typer.Exit(status)


def _show(report: Mapping[str, Any]) -> None:
    typer.echo(
        f"{report['corrected']} lines were corrected, {report['confirmed']} confirmed, "
        f"{report['unchanged']} told nothing new."
    )
    left, rest = report["unmatched"], report["unmatched_text"]
    _list("not in the text, and stay as they are", [f"page {line['page']}: {line['text']}" for line in left])
    outdated = [f"page {line['page']}: {line['text']}" for line in report.get("outdated", ())]
    _list("in the text as they were before they were corrected elsewhere, and stay as they are", outdated)
    _list("none of those that were read, and were passed over", rest)


def _list(what: str, lines: list[str]) -> None:
    if lines:
        typer.secho(f"{len(lines)} lines are {what}:", fg="yellow", err=True)
    for line in lines[:MOST_SHOWN]:
        typer.echo(f"  {line}", err=True)
    if len(lines) > MOST_SHOWN:
        typer.echo(f"  and {len(lines) - MOST_SHOWN} more", err=True)
