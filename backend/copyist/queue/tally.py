"""What only grows: jobs that ended, pages that were settled, how long they took, how sure the engines were.

The processes that read pages come and go, so what they count is kept in Redis, in one hash, and ``/metrics`` reads it
there. Counting itself happens in memory and cannot fail; what was counted goes along with the next message to the
broker, and stays here while that is away. A broker that was emptied begins at 0 again: that is a counter reset, which
Prometheus expects (``rate`` and ``increase`` see through it). A process that is killed takes its last counts with it,
and a connection that breaks may count them twice: good for rates and shares, not for bills.

Labels hold no ids: engines, states and outcomes, of which there are only so many.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis
from sqlalchemy import event
from sqlalchemy.orm import Session

from copyist.db.states import JOB_ENDED, JobStatus
from copyist.db.tables import Job, now
from copyist.document import Outcome

KEY = "copyist.tally.1"
"""With the number of its layout: counts by other bounds must not be mixed with these."""
SUM = "sum"
NOBODY = "none"
"""The engine of a page that none read."""
TROUBLE = frozenset(Outcome) - {Outcome.READ, Outcome.KEPT_OTHER, Outcome.CACHED}
"""Ways to end that make the chain go on to the next engine."""

COUNTERS: Mapping[str, tuple[str, ...]] = {
    "jobs": ("state",),
    "pages": ("engine", "outcome"),
    "fallbacks": ("from", "to", "reason"),
}
"""What is counted, and by which labels."""

TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
HISTOGRAMS: Mapping[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "job_seconds": ((), (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)),
    "page_seconds": (("engine",), (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)),
    "confidence": (("engine",), TENTHS),
}
"""What is measured: labels, and the upper bounds of the buckets."""


@dataclass(frozen=True)
class Measured:
    """One histogram: how many were at most each bound (the last is ``+Inf``), and the sum of all."""

    buckets: tuple[tuple[str, float], ...]
    sum: float


@dataclass(frozen=True)
class Told:
    """All counts of all processes: by name, then by the values of the labels."""

    counters: Mapping[str, Mapping[tuple[str, ...], float]]
    histograms: Mapping[str, Mapping[tuple[str, ...], Measured]]


class Tally:
    """What this process has counted and not sent yet."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop what was not sent: in a fresh process it is its parent's."""
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._sums: dict[str, float] = {}

    def page(
        self,
        engine: str,
        outcome: str,
        *,
        seconds: float | None = None,
        confidence: float | None = None,
        trail: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """A page is settled: by which engine, and as ``read``, ``cached`` or ``failed``."""
        self._count("pages", engine, outcome)
        following = [*(step["engine"] for step in trail[1:]), NOBODY]
        for step, onto in zip(trail, following, strict=False):
            if step["outcome"] in TROUBLE:
                self._count("fallbacks", step["engine"], onto, step["outcome"])
        if seconds is not None:
            self._measure("page_seconds", seconds, engine)
        if confidence is not None:
            self._measure("confidence", confidence, engine)

    def job(self, state: str, seconds: float) -> None:
        """A job ended, so long after it came; one that is retried ends, and is counted, once more."""
        self._count("jobs", state)
        self._measure("job_seconds", seconds)

    def _count(self, name: str, *labels: str) -> None:
        with self._lock:
            self._counts["|".join((name, *labels))] += 1

    def _measure(self, name: str, value: float, *labels: str) -> None:
        _, bounds = HISTOGRAMS[name]
        at = bisect_left(bounds, value)
        self._count(name, *labels, f"{bounds[at]:g}" if at < len(bounds) else "+Inf")
        field = "|".join((name, *labels, SUM))
        with self._lock:
            self._sums[field] = self._sums.get(field, 0.0) + value

    def send(self, pipe: redis.client.Pipeline) -> None:
        """Send what ``pipe`` holds and all that was counted. Where the broker raises, the counts are kept for later."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            sums, self._sums = self._sums, {}
        for field, count in counts.items():
            pipe.hincrby(KEY, field, count)
        for field, value in sums.items():
            pipe.hincrbyfloat(KEY, field, value)
        try:
            pipe.execute()
        except BaseException:
            with self._lock:
                self._counts += counts
                for field, value in sums.items():
                    self._sums[field] = self._sums.get(field, 0.0) + value
            raise


def told(client: redis.Redis) -> Told:
    """What all processes have counted; raises what the client does."""
    counters: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in COUNTERS}
    buckets: dict[str, dict[tuple[str, ...], dict[str, float]]] = {name: {} for name in HISTOGRAMS}
    found: Mapping[bytes, bytes] = client.hgetall(KEY)  # type: ignore[assignment]
    for field, value in found.items():
        name, *labels = field.decode(errors="replace").split("|")
        if name in COUNTERS and len(labels) == len(COUNTERS[name]):
            counters[name][tuple(labels)] = float(value)
        elif name in HISTOGRAMS and len(labels) == len(HISTOGRAMS[name][0]) + 1:
            buckets[name].setdefault(tuple(labels[:-1]), {})[labels[-1]] = float(value)
    measured = {
        name: {labels: _measured(HISTOGRAMS[name][1], one) for labels, one in ones.items()}
        for name, ones in buckets.items()
    }
    return Told(counters, measured)


def _measured(bounds: Sequence[float], found: Mapping[str, float]) -> Measured:
    """Prometheus wants each bucket to hold all the smaller ones, too."""
    count, rising = 0.0, []
    for bound in (*(f"{bound:g}" for bound in bounds), "+Inf"):
        count += found.get(bound, 0)
        rising.append((bound, count))
    return Measured(tuple(rising), found.get(SUM, 0.0))


TALLY = Tally()
"""This process'."""
os.register_at_fork(after_in_child=TALLY.forget)

ENDED = "copyist.ended"


@event.listens_for(Job.status, "set")
def _note_end(job: Job, status: JobStatus, _before: object, _initiator: object) -> None:
    """A job ends in one of many ways (read, refused, overdue, given up, cancelled): all of them set its status."""
    session = Session.object_session(job)
    if session is not None and status in JOB_ENDED:
        session.info.setdefault(ENDED, []).append((status.value, (now() - job.created_at).total_seconds()))


@event.listens_for(Session, "after_commit")
def _count_ends(session: Session) -> None:
    for state, seconds in session.info.pop(ENDED, ()):
        TALLY.job(state, max(0.0, seconds))


@event.listens_for(Session, "after_rollback")
def _forget_ends(session: Session) -> None:
    session.info.pop(ENDED, None)
