"""Limits on what a request may bring, before anything of it is kept."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from copyist.api import problems
from copyist.errors import FileTooLarge

FORM_OVERHEAD_BYTES = 1_000_000
"""What a multipart form may hold beside the file itself."""


def limit_body(app: FastAPI, max_bytes: int) -> None:
    """Refuse a body that is too long for a file of ``max_bytes``, by its declared length or as soon as it is over."""
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=max_bytes + FORM_OVERHEAD_BYTES)
    app.add_middleware(_AsProblem, max_bytes=max_bytes)


class _AsProblem:
    """Starlette refuses a large body in plain text; our clients read problems."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self._problem = problems.of(FileTooLarge(limit_mb=round(max_bytes / 1e6, 1)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = False

        async def translate(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] == self._problem.status_code:
                refused = MutableHeaders(scope=message)["content-type"].startswith("text/plain")
            if not refused:
                await send(message)
            elif message["type"] == "http.response.start":
                await self._problem(scope, receive, send)

        await self.app(scope, receive, translate)
