"""What ``copyist engines`` prints. Started as ``python -m copyist.cli.engine_table [--json]``."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from copyist import settings as configuration
from copyist.engines.registry import Registry
from copyist.engines.setup import engine_settings
from copyist.errors import CopyistError

_PLAIN_WIDTH = 160
"""Columns of a table that goes into a file or a pipe."""


def main() -> None:
    """Print the engines of this machine's settings; ends with 1 when a setting cannot work."""
    try:
        settings = configuration.load()
        registry = Registry(engine_settings(settings.model_dump()), settings.ocr_plugins)
    except CopyistError as error:
        sys.exit(error.detail)
    found = [_facts(registry, name) for name in registry.names]
    if "--json" in sys.argv[1:]:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        console = Console()
        (console if console.is_terminal else Console(width=_PLAIN_WIDTH)).print(_table(found))


def _facts(registry: Registry, name: str) -> dict[str, Any]:
    """The same fields as ``GET /api/engines`` has, but for those that only running workers know."""
    engine, found = registry.engine_class(name), registry.check(name)
    return {
        "name": name,
        "ready": found.ready,
        "reason": found.reason,
        "version": found.version,
        "languages": list(found.languages),
        "modes": sorted(engine.modes),
        "needs_gpu": engine.needs_gpu,
        "device": found.device,
        "model": found.model,
        "memory_bytes": found.memory_bytes,
    }


def _table(engines: list[dict[str, Any]]) -> Table:
    table = Table(
        "engine", "state", "device", "version", "model", "memory", "modes", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for facts in engines:
        state = "[green]ready[/]" if facts["ready"] else f"[yellow]{escape(facts['reason'])}[/]"
        memory = f"{facts['memory_bytes'] / 1e9:.1f} GB" if facts["memory_bytes"] else ""
        plain = [facts["device"], facts["version"], facts["model"], memory, ", ".join(facts["modes"])]
        table.add_row(escape(facts["name"]), state, *map(escape, plain))
    return table


if __name__ == "__main__":
    main()
