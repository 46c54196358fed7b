"""Limits on what a request may bring, and how slowly, before anything of it is kept."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from copyist.api import problems
from copyist.errors import FileTooLarge, UploadStalled

FORM_OVERHEAD_BYTES = 1_000_000
"""What a multipart form may hold beside the file itself."""


MAX_JSON_BYTES = 64_000_000
"""A body of JSON is held and read as a whole, in memory: a larger file is sent as a form, which goes to the disk."""


def limit_body(app: FastAPI, max_bytes: int) -> None:
    """Refuse a body that is too long for a file of ``max_bytes``, by its declared length or as soon as it is over."""
    app.add_middleware(_Limited, max_bytes=max_bytes)
    app.add_middleware(_AsProblem, max_bytes=max_bytes)


def end_stalled(app: FastAPI, idle_s: float) -> None:
    """End a request of whose body nothing comes for ``idle_s``, and let everything further in know when it is over."""
    app.add_middleware(_Inlet, idle_s=idle_s)


def _is_json(scope: Scope) -> bool:
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


class _Limited:
    """The limit of a form, and the smaller one of JSON."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        longest = max_bytes + FORM_OVERHEAD_BYTES
        self._form = RequestBodyLimitMiddleware(app, max_body_size=longest)
        self._json = RequestBodyLimitMiddleware(app, max_body_size=min(longest, MAX_JSON_BYTES))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limited = self._json if scope["type"] == "http" and _is_json(scope) else self._form
        await limited(scope, receive, send)


class _AsProblem:
    """Starlette refuses a large body in plain text; our clients read problems."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self._form = problems.of(FileTooLarge(limit_mb=round(max_bytes / 1e6, 1)))
        self._json = problems.of(FileTooLarge(limit_mb=round(min(max_bytes, MAX_JSON_BYTES) / 1e6, 1)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = False

        async def translate(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] == self._form.status_code:
                refused = MutableHeaders(scope=message)["content-type"].startswith("text/plain")
            if not refused:
                await send(message)
            elif message["type"] == "http.response.start":
                await (self._json if _is_json(scope) else self._form)(scope, receive, send)

        await self.app(scope, receive, translate)


def has_body(scope: Scope) -> bool:
    """Whether something comes after the head of the request."""
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


class _Inlet:
    """Where bodies come in. ``state["body_is_over"]`` is an event that tells when all of one has been taken."""

    def __init__(self, app: ASGIApp, idle_s: float) -> None:
        self.app = app
        self._idle_s = idle_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        inlet = _Request(self._idle_s, receive, send, has_body=has_body(scope))
        scope.setdefault("state", {})["body_is_over"] = inlet.is_over
        try:
            await self.app(scope, inlet.receive, inlet.send)
        except ClientDisconnect:
            # It happens all the time, and there is nobody to tell.
            pass
        except Exception:
            if not inlet.is_stalled or inlet.is_answered:
                raise
        if inlet.is_stalled and not inlet.is_answered:
            problem = problems.of(UploadStalled(seconds=f"{self._idle_s:g}"))
            # The rest may yet come, and nobody would read it.
            problem.headers["Connection"] = "close"
            await problem(scope, receive, send)


class _Request:
    """One request: the application is told that the client of a stalled one is gone, and what it then says is lost."""

    def __init__(self, idle_s: float, receive: Receive, send: Send, *, has_body: bool) -> None:
        self._idle_s, self._receive, self._send = idle_s, receive, send
        self._is_first = True
        self._has_body = has_body
        self.is_over = asyncio.Event()
        self.is_answered = self.is_stalled = False
        if not has_body:
            self.is_over.set()

    async def receive(self) -> Message:
        """The next message."""
        is_first, self._is_first = self._is_first, False
        if is_first and not self._has_body:
            # So whoever waits for the client to hang up may read all that comes, and takes nothing from others.
            return {"type": "http.request", "body": b"", "more_body": False}
        if self.is_over.is_set() or self.is_answered:
            return await self._receive()
        if self.is_stalled:
            return {"type": "http.disconnect"}
        try:
            async with asyncio.timeout(self._idle_s):
                message = await self._receive()
        except TimeoutError:
            self.is_stalled = True
            return {"type": "http.disconnect"}
        if not message.get("more_body", False):
            self.is_over.set()
        return message

    async def send(self, message: Message) -> None:
        """Answer, if the upload did not stall."""
        if not self.is_stalled or self.is_answered:
            self.is_answered = True
            await self._send(message)
