"""Several pages at once in one process, where the engine reads them so: a model on a GPU in one batch, a server.

A task begins with one page or one job. While there are free places, it takes along what else waits on the same queue:
the messages of that are then found to be done, and dropped. After a while it takes nothing more and ends, so that the
worker can look after other things.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial

from copyist.db import sweep
from copyist.queue import intake, reading
from copyist.queue.context import Context

log = logging.getLogger(__name__)

TAKE_ALONG_S = 20.0
"""How long a task takes further work along."""
LOOK_EVERY_S = 0.2


def do_together(
    context: Context, queue: str, first: Callable[[], object], *, token: Callable[[], str], alone: bool = False
) -> None:
    """Do ``first``, and beside it what else waits on ``queue``. ``token`` makes lease tokens of this task.

    ``alone`` is for a page that took its process down before: nothing else shall suffer for it. Raises what the first
    piece of work that failed raised, once all are done.
    """
    places = 1 if alone else context.pages_at_once(queue)
    if places == 1:
        first()
        return
    until = time.monotonic() + TAKE_ALONG_S
    failures: list[BaseException] = []
    with ThreadPoolExecutor(places, thread_name_prefix="page") as pool:
        running: set[Future[object]] = {pool.submit(first)}
        while running:
            takes = time.monotonic() < until and len(running) < places
            if takes:
                running |= {pool.submit(work) for work in _waiting(context, queue, places - len(running), token)}
            ended, running = wait(running, timeout=LOOK_EVERY_S if takes else None, return_when=FIRST_COMPLETED)
            failures += [error for future in ended if (error := future.exception())]
    if failures:
        raise failures[0]


def _waiting(context: Context, queue: str, count: int, token: Callable[[], str]) -> Iterator[Callable[[], object]]:
    """Up to ``count`` pieces of work that were sent and not taken yet: intakes first, since they are short.

    Their tokens are made here: Celery knows which task it is in the task's own thread only.
    """
    with context.db.read() as session:
        jobs, pages = sweep.waiting_jobs(session, queue, count), sweep.waiting_pages(session, queue, count)
    works: list[Callable[[], object]] = [
        *(partial(intake.take_in, context, job_id, token=token()) for job_id in jobs),
        *(partial(reading.read_one, context, job_id, number, token=token()) for job_id, number in pages),
    ]
    yield from works[:count]
