"""What goes round every request: its id, its span in a trace, and one line in the log when it is over
(at level debug where a GET went well: clients poll).

The id is the client's ``X-Request-ID`` where it has a sane one, else a fresh one. It stands in every answer, whatever
that is, and in every log line that is written on the way (``request``). The client's ``traceparent`` (W3C) is gone on
with.
"""

from __future__ import annotations

import logging
import re
import time
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, bound_contextvars, clear_contextvars

from copyist import tracing
from copyist.api import problems
from copyist.api.timing import METHODS, OTHER, route_of
from copyist.errors import CopyistError
from copyist.tracing import Span

HEADER = "X-Request-ID"
QUIET = frozenset({"/livez", "/readyz", "/health", "/metrics"})
"""Asked every few seconds by machines: these leave no line and no trace."""
JOB_PARAMS = ("job_id", "task_id", "transaction_id")
"""What a job's id is called in the address of a route."""
CLIENT_GONE = 499
"""The status of the line where the client left before there was an answer, as nginx writes it."""

log = logging.getLogger(__name__)
_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_facts: ContextVar[dict[str, Any] | None] = ContextVar("facts", default=None)


def note(**facts: str) -> None:
    """Let the lines of this request, its last one, too, say this: ``note(job=...)``."""
    bind_contextvars(**facts)
    kept = _facts.get()
    if kept is not None:
        # A handler in a thread has a copy of the context, and the same dict in it.
        kept.update(facts)


def follow_requests(app: FastAPI) -> None:
    """Go round every request to ``app``. Add it last of all: what other middleware refuses is then followed, too."""
    app.add_middleware(_Followed)


class _Followed:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sent = headers.get(HEADER, "")
        request_id = sent if _SANE.fullmatch(sent) else uuid4().hex
        one = _Request(scope, send, request_id)
        token = _facts.set(one.facts)
        clear_contextvars()
        try:
            with bound_contextvars(request=request_id):
                if scope["path"] in QUIET:
                    await one.answer(self.app, receive)
                    return
                method = scope["method"] if scope["method"] in METHODS else OTHER
                parent = headers.get(tracing.HEADER)
                with tracing.span(method, parent=parent, serves=True, request=request_id) as span:
                    try:
                        await one.answer(self.app, receive)
                    finally:
                        one.over(method, span)
        finally:
            _facts.reset(token)


class _Request:
    """One request, and what is known of its answer."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self.facts: dict[str, Any] = {}
        self._scope, self._send, self._id = scope, send, request_id
        self._status, self._began = 0, time.perf_counter()

    async def answer(self, app: ASGIApp, receive: Receive) -> None:
        """Have it answered; what nobody foresaw is answered here, since further out nobody knows the id."""
        try:
            await app(self._scope, receive, self._pass_on)
        except Exception as error:
            if self._status:
                raise
            log.error("unexpected", exc_info=error)
            await problems.of(CopyistError())(self._scope, receive, self._pass_on)

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            MutableHeaders(scope=message)[HEADER] = self._id
        await self._send(message)

    def over(self, method: str, span: Span) -> None:
        """Write its line, and tell its span what it was."""
        status, route = self._status or CLIENT_GONE, route_of(self._scope)
        params = self._scope.get("path_params", {})
        job = next((params[name] for name in JOB_PARAMS if name in params), None)
        facts = {"job": job, **self.facts} if job else self.facts
        ms = round(1000 * (time.perf_counter() - self._began), 1)
        with bound_contextvars(method=method, route=route, status=status, ms=ms, **facts):
            # A client that polls is not worth a line a second.
            log.log(logging.DEBUG if method == "GET" and status < HTTPStatus.BAD_REQUEST else logging.INFO, "answered")
        told: dict[str, Any] = {"http.request.method": method, "http.route": route, "http.response.status_code": status}
        span.name(f"{method} {route}")
        span.tell(**told, **facts)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            span.failed(str(status))
