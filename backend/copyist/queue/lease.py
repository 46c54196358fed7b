"""Holding a run of training while it is worked at, which takes hours: a beat every few seconds keeps its lease."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Self

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from copyist.db import runs
from copyist.engines.base import Stop
from copyist.queue.footing import Footing
from copyist.reasons import Trouble

log = logging.getLogger(__name__)

LEASE_S = 30.0
"""A trainer that has not been heard of for so long is taken for gone."""
BEAT_S = 2.0
"""So soon a cancel, a pause and a lost lease are noticed."""
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError, NoConnectionFree)


class Lost(Exception):
    """The run is somebody else's by now, or was given back because this trainer stops."""


class CancelAsked(Exception):
    """Somebody does not want the run any more."""


class Lease:
    """Use as a context around the work. ``stop`` is asked with ``Lost`` or ``CancelAsked`` when it is to end."""

    def __init__(self, here: Footing, run_id: str, token: str) -> None:
        self.run_id, self.token, self.stop = run_id, token, Stop()
        self.paused: str | None = None
        """Why the work is to stand still, for people; ``None`` while it may go on."""
        self._here, self._trouble = here, Trouble(log, "the database")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def check(self) -> None:
        """Raise ``Lost`` or ``CancelAsked`` when the work is to end."""
        self.stop.check()

    def _run(self) -> None:
        while not self._over.wait(BEAT_S) and not self.stop.asked:
            self._beat()

    def _beat(self) -> None:
        try:
            with self._here.db.write() as session:
                held = runs.extend(session, self.run_id, self.token, LEASE_S)
            self._trouble.over()
        except DATABASE_AWAY as error:
            # Nobody else can take the run while it is away. When it is back, the lease goes on or was lost.
            self._trouble.met(error)
            return
        except Exception:
            log.exception("the lease of the run could not be extended; this is tried again")
            return
        if held is None:
            self.stop.ask(Lost())
        elif held.cancel_asked:
            self.stop.ask(CancelAsked())
        else:
            self.paused = self._why_paused(held)

    def _why_paused(self, held: runs.Held) -> str | None:
        if held.paused_by is not None:
            return f"Training is paused by {held.paused_by}." if held.paused_by else "Training is paused."
        if held.reading and not self._here.settings.train_while_reading:
            return "Pages are being read; training goes on when they are done."
        return None
