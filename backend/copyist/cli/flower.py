"""``copyist flower``: Flower, the page on which an operator watches workers, tasks and queues."""

from __future__ import annotations

import importlib.util
import os

from copyist.cli.parts import become, configured, stop
from copyist.settings import Settings

SAVE_EVERY_MS = 60_000
MAX_TASKS = 10_000
"""Tasks that Flower remembers, in 60 MB and in its file; the service itself keeps every job in the database."""
FORGET_WORKERS_S = 3600
"""A worker gets a new name at every start, and the names of those that are gone are not kept for ever."""


def flower() -> None:
    """Run Flower in the foreground. It needs the broker alone."""
    settings = configured()
    if reason := _unfit(settings):
        raise stop(reason, os.EX_CONFIG)
    if importlib.util.find_spec("flower") is None:
        raise stop("Flower is not installed here. Install copyist with [flower].")
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise stop(f'"{settings.data_dir}" cannot be used as a folder ({error.strerror}). Set DATA_DIR.') from error
    # Command lines can be read by everybody on the machine.
    os.environ["FLOWER_BASIC_AUTH"] = f"{settings.flower_user}:{settings.flower_password}"
    prefix = [f"--url_prefix={settings.flower_url_prefix}"] if settings.flower_url_prefix else []
    become(
        "celery", "-A", "copyist.queue.watching", "-q", "flower",
        f"--address={settings.host}",
        f"--port={settings.flower_port}",
        *prefix,
        "--persistent=True",
        f"--db={settings.data_dir.absolute() / 'flower.db'}",
        f"--state_save_interval={SAVE_EVERY_MS}",
        f"--max_tasks={MAX_TASKS}",
        f"--purge_offline_workers={FORGET_WORKERS_S}",
        "--tasks_columns=name,kwargs,state,received,runtime,worker,uuid",
        "--logging=none",
    )  # fmt: skip


def _unfit(settings: Settings) -> str | None:
    """Why Flower cannot ask for these names; it takes neither a list's comma nor a letter outside of ASCII."""
    user, password = settings.flower_user, settings.flower_password
    if not user or not password:
        return "Set FLOWER_USER and FLOWER_PASSWORD: Flower shows every task and can stop workers, so it asks for them."
    if not (user + password).isascii() or "," in user + password or ":" in user:
        return "FLOWER_USER and FLOWER_PASSWORD take ASCII characters without a comma, FLOWER_USER no colon either."
    return None
