"""Which workers are alive, which queues they serve, and which engines they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from copyist.db.insert import insert
from copyist.db.tables import Worker, now

ALIVE_S = 20.0
"""A worker not seen for longer is taken for gone; it shows itself every five seconds."""
TRAINING = "training"
"""The queue of the trainers."""
REMEMBERED_S = 24 * 3600.0
"""How long one that did not sign off is remembered."""


def show(
    session: Session, name: str, *, queues: Sequence[str], concurrency: int, engines: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write down that the worker ``name`` is alive."""
    values = {"queues": list(queues), "concurrency": concurrency, "engines": dict(engines), "seen_at": now()}
    statement = insert(session, Worker).values(name=name, **values)
    session.execute(statement.on_conflict_do_update(index_elements=[Worker.name], set_=values))


def leave(session: Session, name: str) -> None:
    """A worker that stops says so."""
    session.execute(delete(Worker).where(Worker.name == name))


def forget_gone(session: Session) -> None:
    """Forget workers that were not seen for a day: they were killed, or their machine is gone."""
    session.execute(delete(Worker).where(Worker.seen_at < now() - timedelta(seconds=REMEMBERED_S)))


def alive(session: Session) -> list[Worker]:
    """The workers seen lately, by name."""
    since = now() - timedelta(seconds=ALIVE_S)
    return list(session.scalars(select(Worker).where(Worker.seen_at >= since).order_by(Worker.name)))


def capacity(session: Session) -> dict[str, int]:
    """How many pages can be read at once on each queue that somebody serves."""
    counts: dict[str, int] = {}
    for worker in alive(session):
        for queue in worker.queues:
            counts[queue] = counts.get(queue, 0) + worker.concurrency
    return counts


def trainer_alive(session: Session) -> bool:
    """Whether a trainer is alive; it shows itself without engines, and reads no pages."""
    return any(TRAINING in worker.queues for worker in alive(session))


def champion_problem(session: Session) -> str | None:
    """What keeps the model that was learned from reading in a living worker, in a sentence of that worker's."""
    told = (facts.get("champion") or {} for worker in alive(session) for facts in worker.engines.values())
    return next((facts["problem"] for facts in told if facts.get("problem")), None)


def on_gpu(session: Session) -> set[str]:
    """The queues that a living worker serves with an engine that needs a GPU and is ready."""
    ready = [
        worker
        for worker in alive(session)
        if any(facts.get("needs_gpu") and facts["ready"] for facts in worker.engines.values())
    ]
    return {queue for worker in ready for queue in worker.queues}


def engines(session: Session) -> dict[str, dict[str, Any]]:
    """Every engine that a living worker knows: ``ready`` if it is on any of them, its languages put together."""
    known: dict[str, dict[str, Any]] = {}
    for worker in alive(session):
        for name, facts in worker.engines.items():
            seen = known.setdefault(name, dict(facts))
            if facts["ready"] and not seen["ready"]:
                known[name] = dict(facts)
            elif facts["ready"]:
                seen["languages"] = sorted({*seen["languages"], *facts["languages"]})
    return known
