"""``copyist api``, ``copyist worker``, ``copyist beat``: the parts of the service, each in the foreground."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from copyist import log as logs
from copyist import settings as configuration
from copyist.cli import waiting
from copyist.errors import ConfigurationError
from copyist.settings import Settings


def configured(*, broker: bool = True) -> Settings:
    """The settings; ends the command with a sentence where one cannot work or the ``broker`` is not named."""
    try:
        found = configuration.load()
    except ConfigurationError as error:
        raise stop(error.detail, os.EX_CONFIG) from error
    if broker and not found.redis_url:
        reason = "REDIS_URL is not set. Set it to the broker's address, or run `copyist up`, which starts one."
        raise stop(reason, os.EX_CONFIG)
    logs.setup(found.log_level, found.log_format)
    return found


def stop(reason: str, status: int = 1) -> typer.Exit:
    """Print why the command cannot go on, and give the exit to raise."""
    typer.secho(reason, fg="red", err=True)
    return typer.Exit(status)


def api(
    host: Annotated[str | None, typer.Option(help="Wins over HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Wins over PORT.")] = None,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
) -> None:
    """Run the API in the foreground."""
    settings = configured()
    become(
        "uvicorn", "copyist.api.app:from_environment", "--factory", "--no-access-log", "--no-proxy-headers",
        "--host", host or settings.host,
        "--port", str(settings.port if port is None else port),
        "--workers", str(workers),
        "--timeout-graceful-shutdown", "10",
        "--log-level", "warning",
    )  # fmt: skip


def worker(
    concurrency: Annotated[
        int | None, typer.Option(help="Pages read at once; wins over CELERY_WORKER_CONCURRENCY.", min=1)
    ] = None,
) -> None:
    """Run a worker in the foreground. It serves the queues of the engines it has."""
    settings = configured()
    try:
        waiting.newest_database(settings, part="worker")
        waiting.writable_storage(settings, part="worker")
        waiting.starting("worker")
    except ConfigurationError as error:
        raise stop(error.detail, os.EX_CONFIG) from error
    os.environ["CELERY_WORKER_CONCURRENCY"] = str(concurrency or settings.celery_worker_concurrency)
    # A stop lets the page in hand finish for a while, then gives it back to the queue.
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")
    become(
        "celery", "-A", "copyist.queue.app", "-q", "worker",
        "-n", f"worker-{os.getpid()}@%h",
        "--without-gossip", "--without-mingle",
    )  # fmt: skip


def beat() -> None:
    """Run beat in the foreground; one is enough, and two do no harm."""
    settings = configured()
    try:
        waiting.newest_database(settings, part="beat")
        waiting.starting("beat")
    except ConfigurationError as error:
        raise stop(error.detail, os.EX_CONFIG) from error
    become("celery", "-A", "copyist.queue.aside", "-q", "beat", "--pidfile", "")


def become(module: str, *arguments: str) -> None:
    """Replace this process, so that signals reach the one that does the work."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - the program is this Python
