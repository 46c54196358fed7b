"""Is it alive, is it ready, and which engines has it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from fastapi import APIRouter, Response

from copyist import __version__
from copyist.api import examples, openapi
from copyist.api.schemas import Alive, Answer, EngineBody, Ready
from copyist.api.service import Here
from copyist.db import presence
from copyist.errors import Unavailable

router = APIRouter(tags=["health"])
log = logging.getLogger(__name__)


@router.get("/livez", summary="The process answers")
@router.get("/health", summary="The same as /livez")
async def live() -> Alive:
    """Says nothing about anything behind the API."""
    return Alive(version=__version__)


NOT_READY = {"model": Ready, "description": "Something does not answer"} | openapi.example(examples.NOT_READY)


@router.get("/readyz", summary="Everything behind the API answers", responses={503: NOT_READY})
def ready(here: Here, response: Response) -> Ready:
    """200 when database, broker and storage answer and a living worker has an engine that is ready; else 503."""
    database = _check("database", here.db.check)
    broker = _check("broker", here.sender.check)
    storage = _check("storage", here.storage.check)
    usable = [engine.name for engine in engines_of(here) if engine.ready] if database == "ok" else []
    fine = database == broker == storage == "ok" and bool(usable)
    response.status_code = 200 if fine else 503
    return Ready(
        status="ready" if fine else "not ready", database=database, broker=broker, storage=storage, engines=usable
    )


def _check(name: str, ask: Callable[[], None]) -> Answer:
    try:
        ask()
    except Exception as error:
        log.warning("%s does not answer: %s", name, type(error).__name__)
        return "does not answer"
    return "ok"


@router.get("/api/engines", summary="The engines of the living workers", responses=openapi.answers(Unavailable))
def engines_of(here: Here) -> list[EngineBody]:
    """Which engines there are, whether they are ready, and why not."""
    with here.db.read() as session:
        known = presence.engines(session)
    return [
        EngineBody(
            name=name,
            ready=facts["ready"],
            reason=facts["reason"],
            version=facts["version"],
            languages=facts["languages"],
            modes=facts["modes"],
        )
        for name, facts in sorted(known.items())
    ]
