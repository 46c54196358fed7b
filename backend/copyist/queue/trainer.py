"""Celery for a trainer: one run at a time from the queue ``training``, and no engine in its memory.

``celery -A copyist.queue.trainer`` finds ``app`` here; ``copyist trainer`` says the rest of it. A run takes hours, so
its message is acknowledged at once: the row in the database is what counts, under a lease.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import warnings
from typing import Any
from uuid import uuid4

from billiard.exceptions import WorkerLostError
from celery import signals
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.worker import state
from sqlalchemy.exc import SQLAlchemyError

from copyist import log as logs
from copyist import pulse
from copyist import settings as configuration
from copyist.db import presence
from copyist.errors import ConfigurationError
from copyist.lifeline import end_with_parent
from copyist.queue import run_folder, schedule, training
from copyist.queue.footing import Footing, footing
from copyist.queue.routing import TRAIN, Queue, celery_app
from copyist.reasons import Trouble, why

log = logging.getLogger(__name__)
_database = Trouble(log, "the database")

try:
    settings = configuration.load()
    app = celery_app(settings.redis_url)
except ConfigurationError as error:
    print(error.detail, file=sys.stderr)  # noqa: T201
    raise SystemExit(os.EX_CONFIG) from None
app.conf.update(
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_pool="prefork",
    worker_concurrency=1,
    # What a run took of memory goes with its process.
    worker_max_tasks_per_child=1,
    worker_proc_alive_timeout=120,
    worker_lost_wait=0.5,
    worker_hijack_root_logger=False,
    worker_send_task_events=bool(settings.flower_user),
    worker_cancel_long_running_tasks_on_connection_loss=False,
)

# Containers run as a user of their own; who starts a trainer as root has reasons, and need not be told each time.
warnings.filterwarnings("ignore", category=SecurityWarning)
# Told whenever the broker is lost, of a default that is to change: it is set above.
warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)

SHOW_EVERY_S, TIDY_EVERY_S = 5.0, 3600.0
LOOK_AFTER_CHILDREN_S = 0.5
_parents: list[Footing] = []


@app.task(name=TRAIN, bind=True)
def train(self: Any, run_id: str) -> None:
    """Make one run."""
    training.train(footing(), run_id, token=f"{self.request.id}.{uuid4().hex}")


def trainer_name() -> str:
    """The name under which this trainer shows itself."""
    return f"trainer-{os.getpid()}@{socket.gethostname()}"


@signals.setup_logging.connect
def _logging(**_: Any) -> None:
    logs.setup(settings.log_level, settings.log_format)


@signals.worker_process_init.connect
def _forked(**_: Any) -> None:
    end_with_parent()
    # Connections of our own; the collector is kept from closing the parent's under it.
    _parents.append(footing())
    footing.cache_clear()


@signals.worker_ready.connect
def _ready(sender: Any, **_: Any) -> None:
    """Show this trainer now and every few seconds, from the worker's own loop: no thread that a fork could catch."""
    log.info("this trainer waits for runs")

    def show() -> None:
        pulse.beat("trainer", _show())

    show()
    _tidy()
    sender.timer.call_repeatedly(SHOW_EVERY_S, show)
    sender.timer.call_repeatedly(TIDY_EVERY_S, _tidy)
    sender.timer.call_repeatedly(LOOK_AFTER_CHILDREN_S, sender.pool.maintain_pool)


def _show() -> str | None:
    """Write down that this trainer is alive, which reads no pages; gives what went wrong."""
    try:
        with footing().db.write() as session:
            presence.show(session, trainer_name(), queues=[Queue.TRAINING.value], concurrency=0, engines={})
        _database.over()
    except SQLAlchemyError as error:
        return f"The database does not answer: {_database.met(error)}."
    except Exception as error:
        log.exception("this trainer could not show itself")
        return f"This trainer could not show itself: {why(error)}."
    return None


def _tidy() -> None:
    try:
        run_folder.forget_others(footing())
    except Exception as error:
        log.warning("folders of runs that are over could not be deleted: %s", why(error))


@signals.worker_shutting_down.connect
def _stopping(**_: Any) -> None:
    """Give the run back: its process notices, lets the program write a checkpoint, and ends; Celery waits for that."""
    # This is in the handler of a signal, which may have come while the loop held a connection.
    threading.Thread(target=_give_back, args=([request.id for request in state.active_requests],), daemon=True).start()


def _give_back(task_ids: list[str]) -> None:
    try:
        for task_id in task_ids:
            schedule.give_back(footing(), task_id)
    except Exception as error:
        log.warning("the run could not be given back, the sweeper will recover it: %s", type(error).__name__)


@signals.worker_shutdown.connect
def _leave(**_: Any) -> None:
    _give_back([request.id for request in state.active_requests])
    try:
        with footing().db.write() as session:
            presence.leave(session, trainer_name())
    except Exception as error:
        log.warning("this trainer could not sign off: %s", type(error).__name__)


@signals.task_failure.connect
def _died(task_id: str, exception: BaseException, **_: Any) -> None:
    """The process that had a run in hand died, or the run failed of a fault of ours: it need not wait for its lease."""
    crashed = isinstance(exception, WorkerLostError)
    reason = "Its supervising process was killed." if crashed else "It stopped with an error; the log has the details."
    try:
        schedule.recover_task(footing(), task_id, reason)
    except Exception as error:
        log.warning("the sweeper will recover the run: %s", type(error).__name__)
