"""When training begins by itself: after so many new corrections, and nightly; and that runs that wait are sent."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from copyist.db import examples, locks, presence, runs, training_plan
from copyist.db.states import RunStatus
from copyist.db.tables import Lock
from copyist.errors import RunActive
from copyist.queue.footing import Footing
from copyist.settings import Settings

log = logging.getLogger(__name__)

LONGEST_PERIOD_S = 60.0
NIGHTLY = "training nightly at "


def period_s(settings: Settings) -> float:
    """The time between two looks: a minute, less where all else is swift, too."""
    return min(LONGEST_PERIOD_S, 12 * settings.sweep_interval_s)


def maybe_start(here: Footing) -> bool:
    """Ask for a run, if it is time for one. There is never more to do before the next look, so it says ``False``."""
    rules = _rules(here.settings)
    with here.db.read() as session:
        why_not, why_not_at_night = _reasons(session, rules)
    try:
        with here.db.write() as session:
            trigger = "corrections" if why_not is None else None
            if rules.nightly_at and _is_night_turn(session, rules.nightly_at, here.holder, datetime.now().astimezone()):
                log.info("the night's run: %s", why_not_at_night or "it begins")
                trigger = trigger or (None if why_not_at_night else "nightly")
            run = runs.create(session, trigger=trigger) if trigger else None
    except RunActive:  # Another beat, or a person, was a moment faster.
        return False
    if run is not None:
        log.info("training begins: %s", run.trigger)
        here.sender.train(run.id)
    return False


def _rules(settings: Settings) -> training_plan.Rules:
    return training_plan.Rules(
        is_on=settings.training == "auto",
        retrain_after=settings.retrain_after,
        min_lines=settings.train_min_lines,
        nightly_at=settings.train_at,
    )


def _reasons(session: Session, rules: training_plan.Rules) -> tuple[str | None, str | None]:
    """Why no run begins now for what was corrected, and why not if it is the night's turn; ``None``: one does."""
    counts, active, paused = examples.counts(session), runs.active(session), runs.paused(session)
    last = next(iter(runs.newest(session, 1)), None)
    return (
        training_plan.why_not(counts, rules, active=active, paused=paused, last=last),
        training_plan.why_not(counts, rules, active=active, paused=paused, nightly=True),
    )


def _is_night_turn(session: Session, at: str, holder: str, moment: datetime) -> bool:
    """Whether this is the first look after the time ``at`` (``02:00``) of a night, of all beats.

    Where nobody was there at that time it is made up for. The very first look only begins to wait.
    """
    name = f"{NIGHTLY}{at}"
    is_first = session.get(Lock, name) is None
    hours, minutes = (int(part) for part in at.split(":"))
    next_time = moment.replace(hour=hours, minute=minutes, second=0, microsecond=0)
    if next_time <= moment:
        next_time += timedelta(days=1)
    return locks.once(session, name, holder, (next_time - moment).total_seconds()) and not is_first


def recover_expired(here: Footing) -> None:
    """Runs whose lease ran out: their trainers are gone."""
    with here.db.read() as session:
        if not runs.expired(session):
            return
    with here.db.write() as session:
        # Asked again: a machine that slept extends its lease when it wakes up, perhaps just now.
        for run_id, token in runs.expired(session, lock=True):
            _recover(session, run_id, token, "The trainer was not heard of any more.")


def _recover(session: Session, run_id: str, token: str, reason: str) -> None:
    """Let a run wait again whose trainer is gone, or give it up."""
    status = runs.recover(session, run_id, token, reason=reason)
    if status is not None:
        log.warning("run %s lost its trainer and is %s: %s", run_id, status, reason)


def recover_task(here: Footing, task_id: str, reason: str) -> None:
    """The process that had the Celery task ``task_id`` died: what it had in hand is put back."""
    with here.db.write() as session:
        for run_id, token in runs.of_task(session, task_id):
            _recover(session, run_id, token, reason)


def give_back(here: Footing, task_id: str) -> None:
    """This trainer stops: the run that it has in hand goes back, and the attempt is not counted."""
    with here.db.write() as session:
        for run_id, token in runs.of_task(session, task_id):
            log.info("run %s is given back", run_id)
            runs.give_back(session, run_id, token)


def send_unsent(here: Footing) -> None:
    """Send runs that wait and were not sent, and, while a trainer is alive, those that nobody took for long."""
    with here.db.read() as session:
        active = runs.active(session)
    if active is None or active.status != RunStatus.QUEUED:
        return
    with here.db.write() as session:
        waiting = runs.to_send(session, again=presence.trainer_alive(session))
    for run_id in waiting:
        here.sender.train(run_id)
