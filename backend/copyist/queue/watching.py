"""Flower's application: that of those who read no page, with what Flower lacks when the broker is away.

``celery -A copyist.queue.watching flower`` finds ``app`` here; ``copyist flower`` says the rest of it.
"""

from __future__ import annotations

import atexit
import os
from types import FrameType
from typing import Any

import kombu
from celery.app import control
from flower import command

from copyist.queue.aside import app as app
from copyist.queue.routing import Queue


class Control(control.Control):  # type: ignore[misc]
    """Celery's remote control, which gives up when the broker is away."""

    def broadcast(self, *arguments: Any, **options: Any) -> Any:
        """Send a command; Celery's own would try for ever, and whoever pressed the button would wait as long."""
        with self.app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
        return super().broadcast(*arguments, **options)


def _stop(_number: int, _frame: FrameType | None) -> None:
    """Save what Flower remembers, and end.

    Python's own way would first wait for threads that ask a broker which may be away, and might never come to saving.
    """
    atexit._run_exitfuncs()
    os._exit(0)


app.control_cls = Control
# Flower shows the queues of the workers that it has met. Until it has met one, it shows these.
app.conf.task_queues = [kombu.Queue(queue.value) for queue in Queue]
command.sigterm_handler = _stop
