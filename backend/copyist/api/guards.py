"""Guards at the door: what is refused by its head alone, before a route is looked for or a body is let in.

Without keys whoever can reach this API may do everything, and a browser on this machine can reach it for any page that
it shows. So two kinds of requests are refused then: those that call us by a name that is not ours (a page may have its
own name lead here, DNS rebinding), and those that a page of another origin has sent to change something.
"""

from __future__ import annotations

import ipaddress
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from copyist.api import callers, problems, ratelimits
from copyist.api.limits import end_stalled, has_body
from copyist.api.service import Service
from copyist.errors import (
    AddressTooLong,
    CopyistError,
    CrossSite,
    HeadersTooLarge,
    HostRefused,
    KeyInQuery,
    KeyMissing,
    TooManyRequests,
)
from copyist.settings import Settings

KEY_NAMES = frozenset({"api_key", "apikey", "key", "token", "access_token", "x-api-key"})
ANY_HOST = frozenset({"/livez", "/readyz", "/health", "/version"})
"""What probes ask for, by names of their own."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
LOCAL_CLIENTS = ("/recognize", "/ocr", "/predict")
"""Routes whose clients are pages on this machine, at a port of their own."""

MAX_QUERY_BYTES = 65_536
MAX_HEADERS_BYTES = 65_536
SMALL_BODY_BYTES = 1_000_000
"""What Starlette holds in memory of a form; more goes to the disk, and for that somebody must have been let in."""


def guard(app: FastAPI, settings: Settings) -> None:
    """Put the guards before ``app``. What is added later stands before them."""
    app.add_middleware(_Door)
    end_stalled(app, settings.upload_idle_s)
    app.add_middleware(_Refusals, names=_Names(settings), settings=settings)
    app.add_exception_handler(KeyMissing, _answered)
    app.add_exception_handler(TooManyRequests, _answered)


async def _answered(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CopyistError)
    return answer(error)


def answer(error: CopyistError) -> JSONResponse:
    """The problem, with the headers that belong to it."""
    response = problems.of(error)
    if isinstance(error, KeyMissing):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, ratelimits.QuotaUsedUp):
        response.headers.update(error.headers)
    return response


class _Refusals:
    """Refuses by the head of a request, whatever route it is for."""

    def __init__(self, app: ASGIApp, names: _Names, settings: Settings) -> None:
        self.app = app
        self._names, self._needs_keys, self._origins = names, settings.needs_keys, frozenset(settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = self._objection(scope) if scope["type"] == "http" else None
        await (self.app if error is None else problems.of(error))(scope, receive, send)

    def _objection(self, scope: Scope) -> CopyistError | None:
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            return AddressTooLong(limit_kb=MAX_QUERY_BYTES // 1024)
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS_BYTES:
            return HeadersTooLarge(limit_kb=MAX_HEADERS_BYTES // 1024)
        if names_a_key(scope["query_string"]):
            return KeyInQuery()
        if self._needs_keys:
            return None
        if scope["path"] not in ANY_HOST and not self._names.all_known(Headers(scope=scope).getlist("host")):
            return HostRefused()
        return CrossSite() if self._is_cross_site(scope) else None

    def _is_cross_site(self, scope: Scope) -> bool:
        """Whether a page of somebody else's sent this, and it is not one that only looks."""
        if scope["method"] in SAFE_METHODS:
            return False
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site") == "cross-site"
        if origin in self._origins or "*" in self._origins:
            return False
        if _without_default_port(origin) == headers.get("host", "").lower().removesuffix(":80").removesuffix(":443"):
            return False
        return not (scope["path"].startswith(LOCAL_CLIENTS) and is_loopback(name_of(_without_default_port(origin))))


def names_a_key(query: bytes) -> bool:
    """Whether a parameter has the name of a key, in whatever case and however it is escaped."""
    names = (part.partition(b"=")[0].decode("latin-1") for part in query.split(b"&"))
    return any(unquote_plus(name).strip().lower() in KEY_NAMES for name in names)


def _without_default_port(origin: str) -> str:
    """Host and port of an origin as a ``Host`` header has them; empty for ``null`` and what is none."""
    try:
        found = urlsplit(origin)
        default = {"http": 80, "https": 443}[found.scheme]
        return found.netloc.lower().removesuffix(f":{default}")
    except (ValueError, KeyError):
        return ""


def name_of(host: str) -> str:
    """The name in a ``Host`` header, without its port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.strip().rstrip(".").lower()


def _bare(host: str) -> str:
    """The name or address in a setting, which may come with a port, or be IPv6 without brackets."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return name_of(host)


def is_loopback(name: str) -> bool:
    """Whether the name is one of this very machine wherever it is asked."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


class _Names:
    """The names that we go by while no key is needed."""

    def __init__(self, settings: Settings) -> None:
        own = {_bare(settings.host), _bare(settings.published_on)} - {"", "0.0.0.0", "::"}  # noqa: S104
        listed = {name.strip().lower() for name in settings.allowed_hosts}
        self._names = own | {name_of(name) for name in listed}
        self._endings = tuple(name[1:] for name in listed if name.startswith("*."))
        self._any = "*" in listed

    def all_known(self, hosts: list[str]) -> bool:
        """Whether each of the ``Host`` headers has a name of ours, and there is one."""
        return self._any or (bool(hosts) and all(self._is_known(name_of(host)) for host in hosts))

    def _is_known(self, name: str) -> bool:
        return is_loopback(name) or name in self._names or name.endswith(self._endings or ("\0",))


class _Door:
    """Lets in a large body only for whom there is room. A route could not: it is asked when the body has been read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _brings_much(scope):
            await self.app(scope, receive, send)
            return
        async with AsyncExitStack() as stack:
            try:
                service: Service = scope["app"].state.service
                caller = await callers.identify(service, HTTPConnection(scope))
                await stack.enter_async_context(
                    ratelimits.room(service, caller, scope, receive, sends=scope["method"] == "POST")
                )
            except CopyistError as error:
                await answer(error)(scope, receive, send)
            else:
                await self.app(scope, receive, send)


def _brings_much(scope: Scope) -> bool:
    """Whether the body has more than ``SMALL_BODY_BYTES``, or does not say how many."""
    if scope["method"] in SAFE_METHODS or not has_body(scope):
        return False
    length: Any = Headers(scope=scope).get("content-length", "")
    return not (length.isdecimal() and int(length[:20]) <= SMALL_BODY_BYTES)
