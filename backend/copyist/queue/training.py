"""A run of training, from the claim of its row to the decision: what a trainer does with the message ``TRAIN``.

The work is done by two programs (``python -m copyist.training``) in the run's folder, ``DATA_DIR/training/<run>``; this
process starts them, holds the run's lease meanwhile, writes down how far they are, and stops them when the run is
cancelled or the lease lost. Whatever happens, the champion is what it was until the gate's decision is committed. A run
whose trainer is gone waits again, and goes on from its checkpoint where its folder is still there.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from copyist.db import runs
from copyist.db.learning_tables import TrainingRun
from copyist.db.states import RUN_OPEN, RunStatus
from copyist.errors import CopyistError, StorageFull, TrainingFailed, Unavailable
from copyist.queue import run_folder, saving
from copyist.queue.alone import alone
from copyist.queue.footing import Footing
from copyist.queue.lease import DATABASE_AWAY, LEASE_S, CancelAsked, Lease, Lost
from copyist.queue.run_progress import RunProgress
from copyist.queue.supervising import Program
from copyist.reasons import is_full, known, why
from copyist.settings import Settings
from copyist.training.order import EVALUATION, TRAINED, Evaluation, Order, Trained

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "copyist.training")
LOG = "trainer.log"
TICK_S = 0.2
INSIST_S, INSIST_EVERY_S = 900.0, 1.0
"""How long, and how often, it is tried to write the end of a run into a database that is away."""
_KILLED = "Its process was killed, as the system does where memory runs out."


class CameToNothing(Exception):
    """A program said why it cannot go on; another attempt would meet the same."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class Killed(Exception):
    """A program was killed; another attempt may do. The message is what is known of it, a sentence."""


def train(here: Footing, run_id: str, *, token: str) -> None:
    """Make a run, if nobody else has it. What comes of it is in its row afterwards."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(run=run_id)
    with here.db.write() as session:
        run = runs.claim(session, run_id, token, LEASE_S)
    if run is None:
        return
    log.info("attempt %d begins", run.attempts)
    folder = run_folder.place(here) / run_id
    with Lease(here, run_id, token) as lease:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with alone(run_folder.lock(folder), lease.stop):
                _make(here, run, folder, lease)
        except Lost:
            log.warning("the run was given back or taken over")
            return
        except Exception as error:
            _end(here, run_id, token, error)
    status = _status(here, run_id)
    if status not in RUN_OPEN:  # Else somebody goes on in the folder, or does so already.
        run_folder.forget(folder)
        saving.prune(here)
        saving.tell_mlflow(here, run_id)
    log.info("the run is %s", status)


def _make(here: Footing, run: TrainingRun, folder: Path, lease: Lease) -> None:
    """Do the whole of it; raises what keeps it from its end."""
    run_folder.forget_others(here)
    progress = RunProgress(here, run, lease)
    progress.phase("dataset")
    plan, order = run_folder.resumed(here, run, folder, lease) or run_folder.prepared(here, run, folder, lease)
    if run_folder.left(folder / TRAINED, Trained) is None:
        _do("train", here.settings, folder, order, lease, progress)
    if run_folder.left(folder / EVALUATION, Evaluation) is None:
        plan, order = run_folder.up_to_date(here, folder, plan, order, lease)
        _do("evaluate", here.settings, folder, order, lease, progress)
    trained, evaluation = run_folder.left(folder / TRAINED, Trained), run_folder.left(folder / EVALUATION, Evaluation)
    if trained is None or evaluation is None:
        missing = TRAINED if trained is None else EVALUATION
        raise CameToNothing("broken", f"A program of the run ended well, and what it left in {missing} cannot be read.")
    progress.phase("saving")
    made = saving.Made(folder, plan, order, trained, evaluation)
    saving.save(here, run, lease, made)


def _do(what: str, settings: Settings, folder: Path, order: Order, lease: Lease, progress: RunProgress) -> None:
    """Let one program do its part; raises ``CameToNothing``, ``Killed``, and what ``lease.check`` does."""
    lease.check()
    command = [*COMMAND, what, str(folder)]
    with Program(command, folder, folder / LOG, threads=order.threads) as program:
        left_s, before = settings.train_time_limit_h * 3600, time.monotonic()
        while (status := program.status()) is None:
            if lease.stop.asked:
                program.stop()
                lease.check()
            program.pause(lease.paused is not None)
            moment = time.monotonic()
            left_s, before = left_s - (0 if lease.paused else moment - before), moment
            if left_s < 0:
                program.stop()
                raise CameToNothing("time_limit", _over_time(settings))
            progress.take(program.events(), paused=lease.paused)
            time.sleep(TICK_S)
        progress.take(program.events(), paused=None, at_once=True)
    if status != 0:
        log.error("the program %s ended with %d: %s", what, status, program.tail)
        if progress.failure is not None:
            raise CameToNothing(*progress.failure)
        if status < 0 or status == 128 + signal.SIGTERM:
            raise Killed(_killed_by(status))
        raise CameToNothing("broken", f"It ended with the status {status} and did not say why; the log has more.")


def _killed_by(status: int) -> str:
    number = -status if status < 0 else status - 128
    return _KILLED if number == signal.SIGKILL else f"Its process was ended by {signal.Signals(number).name}."


def _over_time(settings: Settings) -> str:
    hours = f"{settings.train_time_limit_h:g} hours"
    return f"It was not done within {hours}. Raise TRAIN_TIME_LIMIT_H, or train fewer epochs."


def _end(here: Footing, run_id: str, token: str, error: Exception) -> None:
    """Write down how the attempt ended."""
    if isinstance(error, CancelAsked):
        _insist(here, lambda session: runs.cancelled(session, run_id, token))
    elif isinstance(error, Killed):
        log.warning("%s", error)
        _insist(here, lambda session: runs.recover(session, run_id, token, reason=str(error)))
    elif isinstance(error, CameToNothing):
        code, detail = error.code, f"{error.detail} The champion serves on."
        _insist(here, lambda session: runs.fail(session, run_id, token, code=code, detail=detail))
    elif isinstance(error, StorageFull) or (isinstance(error, OSError) and is_full(error)):
        detail = "There was no room to save it: the disk is full. Free some and start it again. The champion serves on."
        _insist(here, lambda session: runs.fail(session, run_id, token, code="disk_full", detail=detail))
    elif isinstance(error, Unavailable) or (isinstance(error, DATABASE_AWAY) and known(error)):
        log.warning("given back, to be tried again: %s", why(error))
        _insist(here, lambda session: runs.give_back(session, run_id, token, at_once=False))
    else:
        if not isinstance(error, CopyistError):
            log.error("the run failed", exc_info=error)
            error = TrainingFailed(reason="It stopped with an error; the log has the details.")
        told = error
        _insist(here, lambda session: runs.fail(session, run_id, token, code=told.code, detail=told.detail))


def _insist(here: Footing, write: Callable[[Session], object]) -> None:
    """Write, and where the database is away, wait for it: nothing else could be done either."""
    until = time.monotonic() + INSIST_S
    while True:
        try:
            with here.db.write() as session:
                write(session)
            return
        except DATABASE_AWAY as error:
            if time.monotonic() > until:
                raise
            log.warning("the end of the run cannot be written down yet: %s", why(error))
        time.sleep(INSIST_EVERY_S)


def _status(here: Footing, run_id: str) -> RunStatus:
    with here.db.read() as session:
        return runs.get(session, run_id).status
