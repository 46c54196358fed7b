"""The application: what it stands on, and the list of its routers."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.middleware.cors import CORSMiddleware

from copyist import __version__, tracing
from copyist import log as logs
from copyist import settings as configuration
from copyist.api import (
    batches,
    corrections,
    documents,
    events,
    guards,
    health,
    jobs,
    keys,
    limits,
    metrics,
    openapi,
    problems,
    ratelimits,
    requests,
    results,
    timing,
    training,
    webhooks,
)
from copyist.api.compat import docling, intellinote, math_api, nougat, task_notes
from copyist.api.keyring import Keyring
from copyist.api.openjobs import OpenJobs
from copyist.api.quotas import Quotas
from copyist.api.service import KnownEngines, Looks, Opening, Paces, Service
from copyist.api.waiting import Bell
from copyist.db.session import Database
from copyist.errors import ConfigurationError
from copyist.queue.routing import Sender, celery_app
from copyist.settings import Settings
from copyist.storage import Storage

WEB = Path(__file__).parent.parent / "web"

# The seed's routes come first: ``/api/jobs/{id}/`` with its slash is theirs.
ROUTERS = [
    task_notes.router,
    nougat.router,
    intellinote.router,
    math_api.router,
    docling.router,
    jobs.router,
    events.router,
    documents.router,
    results.router,
    corrections.router,
    batches.router,
    keys.router,
    webhooks.router,
    training.router,
    health.router,
    metrics.router,
]


def create_app(settings: Settings) -> FastAPI:
    """The API for these settings. It starts whatever is away; the database is migrated as soon as it answers."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = _service(settings)
        app.state.service = service
        tracing.setup("copyist-api", settings.otel_exporter_otlp_endpoint)
        async with service.opening.going_on(), service.bell.listening():
            yield
        service.looks.close()
        service.db.close()
        service.quotas.close()
        tracing.shutdown()

    app = openapi.Described(
        title="Copyist",
        version=__version__,
        summary="Upload a scan, poll, get the text with boxes and confidence.",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        responses=openapi.ANYTHING_ELSE,
    )
    app.needs_keys = settings.needs_keys
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["Location", "Retry-After", requests.HEADER, *ratelimits.HEADERS, *nougat.HEADERS],
        )
    limits.limit_body(app, settings.max_bytes)
    guards.guard(app, settings)
    timing.time_requests(app)
    requests.follow_requests(app)
    intellinote.let_local_clients_in(app, settings.cors_origins)
    problems.register(app)
    for router in ROUTERS:
        app.include_router(router)
    openapi.serve_docs(app)
    app.mount("/", StaticFiles(directory=WEB, html=True), name="web")
    return app


def _service(settings: Settings) -> Service:
    database = Database(settings.database, is_open=False)
    return Service(
        settings=settings,
        db=database,
        storage=Storage(settings.storage),
        sender=Sender(celery_app(settings.redis_url), settings.redis_url),
        bell=Bell(settings.redis_url),
        engines=KnownEngines(database),
        opening=Opening(database, settings.database),
        paces=Paces(),
        keys=Keyring(database),
        quotas=Quotas(settings.redis_url),
        open_jobs=OpenJobs(database, settings.max_open_jobs),
        looks=Looks("database", "broker", "storage", *metrics.LOOKS),
    )


def from_environment() -> FastAPI:
    """For ``uvicorn copyist.api.app:from_environment --factory``; ends with ``EX_CONFIG`` for what cannot work."""
    try:
        settings = configuration.load()
        _service(settings)  # It asks nothing of anybody, and does not work where a setting cannot.
    except ConfigurationError as error:
        print(error.detail, file=sys.stderr)  # noqa: T201
        raise SystemExit(os.EX_CONFIG) from error
    logs.setup(settings.log_level, settings.log_format)
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    return create_app(settings)
