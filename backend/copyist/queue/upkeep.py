"""The sweeper: finds work that was lost on its way and sends it again. It is the outbox, too.

It runs every few seconds inside the beat process, not on a queue, so it is never behind the pages it is to rescue and
does its part while the broker is away. A lock in the database keeps it to one at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta

import redis

from copyist.db import examples, jobs, locks, pages, presence, sweep
from copyist.db.pages import Lease
from copyist.db.states import PageStatus
from copyist.db.tables import Job, Page, now
from copyist.document import Outcome
from copyist.queue import schedule
from copyist.queue.footing import Footing
from copyist.queue.routing import News, Queue
from copyist.queue.tally import NOBODY, TALLY

log = logging.getLogger(__name__)

LOCK = "sweeper"
LONGEST_SWEEP_S = 60.0
"""A sweeper that has not come back by then is taken for dead."""
SMALLEST_WINDOW = 4
"""Pages of one job that are in flight at the least."""
LINES_RESENT_S, LINES_AT_ONCE = 60.0, 200
"""Lines that wait so long to be cut out of their pages are sent again, of at most so many pages at once."""


def window(here: Footing, capacity: dict[str, int], queue: str) -> int:
    """How many pages of one job may be in flight: twice what the workers of its queue can read at once."""
    return here.settings.page_window or max(SMALLEST_WINDOW, 2 * capacity.get(queue, 0))


def run_sweep(here: Footing) -> None:
    """One round."""
    with here.db.write() as session:
        if not locks.acquire(session, LOCK, here.holder, LONGEST_SWEEP_S):
            return
    try:
        _sweep(here)
    finally:
        with here.db.write() as session:
            locks.release(session, LOCK, here.holder)


def _sweep(here: Footing) -> None:
    end_overdue(here)
    recover_expired(here)
    schedule.recover_expired(here)
    reroute_orphans(here)
    bring_home(here)
    try:
        here.sender.check()
    except (redis.RedisError, OSError):
        log.warning("the broker cannot be reached; what waits is sent when it is back")
        return
    find_lost(here)
    send_unsent(here)
    schedule.send_unsent(here)


def end_overdue(here: Footing) -> None:
    """Jobs whose time is over end with what was read of them."""
    with here.db.read() as session:
        late = jobs.overdue(session)
    for job_id in late:
        with here.db.write() as session:
            ended = jobs.give_up(session, job_id)
        if ended:
            log.info("the time limit of job %s is over", job_id)
            here.sender.ring(job_id, News.ENDED)


def recover_expired(here: Footing) -> None:
    """Leases that ran out: their workers are gone."""
    with here.db.read() as session:
        leases, intakes = pages.expired(session), sweep.expired_intakes(session)
    for lease in leases:
        recover_page(here, lease, Outcome.LOST)
    for job_id, token in intakes:
        recover_intake(here, job_id, token)


def recover_page(here: Footing, lease: Lease, outcome: Outcome | None) -> None:
    """Put a page back whose reader is gone, or give it up."""
    log.warning("page %d of job %s is put back: %s", lease.number, lease.job_id, outcome or "its reading failed")
    with here.db.write() as session:
        ended = pages.recover(session, lease, outcome=outcome, max_attempts=here.settings.page_attempts)
        page = session.get(Page, (lease.job_id, lease.number), populate_existing=True)
    if page is not None and page.status == PageStatus.FAILED:
        TALLY.page(page.trail[-1]["engine"] if page.trail else NOBODY, "failed", trail=page.trail)
    if ended:
        here.sender.ring(lease.job_id, News.ENDED)


def recover_intake(here: Footing, job_id: str, token: str) -> None:
    """Put a job back whose intake under ``token`` is gone, or give it up."""
    log.warning("the intake of job %s lost its worker", job_id)
    with here.db.write() as session:
        ended = jobs.recover_intake(session, job_id, token, max_attempts=here.settings.page_attempts)
    if ended:
        here.sender.ring(job_id, News.ENDED)


def recover_task(here: Footing, task_id: str, outcome: Outcome | None) -> None:
    """A Celery task failed, or its process died: put back all that it had in hand.

    After a death it is sent again at once. What failed of a fault of ours waits for the next sweep, so that its
    attempts are not used up in a moment. What goes by, as a full disk, does not come here: see ``reading.is_ours``.
    """
    with here.db.read() as session:
        leases, intakes = pages.held_by_task(session, task_id), sweep.intakes_of_task(session, task_id)
    for lease in leases:
        recover_page(here, lease, outcome)
    for job_id, token in intakes:
        recover_intake(here, job_id, token)
    if outcome is not None:
        send_unsent(here)


def reroute_orphans(here: Footing) -> None:
    """Work on a queue that no living worker serves goes to one that somebody does, down the chain."""
    with here.db.write() as session:
        capacity = presence.capacity(session)
        for orphan in sweep.open_queues(session) - capacity.keys():
            for target in (Queue.CPU.value, Queue.GPU.value):
                if target in capacity:
                    log.warning("nobody serves the queue %s; its work goes to %s", orphan, target)
                    sweep.reroute(session, orphan, target)
                    break


def bring_home(here: Footing) -> None:
    """Pages that belong on a GPU and wait elsewhere go there, once a worker with an engine for it has appeared."""
    with here.db.write() as session:
        served = presence.on_gpu(session)
        for queue, home in sweep.strangers(session):
            if home in served:
                log.info("the queue %s is served again; what waits on %s and belongs there goes back", home, queue)
                sweep.reroute(session, queue, home, home=home)


def find_lost(here: Footing) -> None:
    """Where the broker holds fewer messages than we sent and nobody took, some were lost: those are sent again."""
    before = now() - timedelta(seconds=here.settings.resend_after_s)
    for queue in (Queue.CPU, Queue.GPU):
        with here.db.read() as session:
            old, sent = sweep.sent_waiting(session, queue, before), sweep.sent_waiting(session, queue, now())
        missing = min(old, sent - here.sender.waiting(queue)) if old else 0
        if missing > 0:
            log.warning("%d messages of queue %s were lost; sending again", missing, queue)
            with here.db.write() as session:
                sweep.unsend_oldest(session, queue, before, missing)


def send_unsent(here: Footing) -> None:
    """Send every job and page that waits and was not sent, pages within their job's window."""
    with here.db.write() as session:
        unsent = sweep.unsent_jobs(session)
    for job in unsent:
        if not here.sender.intake(job.id, queue=job.queue, priority=job.priority):
            return  # The broker is away; what is marked as sent is found to be lost when it is back.
    with here.db.read() as session:
        with_room, capacity = sweep.jobs_with_room(session), presence.capacity(session)
    for job in with_room:
        if not fill_window(here, job, window(here, capacity, job.queue)):
            return


def fill_window(here: Footing, job: Job, size: int) -> bool:
    """Send pages of a job until its window is full; close the job if nothing is open any more.

    ``False`` when the broker cannot be reached.
    """
    with here.db.write() as session:
        locked = session.get(Job, job.id, with_for_update=True)
        if locked is None:
            return True
        ended = jobs.close_if_read(session, locked)
        numbers = [] if ended else pages.take_to_send(session, job.id, size - pages.in_flight(session, job.id))
    if ended:
        here.sender.ring(job.id, News.ENDED)
    return here.sender.pages(job.id, numbers, queue=job.queue, priority=job.priority)


def send_lines(here: Footing) -> bool:
    """Send again the lines that wait to be cut out of their pages; ``True`` when there may be more of them."""
    try:
        room = LINES_AT_ONCE - here.sender.waiting(Queue.PICTURES)
    except (redis.RedisError, OSError):
        return False
    before = now() - timedelta(seconds=LINES_RESENT_S)
    with here.db.write() as session:
        found = examples.waiting(session, max(0, room), before)
        examples.sent(session, found)
    return all(here.sender.lines(job_id, number) for job_id, number in found) and len(found) == LINES_AT_ONCE


def give_back(here: Footing, task_ids: Iterable[str]) -> None:
    """This worker stops: what its tasks had in hand goes back, and the attempt is not counted."""
    for task_id in task_ids:
        with here.db.write() as session:
            for lease in pages.held_by_task(session, task_id):
                log.info("page %d of job %s is given back", lease.number, lease.job_id)
                pages.give_back(session, lease)
            for job_id, token in sweep.intakes_of_task(session, task_id):
                log.info("the intake of job %s is given back", job_id)
                jobs.give_back_intake(session, job_id, token)
