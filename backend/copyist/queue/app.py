"""Celery: the worker's application, its settings, and what its processes do when they start, stop and die.

``celery -A copyist.queue.app`` finds ``app`` here. The settings behind it were measured for this broker: late
acknowledgement with a prefetch of one, no result backend, no retries by Celery (the database retries), a long
visibility timeout that is the same everywhere, and the pool ``prefork``, the only one that can stop a running page.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import warnings
from typing import Any

from copyist.engines.threads import limit_threads

limit_threads()  # Before any library reads them.

from billiard.exceptions import WorkerLostError  # noqa: E402
from celery import Celery, signals  # noqa: E402
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning  # noqa: E402
from celery.worker import state  # noqa: E402
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402

from copyist import log as logs  # noqa: E402
from copyist import pulse, tracing  # noqa: E402
from copyist import settings as configuration  # noqa: E402
from copyist.db import presence  # noqa: E402
from copyist.document import Outcome  # noqa: E402
from copyist.engines.chain import chain_order  # noqa: E402
from copyist.engines.registry import Registry  # noqa: E402
from copyist.engines.setup import engine_settings  # noqa: E402
from copyist.errors import ConfigurationError  # noqa: E402
from copyist.lifeline import end_with_parent  # noqa: E402
from copyist.queue import upkeep  # noqa: E402
from copyist.queue.context import context, forget_parent  # noqa: E402
from copyist.queue.reading import LOADING_S  # noqa: E402
from copyist.queue.routing import Queue, celery_app  # noqa: E402
from copyist.queue.together import TAKE_ALONG_S  # noqa: E402
from copyist.queue.warmup import take_a_gpu, warm_up  # noqa: E402
from copyist.reasons import Trouble, why  # noqa: E402
from copyist.settings import Settings  # noqa: E402

log = logging.getLogger(__name__)
_database = Trouble(log, "the database")


def _start() -> tuple[Settings, Celery]:
    """The settings, with engines that exist, and the application for them.

    Where a setting cannot work, the process ends with ``EX_CONFIG``.
    """
    try:
        found = configuration.load()
        registry = Registry(engine_settings(found.model_dump()), found.ocr_plugins)
        chain_order(found.ocr_backend, found.ocr_fallback or None, registry.names)
        _check_languages(found, registry)
        return found, celery_app(found.redis_url)
    except ConfigurationError as error:
        print(error.detail, file=sys.stderr)  # noqa: T201
        raise SystemExit(os.EX_CONFIG) from error


def _check_languages(found: Settings, registry: Registry) -> None:
    there = {language for one in registry.survey().values() if one.ready for language in one.languages}
    unknown = [language for language in found.ocr_languages if there and language not in there]
    if unknown:
        known = ", ".join(sorted(there))
        problem = f"OCR_LANGUAGES names {', '.join(unknown)}, which no engine here reads. There are: {known}."
        raise ConfigurationError(problem=problem)


settings, app = _start()
app.conf.update(
    include=["copyist.queue.tasks"],
    task_acks_late=True,
    task_reject_on_worker_lost=False,
    worker_prefetch_multiplier=1,
    worker_pool="prefork",
    worker_concurrency=settings.celery_worker_concurrency,
    worker_max_tasks_per_child=settings.worker_max_tasks_per_child or None,
    # The watch ends a process that hangs; this is for one whose threads cannot run either. What was taken along last
    # still has to be looked into, to wait for its engine and to be read.
    task_time_limit=TAKE_ALONG_S + LOADING_S + 4 * settings.engine_timeout_s + 2 * settings.intake_timeout_s,
    # A child that is replaced loads nothing until its first page, but a busy machine may be slow to start it.
    worker_proc_alive_timeout=120,
    # How long the main process waits for word from a child that died. Until then the child's place is not free, and a
    # lease that runs out before would make a crash look like a lost worker.
    worker_lost_wait=0.5,
    worker_hijack_root_logger=False,
    # Flower switches these on within seconds at workers that it meets; where it is set up, no task comes before that.
    worker_send_task_events=bool(settings.flower_user),
    worker_soft_shutdown_timeout=10,
    worker_cancel_long_running_tasks_on_connection_loss=False,
)

SHOW_EVERY_S = 5.0
LOOK_AFTER_CHILDREN_S = 0.5


def worker_name() -> str:
    """The name under which this worker shows itself."""
    return f"{os.environ.get('COPYIST_WORKER_NAME') or 'worker'}-{os.getpid()}@{socket.gethostname()}"


# Containers run as a user of their own; who starts a worker as root has reasons, and need not be told each time.
warnings.filterwarnings("ignore", category=SecurityWarning)
# Told whenever the broker is lost, of a default that is to change: it is set above.
warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)


@signals.setup_logging.connect
def _logging(**_: Any) -> None:
    logs.setup(settings.log_level, settings.log_format)


@signals.celeryd_init.connect
def _choose_processes(conf: Any, **_: Any) -> None:
    conf.worker_concurrency = context().processes()


@signals.celeryd_after_setup.connect
def _choose_queues(instance: Any, **_: Any) -> None:
    """Serve the queues of the engines that are here, unless the command line named some."""
    queues = instance.app.amqp.queues
    if queues.consume_from.keys() <= {Queue.CPU.value}:
        queues.select(context().queues())


@signals.worker_process_init.connect
def _forked(**_: Any) -> None:
    end_with_parent()
    forget_parent()
    tracing.setup("copyist-worker", settings.otel_exporter_otlp_endpoint)
    take_a_gpu()
    warm_up(context(), app.conf.worker_concurrency)


@signals.worker_process_shutdown.connect
def _end_of_child(**_: Any) -> None:
    tracing.shutdown()


@signals.worker_ready.connect
def _ready(sender: Any, **_: Any) -> None:
    """Show this worker now and every few seconds, from the worker's own loop: no thread that a fork could catch."""
    here = context()
    engines, consumed = here.engines(), app.amqp.queues.consume_from
    chooses = consumed.keys() == set(here.queues())
    chain = here.chain({})
    first = next((name for name in chain.order() if engines[name]["ready"]), "none")
    log.info("Initialized OCR service with backend: %s", first)
    for name, facts in engines.items():
        if not facts["ready"]:
            log.info("OCR engine %s is not ready: %s", name, facts["reason"])

    def show() -> None:
        pulse.beat("worker", _show(sender, chooses=chooses))

    show()
    sender.timer.call_repeatedly(SHOW_EVERY_S, show)
    # Left to itself the pool looks every five seconds, and a place that a cancel has freed stays empty for so long.
    sender.timer.call_repeatedly(LOOK_AFTER_CHILDREN_S, sender.pool.maintain_pool)


def _show(consumer: Any, *, chooses: bool) -> str | None:
    """Write down that this worker is alive, which queues it serves and what its engines are; gives what went wrong."""
    here, consumed = context(), app.amqp.queues.consume_from
    try:
        if chooses:
            _serve_more(consumer)
        queues = list(consumed)
        at_once = app.conf.worker_concurrency * max(here.pages_at_once(queue) for queue in queues)
        with here.db.write() as session:
            presence.show(
                session,
                worker_name(),
                queues=queues,
                concurrency=at_once,
                engines=here.engines(),
            )
        _database.over()
    except SQLAlchemyError as error:
        return f"The database does not answer: {_database.met(error)}."
    except Exception as error:
        log.exception("this worker could not show itself")
        return f"This worker could not show itself: {why(error)}."
    return None


def _serve_more(consumer: Any) -> None:
    """Serve the queue of an engine that is ready only now: its server was started after this worker.

    A model of our own is left alone: it may need other processes than this worker has.
    """
    here = context()
    if here.processes() == consumer.app.conf.worker_concurrency:
        for queue in set(here.queues()) - app.amqp.queues.consume_from.keys():
            log.info("the queue %s is served from now on", queue)
            consumer.add_task_queue(queue)


@signals.worker_shutdown.connect
def _leave(**_: Any) -> None:
    try:
        upkeep.give_back(context(), [request.id for request in state.active_requests])
        with context().db.write() as session:
            presence.leave(session, worker_name())
    except Exception as error:
        log.warning("this worker could not sign off: %s", type(error).__name__)


@signals.task_failure.connect
def _died(task_id: str, exception: BaseException, **_: Any) -> None:
    """The task failed, or the child that ran it died: what it had in hand need not wait for its lease to run out.

    For a child that died this runs in the worker's main process.
    """
    try:
        crashed = isinstance(exception, WorkerLostError)
        upkeep.recover_task(context(), task_id, Outcome.CRASHED if crashed else None)
    except Exception as error:
        log.warning("the sweeper will recover task %s after %s: %s", task_id, exception, type(error).__name__)
