"""How long this process takes to answer, by route: the one figure of ``/metrics`` that is counted in a process.

With several API processes each tells its own, unless ``PROMETHEUS_MULTIPROC_DIR`` names a folder, empty when they are
started, where the library puts them together.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs

from fastapi import FastAPI
from prometheus_client import Histogram
from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OTHER = "other"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SECONDS = Histogram(
    "http_request_duration_seconds",
    "From the head of a request to the end of its answer; a route that ends in ?wait was asked to hold on",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=None,
)


def shared_folder() -> Path | None:
    """Where the processes of this API put their figures together, if they do."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(folder) if folder else None


def time_requests(app: FastAPI) -> None:
    """Take the time of every request to ``app``. Add it last: what other middleware refuses is then timed as well."""
    if folder := shared_folder():
        folder.mkdir(parents=True, exist_ok=True)
    app.add_middleware(_Timed)


class _Timed:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, began = 0, time.perf_counter()

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note)
        except Exception:
            status = status or 500  # Further out it is made a problem.
            raise
        finally:
            if status:  # Else the client was gone before there was an answer.
                method = scope["method"] if scope["method"] in METHODS else OTHER
                SECONDS.labels(method, route_of(scope), str(status)).observe(time.perf_counter() - began)


def route_of(scope: Scope) -> str:
    """The route as it is written in the code. Files of the desk and what no route matches are all one."""
    route = scope.get("route")
    if not isinstance(route, Route):
        return OTHER
    return f"{route.path_format}?wait" if _waits(scope) else route.path_format


def _waits(scope: Scope) -> bool:
    if "wait=" in Headers(scope=scope).get("Prefer", ""):
        return True
    with suppress(ValueError, KeyError):
        return float(parse_qs(scope["query_string"].decode("latin-1"))["wait"][-1]) > 0
    return False
