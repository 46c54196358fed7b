"""Is it alive, is it ready, and which engines has it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Response
from fastapi.responses import PlainTextResponse
from pydantic import Field

from copyist import __version__
from copyist.api import examples, openapi
from copyist.api.callers import Scope, needs
from copyist.api.schemas import Alive, Answer, EngineBody, Ready, shown
from copyist.api.service import Here, Service
from copyist.db import presence
from copyist.errors import Unavailable

router = APIRouter(tags=["health"])


@router.get("/livez", summary="The process answers")
async def live() -> Alive:
    """Says nothing about anything behind the API."""
    return Alive(version=__version__)


FINE = "OK!!!"
"""What the Nougat sidecar answers."""
TEXT = {"text/plain": {"schema": {"type": "string"}, "example": FINE}}


class Health(Alive):
    """The process answers, in the words of all whose place it takes."""

    model_config = shown(examples.ALIVE | {"message": FINE})

    message: str = Field(default=FINE, description="The Nougat sidecar's word.")


@router.get("/health", summary="The same as /livez, for two kinds of clients", responses={200: {"content": TEXT}})
async def health(accept: Annotated[str, Header(include_in_schema=False)] = "*/*") -> Health:
    """JSON for a client that asks for it (`Accept: application/json`), the bare text `OK!!!` for any other, as the
    Nougat sidecar's clients expect it: curl, too, asks for `*/*`.
    """
    asked = {kind.partition(";")[0].strip().lower() for kind in accept.split(",")}
    return Health(version=__version__) if "application/json" in asked else PlainTextResponse(FINE)  # type: ignore[return-value]


NOT_READY = {"model": Ready, "description": "Something does not answer"} | openapi.example(examples.NOT_READY)


@router.get("/readyz", summary="Everything behind the API answers", responses={503: NOT_READY})
async def ready(here: Here, response: Response) -> Ready:
    """200 when database, broker and storage answer and a living worker has an engine that is ready; else 503, and
    `problems` says why. No part is waited for longer than 6 s.
    """
    engines, broker, storage = await asyncio.gather(
        _database(here),
        here.looks.at("broker", here.sender.check),
        here.looks.at("storage", here.storage.check),
    )
    away = {"database": engines, "broker": broker, "storage": storage}
    problems = [f"The {part} does not answer: {why}." for part, why in away.items() if isinstance(why, str)]
    known = engines if isinstance(engines, list) else []
    usable = [engine for engine in known if engine.ready]
    if isinstance(engines, list) and not usable:
        problems.append(_no_engine(engines))
    response.status_code = 503 if problems else 200
    return Ready(
        status="not ready" if problems else "ready",
        database=_answer(engines),
        broker=_answer(broker),
        storage=_answer(storage),
        engines=[engine.name for engine in usable],
        gpu=_gpu({engine.state for engine in usable if engine.needs_gpu}),
        problems=problems,
    )


async def _database(here: Service) -> list[EngineBody] | str:
    """The engines of the living workers, or why the database does not tell."""

    def look() -> list[EngineBody]:
        here.db.check()
        return engines_of(here)

    not_yet = here.opening.problem
    return await here.looks.at("database", look) if not_yet is None else not_yet


def _answer(found: object) -> Answer:
    return "does not answer" if isinstance(found, str) else "ok"


def _no_engine(known: Sequence[EngineBody]) -> str:
    reasons = "; ".join(f"{engine.name}: {engine.reason.rstrip('.')}" for engine in known)
    return f"No engine is ready: {reasons}." if known else "No worker is alive."


def _gpu(states: set[str]) -> Literal["ready", "loading", "absent"]:
    """A model that was unloaded for want of work is loaded when a page comes: it is ready."""
    if states & {"loaded", "unloaded"}:
        return "ready"
    return "loading" if "loading" in states else "absent"


_STATES = ("loaded", "loading", "unloaded", "failed")
"""From nearest to reading to farthest."""


@router.get(
    "/api/engines",
    summary="The engines of the living workers",
    dependencies=[needs(Scope.READ)],
    responses=openapi.answers(Unavailable),
)
def engines_of(here: Here) -> list[EngineBody]:
    """Which engines there are, whether they are ready or why not, where they read, and how far their models are."""
    with here.db.read() as session:
        known, workers = presence.engines(session), presence.alive(session)
    told = {name: [worker.engines[name] for worker in workers if name in worker.engines] for name in known}
    return [_engine(name, facts["languages"], told[name] or [facts]) for name, facts in sorted(known.items())]


def _engine(name: str, languages: list[str], told: Sequence[Mapping[str, Any]]) -> EngineBody:
    """One engine from what each worker tells of it; a worker of an older version tells less."""
    facts = min(told, key=lambda one: (not one["ready"], _STATES.index(one.get("state", "unloaded"))))
    return EngineBody(
        name=name,
        ready=facts["ready"],
        reason=facts["reason"],
        version=facts["version"],
        languages=languages,
        modes=facts["modes"],
        needs_gpu=facts["needs_gpu"],
        device=facts.get("device", ""),
        model=facts.get("model", ""),
        memory_bytes=facts.get("memory_bytes"),
        details=facts.get("details", {}),
        state=facts.get("state", "unloaded"),
        workers=sum(one["ready"] for one in told),
    )
