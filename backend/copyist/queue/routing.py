"""Where work is sent: queue names, priorities, the broker, and the bell that tells waiting clients to look again.

A message carries an id and is only a doorbell: the database is the truth, so a message may be lost, doubled or late
without harm. This module imports no task and no engine; it is all that the API needs in order to send.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import redis
import redis.asyncio
from celery import Celery
from kombu.exceptions import OperationalError

from copyist.errors import ConfigurationError
from copyist.queue.tally import TALLY, Told, told

log = logging.getLogger(__name__)

INTAKE, READ_PAGE, DRAW_PAGE, SWEEP = "copyist.intake", "copyist.read_page", "copyist.draw_page", "copyist.sweep"
CUT_LINES, TRAIN = "copyist.cut_lines", "copyist.train"
BELL_CHANNEL = "copyist.bell"
CHECK_KEPT_S = 60


class Queue(StrEnum):
    """The queues. Pages wait on the first two."""

    CPU = "cpu"
    GPU = "gpu"
    PICTURES = "pictures"
    """Pictures of pages for people who look at them, and of lines to learn from; every worker serves it."""
    TRAINING = "training"
    """Runs of training, which a trainer does; a worker that reads pages never serves it."""


class News(StrEnum):
    """What the bell rings for."""

    ENDED = "ended"
    PAGE = "page"
    PICTURE = "picture"


class Priority(StrEnum):
    """How urgent a job is. The sync routes and the web page are interactive."""

    INTERACTIVE = "interactive"
    NORMAL = "normal"
    BATCH = "batch"

    @property
    def rank(self) -> int:
        """The number Celery and the database sort by; lowest first."""
        return {Priority.INTERACTIVE: 0, Priority.NORMAL: 3, Priority.BATCH: 6}[self]


PRIORITY_STEPS = [0, 3, 6]

TRANSPORT = {
    # Every process on one broker must agree on these: the smallest visibility timeout counts for all. It must stay
    # above twice the hard limit of a task, or a running page would be handed out a second time.
    "visibility_timeout": 3600,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_timeout": 15,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 25,
    "queue_order_strategy": "round_robin",
    "priority_steps": PRIORITY_STEPS,
    "sep": ":",
}


def kombu_url(redis_url: str) -> str:
    """The broker's URL as Celery spells it: a unix socket is ``redis+socket://`` there."""
    return redis_url.replace("unix://", "redis+socket://", 1) if redis_url.startswith("unix://") else redis_url


def socket_options(redis_url: str) -> dict[str, Any]:
    """Transport options for this URL: TCP keepalive makes no sense on a unix socket, and redis-py refuses it there."""
    options = dict(TRANSPORT)
    if redis_url.startswith("unix://"):
        options.pop("socket_keepalive")
    return options


def _client(redis_url: str) -> redis.Redis:
    try:
        return redis.Redis.from_url(redis_url, socket_connect_timeout=3, socket_timeout=15)
    except ValueError:
        # The parser's own words show a piece of the address, which may be of the password.
        raise ConfigurationError(problem="REDIS_URL names no broker. Use redis://host:6379/0.") from None


def celery_app(redis_url: str) -> Celery:
    """A Celery application that can send; ``queue.app`` builds the workers' one on it.

    Raises ``ConfigurationError`` for an address that is none; without one it is made all the same, and cannot send.
    """
    if redis_url:
        _client(redis_url)
    app = Celery("copyist", broker=kombu_url(redis_url), set_as_current=False)
    app.conf.update(
        broker_transport_options=socket_options(redis_url),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=10,
        task_ignore_result=True,
        result_backend=None,
        task_serializer="json",
        accept_content=["json"],
        task_default_queue=Queue.CPU.value,
        task_default_priority=Priority.NORMAL.rank,
        task_publish_retry=False,
        task_create_missing_queues=True,
    )
    return app


class Sender:
    """Sends ids. A broker that is down is no error: the sweeper sends again what was not taken."""

    def __init__(self, app: Celery, redis_url: str) -> None:
        self._app = app
        self._redis = _client(redis_url)

    def intake(self, job_id: str, *, queue: str, priority: int) -> bool:
        """Ask for the job's file to be looked into; ``False`` when the broker cannot be reached."""
        return self._send(INTAKE, {"job_id": job_id}, queue=queue, priority=priority)

    def pages(self, job_id: str, numbers: Iterable[int], *, queue: str, priority: int) -> bool:
        """Ask for pages to be read; ``False`` as soon as the broker cannot be reached, the rest is then not tried."""
        return all(
            self._send(READ_PAGE, {"job_id": job_id, "number": number}, queue=queue, priority=priority)
            for number in numbers
        )

    def picture(self, job_id: str, number: int) -> bool:
        """Ask for the picture of a page to be drawn."""
        arguments = {"job_id": job_id, "number": number}
        return self._send(DRAW_PAGE, arguments, queue=Queue.PICTURES, priority=Priority.INTERACTIVE.rank)

    def lines(self, job_id: str, number: int) -> bool:
        """Ask for the pictures of those lines of a page that somebody corrected."""
        arguments = {"job_id": job_id, "number": number}
        return self._send(CUT_LINES, arguments, queue=Queue.PICTURES, priority=Priority.BATCH.rank)

    def train(self, run_id: str) -> bool:
        """Ask for a run of training."""
        return self._send(TRAIN, {"run_id": run_id}, queue=Queue.TRAINING, priority=Priority.BATCH.rank)

    def _send(self, task: str, arguments: dict[str, Any], *, queue: str, priority: int) -> bool:
        try:
            self._app.send_task(task, kwargs=arguments, queue=queue, priority=priority, retry=False)
        except (OperationalError, redis.RedisError, OSError) as error:
            log.warning("the broker cannot be reached, the sweeper will send %s again: %s", task, error)
            return False
        return True

    def ring(self, job_id: str, news: News) -> None:
        """Tell whoever waits for it. A bell that nobody hears is no harm: waiters look by themselves, too.

        What this process has counted meanwhile goes along: see ``tally``.
        """
        try:
            pipe = self._redis.pipeline(transaction=False)
            pipe.publish(BELL_CHANNEL, f"{job_id} {news}")
            TALLY.send(pipe)
        except (redis.RedisError, OSError) as error:
            log.warning("nobody was told about job %s: %s", job_id, error)

    def waiting(self, queue: str) -> int:
        """How many messages of ``queue`` lie in the broker and were not handed to a worker yet."""
        keys = [queue if step == 0 else f"{queue}{TRANSPORT['sep']}{step}" for step in PRIORITY_STEPS]
        pipe = self._redis.pipeline(transaction=False)
        for key in keys:
            pipe.llen(key)
        return sum(pipe.execute())

    def told(self) -> Told:
        """What all processes have counted."""
        return told(self._redis)

    def check(self) -> None:
        """Write to the broker, which may answer and have no room; raises whatever stands in the way."""
        self._redis.set("copyist.check", b"ok", ex=CHECK_KEPT_S)


def bell(redis_url: str) -> redis.asyncio.Redis:
    """A connection for listening to the bell from asynchronous code."""
    return redis.asyncio.Redis.from_url(redis_url, socket_connect_timeout=3, health_check_interval=25)
