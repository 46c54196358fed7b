"""The application of those who read no page, beat and Flower: it knows the broker and the queues, and no engine.

``celery -A copyist.queue.aside beat`` finds ``app`` here, and ``queue.watching`` adds what Flower wants; the commands
``copyist beat`` and ``copyist flower`` say the rest.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import signals

from copyist import log as logs
from copyist import settings as configuration
from copyist.errors import ConfigurationError
from copyist.queue.routing import SWEEP, celery_app

try:
    settings = configuration.load()
    app = celery_app(settings.redis_url)
except ConfigurationError as error:
    print(error.detail, file=sys.stderr)  # noqa: T201
    raise SystemExit(os.EX_CONFIG) from None
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
