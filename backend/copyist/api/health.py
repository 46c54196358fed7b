"""Is it alive, is it ready, and which engines has it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Response
from fastapi.responses import PlainTextResponse

from copyist import __version__
from copyist.api import examples, openapi
from copyist.api.schemas import Alive, Answer, EngineBody, Ready
from copyist.api.service import Here
from copyist.db import presence
from copyist.errors import Unavailable

router = APIRouter(tags=["health"])
log = logging.getLogger(__name__)


@router.get("/livez", summary="The process answers")
async def live() -> Alive:
    """Says nothing about anything behind the API."""
    return Alive(version=__version__)


FINE = "OK!!!"
"""What the Nougat sidecar's clients look for."""
TEXT = {"text/plain": {"schema": {"type": "string"}, "example": FINE}}


@router.get("/health", summary="The same as /livez, for two kinds of clients", responses={200: {"content": TEXT}})
async def health(accept: Annotated[str, Header(include_in_schema=False)] = "*/*") -> Alive:
    """JSON for a client that asks for it (`Accept: application/json`, a browser); for any other the text `OK!!!`."""
    asked = {kind.partition(";")[0].strip().lower() for kind in accept.split(",")}
    if asked & {"application/json", "text/html"}:
        return Alive(version=__version__)
    return PlainTextResponse(FINE)  # type: ignore[return-value]


NOT_READY = {"model": Ready, "description": "Something does not answer"} | openapi.example(examples.NOT_READY)


@router.get("/readyz", summary="Everything behind the API answers", responses={503: NOT_READY})
def ready(here: Here, response: Response) -> Ready:
    """200 when database, broker and storage answer and a living worker has an engine that is ready; else 503."""
    database = _check("database", here.db.check)
    broker = _check("broker", here.sender.check)
    storage = _check("storage", here.storage.check)
    usable = [engine for engine in engines_of(here) if engine.ready] if database == "ok" else []
    fine = database == broker == storage == "ok" and bool(usable)
    response.status_code = 200 if fine else 503
    return Ready(
        status="ready" if fine else "not ready",
        database=database,
        broker=broker,
        storage=storage,
        engines=[engine.name for engine in usable],
        gpu=_gpu({engine.state for engine in usable if engine.needs_gpu}),
    )


def _gpu(states: set[str]) -> Literal["ready", "loading", "absent"]:
    """A model that was unloaded for want of work is loaded when a page comes: it is ready."""
    if states & {"loaded", "unloaded"}:
        return "ready"
    return "loading" if "loading" in states else "absent"


def _check(name: str, ask: Callable[[], None]) -> Answer:
    try:
        ask()
    except Exception as error:
        log.warning("%s does not answer: %s", name, type(error).__name__)
        return "does not answer"
    return "ok"


_STATES = ("loaded", "loading", "unloaded", "failed")
"""From nearest to reading to farthest."""


@router.get("/api/engines", summary="The engines of the living workers", responses=openapi.answers(Unavailable))
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
        state=facts.get("state", "unloaded"),
        workers=sum(one["ready"] for one in told),
    )
