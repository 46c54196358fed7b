"""``copyist engines``: which engines can read here, and why the others cannot."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from copyist.cli.parts import become, stop

As = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


def engines(as_json: As = False) -> None:
    """Show each engine: ready or why not, device, version, model, memory and modes.

    The table is made by a program of its own, since the libraries of engines are missing where only the API is
    installed.
    """
    if importlib.util.find_spec("numpy") is None:
        raise stop("No engine is installed here. Install copyist with [worker], or ask a server for /api/engines.")
    become("copyist.cli.engine_table", *(["--json"] if as_json else []))
