"""Is it alive, is it ready, and which engines has it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from copyist import __version__
from copyist.api.schemas import EngineBody
from copyist.api.service import Here
from copyist.db import presence

router = APIRouter(tags=["health"])
log = logging.getLogger(__name__)


@router.get("/livez", summary="The process answers")
@router.get("/health", summary="The same as /livez")
def live() -> dict[str, str]:
    """Says nothing about anything behind the API."""
    return {"status": "ok", "version": __version__}


@router.get("/readyz", summary="Everything behind the API answers")
def ready(here: Here) -> JSONResponse:
    """200 when database, broker and storage answer and a living worker has an engine that is ready; else 503."""
    checks = {
        "database": _check("database", here.db.check),
        "broker": _check("broker", here.sender.check),
        "storage": _check("storage", here.storage.check),
    }
    engines = engines_of(here) if checks["database"] == "ok" else []
    usable = [engine.name for engine in engines if engine.ready]
    fine = all(answer == "ok" for answer in checks.values()) and bool(usable)
    body: dict[str, Any] = {"status": "ready" if fine else "not ready", **checks, "engines": usable}
    return JSONResponse(body, status_code=200 if fine else 503)


def _check(name: str, ask: Callable[[], None]) -> str:
    try:
        ask()
    except Exception as error:
        log.warning("%s does not answer: %s", name, type(error).__name__)
        return "does not answer"
    return "ok"


@router.get("/api/engines", summary="The engines of the living workers")
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
