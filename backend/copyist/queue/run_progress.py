"""How far a run is, from what its programs tell to its row and its steps in the database."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from copyist.db import runs
from copyist.db.learning_tables import TrainingRun
from copyist.queue.footing import Footing
from copyist.queue.lease import DATABASE_AWAY, Lease
from copyist.training.order import Event

WRITE_EVERY_S = 1.0
_SHOWN = ("phase", "step", "steps", "epoch", "loss", "dev_cer", "done", "total")
_OF_A_STEP = ("step", "epoch", "loss", "learning_rate", "seconds", "dev_cer")


class RunProgress:
    """What was told of a run so far. While the database is away it is kept, and written when that is back."""

    def __init__(self, here: Footing, run: TrainingRun, lease: Lease) -> None:
        self.failure: tuple[str, str] | None = None
        """Code and sentence of the event ``failed``."""
        self._here, self._lease = here, lease
        self._shown: dict[str, Any] = {**run.progress, "paused": None}
        self._device = run.device
        self._steps: dict[int, dict[str, Any]] = {}
        self._changed, self._written_at = False, 0.0

    def phase(self, name: str) -> None:
        """What this process itself is at."""
        self.take([], paused=None, phase=name, at_once=True)

    def take(
        self, events: Iterable[Event], *, paused: str | None, phase: str | None = None, at_once: bool = False
    ) -> None:
        """Hear ``events``, and write what has changed, once a second or ``at_once``."""
        before = dict(self._shown)
        self._shown |= {"paused": paused} | ({"phase": phase} if phase else {})
        for event in events:
            self._hear(event)
        self._changed |= self._shown != before or bool(self._steps)
        if self._changed and (at_once or time.monotonic() - self._written_at >= WRITE_EVERY_S):
            self._write()

    def _hear(self, event: Event) -> None:
        told = event.model_dump(mode="json", exclude_none=True)
        if event.event == "failed":
            self.failure = event.code or "broken", event.detail or "It did not say why."
            return
        if event.event == "phase":
            self._shown = {name: value for name, value in self._shown.items() if name not in ("done", "total")}
            self._device = event.device or self._device
        self._shown |= {name: told[name] for name in _SHOWN if name in told}
        if event.event == "step" and event.step is not None:
            self._steps[event.step] = {name: told.get(name) for name in _OF_A_STEP}
        elif event.event == "epoch" and event.dev_cer is not None:
            last = event.step or self._shown.get("step")
            if last is not None:
                self._steps.setdefault(last, {"step": last})["dev_cer"] = event.dev_cer

    def _write(self) -> None:
        run_id, token = self._lease.run_id, self._lease.token
        try:
            with self._here.db.write() as session:
                runs.note(session, run_id, token, progress=self._shown, device=self._device)
                runs.add_steps(session, run_id, token, self._steps.values())
        except DATABASE_AWAY:
            self._written_at = time.monotonic()  # The lease's own beat tells the log of it.
            return
        self._steps, self._changed, self._written_at = {}, False, time.monotonic()
