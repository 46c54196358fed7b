"""``copyist trainer``: the part of the service that learns from corrections, in the foreground."""

from __future__ import annotations

import importlib.util
import os

from copyist.cli import waiting
from copyist.cli.parts import become, configured, stop
from copyist.errors import ConfigurationError

PACKAGES = ("torch", "transformers", "peft")


def missing() -> list[str]:
    """The packages that training needs and that are not installed; looked for without loading them."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def trainer() -> None:
    """Run a trainer in the foreground. It makes the runs of training, one at a time, and reads no pages."""
    settings = configured()
    if lacking := missing():
        reason = f"Training needs {', '.join(lacking)}, which is not installed here. Install copyist with [training]."
        raise stop(reason)
    try:
        waiting.newest_database(settings, part="trainer")
        waiting.writable_storage(settings, part="trainer")
        waiting.starting("trainer")
    except ConfigurationError as error:
        raise stop(error.detail, os.EX_CONFIG) from error
    # A stop is a warm one, of Celery's: the run is given back by then, and ends by itself.
    os.environ.pop("REMAP_SIGTERM", None)
    become(
        "celery", "-A", "copyist.queue.trainer", "-q", "worker",
        "-Q", "training",
        "-n", f"trainer-{os.getpid()}@%h",
        "--without-gossip", "--without-mingle",
    )  # fmt: skip
