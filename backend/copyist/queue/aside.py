"""The application of those who read no page, beat and Flower: it knows the broker and the queues, and no engine.

``celery -A copyist.queue.aside beat`` finds ``app`` here, and ``queue.watching`` adds what Flower wants; the commands
``copyist beat`` and ``copyist flower`` say the rest.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import kombu
from celery import signals
from celery.app import control

from copyist import log as logs
from copyist import settings as configuration
from copyist.errors import ConfigurationError
from copyist.queue.routing import SWEEP, Queue, celery_app


class Control(control.Control):  # type: ignore[misc]
    """Celery's remote control, which gives up when the broker is away."""

    def broadcast(self, *arguments: Any, **options: Any) -> Any:
        """Send a command; Celery's own would try for ever, in a thread that Flower waits for when it is to stop."""
        with self.app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
        return super().broadcast(*arguments, **options)


try:
    settings = configuration.load()
    app = celery_app(settings.redis_url)
except ConfigurationError as error:
    print(error.detail, file=sys.stderr)  # noqa: T201
    raise SystemExit(os.EX_CONFIG) from None
app.control_cls = Control
# Flower shows the queues of the workers that it has met. Until it has met one, it shows these.
app.conf.task_queues = [kombu.Queue(queue.value) for queue in Queue]
app.conf.update(
    worker_hijack_root_logger=False,
    beat_scheduler="copyist.queue.beat:Scheduler",
    beat_schedule={"sweep": {"task": SWEEP, "schedule": settings.sweep_interval_s}},
    beat_max_loop_interval=settings.sweep_interval_s,
)


@signals.setup_logging.connect
def _logging(**_: Any) -> None:
    logs.setup(settings.log_level, settings.log_format)


logs.setup(settings.log_level, settings.log_format)
