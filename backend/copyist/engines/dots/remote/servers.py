"""Servers with an OpenAI-compatible API: whether one is there, which model it serves, and what is wrong if none is.

Asking is cheap but not free, and the question comes up for every page: what was found out, the failure too, holds for
some seconds, and a server that has just answered a page is not asked at all.
"""

from __future__ import annotations

import json
import os
import ssl
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import httpx

PROBE_S = 2.0
"""Time limit for the list of models."""
FRESH_S = 10.0
"""How long what was found out about a server holds."""
_MAX_LIST_BYTES = 1_000_000
_NOT_THE_API = "does not look like an OpenAI-compatible server; DOTS_OCR_URL usually ends in /v1"


@dataclass(frozen=True)
class Address:
    """A server's base URL, ``http://host:8000/v1``, without credentials; those are kept out of every text."""

    url: str
    api_key: str = field(default="", repr=False)
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        """Host and port, to speak of the server in a page's trail."""
        return httpx.URL(self.url).netloc.decode("ascii")

    @property
    def headers(self) -> dict[str, str]:
        """What proves to the server who we are."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    @property
    def auth(self) -> httpx.BasicAuth | None:
        """User and password, for a server behind a proxy that asks for them."""
        return httpx.BasicAuth(self.user, self.password) if self.user and not self.api_key else None


@dataclass(frozen=True)
class Served:
    """What a server offers: the ``model`` to ask for, its name for people, and the tokens of question and answer.

    ``problem`` says in words why nothing can be asked there; then the other fields say nothing.
    """

    model: str = ""
    title: str = ""
    context_tokens: int | None = None
    problem: str = ""


class Unusable(Exception):
    """What is written as a server's address is none; the message says what to write, without credentials."""


def address(base: str, api_key: str = "") -> Address:
    """The address written as ``base``; raises ``Unusable`` for what is no URL of a server."""
    try:
        url = httpx.URL(base.strip().rstrip("/"))
    except (httpx.InvalidURL, ValueError) as error:
        raise Unusable("DOTS_OCR_URL holds no address of a server; write http://host:8000/v1.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise Unusable("DOTS_OCR_URL holds no address of a server; write http://host:8000/v1.")
    bare = str(url.copy_with(userinfo=b"", query=None, fragment=None)).rstrip("/")
    return Address(bare, api_key, url.username, url.password)


_known: dict[tuple[Address, str], tuple[float, Served]] = {}
os.register_at_fork(after_in_child=_known.clear)


def look(server: Address, wanted: str = "") -> Served:
    """What ``server`` serves: ``wanted``, or the first model it lists. Takes ``PROBE_S`` at most, and never raises."""
    fresh_until, served = _known.get((server, wanted), (0.0, Served()))
    if time.monotonic() < fresh_until:
        return served
    served = _ask(server, wanted)
    _known[server, wanted] = (time.monotonic() + FRESH_S, served)
    return served


def last_known(server: Address, wanted: str = "") -> Served | None:
    """What was found out about ``server`` last, however long ago; ``None`` for nothing."""
    return _known[server, wanted][1] if (server, wanted) in _known else None


def confirm(server: Address, wanted: str, served: Served) -> None:
    """Note that ``server`` has just answered: a busy server may be too slow to list its models."""
    _known[server, wanted] = (time.monotonic() + FRESH_S, served)


def forget() -> None:
    """Ask every server anew."""
    _known.clear()


def _ask(server: Address, wanted: str) -> Served:
    try:
        status, content = _get(server)
    except httpx.TimeoutException:
        return Served(problem=f"The server at {server.url} did not list its models within {PROBE_S:g} s.")
    except (httpx.HTTPError, OSError) as error:
        return Served(problem=f"The server at {server.url} cannot be reached ({_cause(error)}); is it started?")
    if status in (401, 403):
        return Served(problem=refused_key(server))
    if status >= 500 or status == 429:
        return Served(problem=f"The server at {server.url} answers with status {status}: it is loading or in trouble.")
    models = _models(content) if status == 200 else None
    if models is None:
        return Served(problem=f"{server.url} {_NOT_THE_API}.")
    return _chosen(server, models, wanted)


@cache
def authorities() -> ssl.SSLContext:
    """Whom a server's certificate may come from; reading the list takes longer than a question to a server nearby."""
    return httpx.create_ssl_context(trust_env=False)


def _get(server: Address) -> tuple[int, bytes]:
    until = time.monotonic() + PROBE_S
    content = bytearray()
    with (
        httpx.Client(
            trust_env=False, verify=authorities(), timeout=PROBE_S, auth=server.auth, headers=server.headers
        ) as client,
        client.stream("GET", f"{server.url}/models") as response,
    ):
        for chunk in response.iter_bytes():
            content += chunk
            if time.monotonic() > until or len(content) > _MAX_LIST_BYTES:
                raise httpx.ReadTimeout("The list of models does not end.")
        return response.status_code, bytes(content)


def _models(content: bytes) -> list[dict[str, Any]] | None:
    """The entries of a list of models; ``None`` when it is none."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    entries = body.get("data") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        return None
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def _chosen(server: Address, models: list[dict[str, Any]], wanted: str) -> Served:
    if not models:
        return Served(problem=f"The server at {server.url} lists no model; load dots.ocr or dots.mocr there.")
    found = next((entry for entry in models if entry["id"] == wanted), None) if wanted else models[0]
    if found is None:
        names = ", ".join(entry["id"] for entry in models[:10])
        return Served(
            problem=f'The server at {server.url} has no model "{wanted}". Set DOTS_OCR_SERVED_MODEL to one of: {names}.'
        )
    context = found.get("max_model_len")
    return Served(found["id"], _title(found), context if isinstance(context, int) and context > 0 else None)


def _title(entry: dict[str, Any]) -> str:
    """The model's name; with what is behind it, where a server hides that under a name such as ``model``."""
    root = PurePosixPath(entry["root"]).name if isinstance(entry.get("root"), str) else ""
    name = str(entry["id"])
    return name if not root or root == PurePosixPath(name).name else f"{name} ({root})"


def refused_key(server: Address) -> str:
    """What to say when a server does not take our key."""
    return f"The server at {server.url} refuses the key; set DOTS_OCR_API_KEY to the one it was started with."


def not_the_api(server: Address) -> str:
    """What to say when something else answers at a server's address."""
    return f"{server.url} {_NOT_THE_API}."


def _cause(error: BaseException) -> str:
    """Why a connection failed, in two or three words."""
    text = str(error).lower()
    for sign, words in (
        ("refused", "connection refused"),
        ("name or service", "unknown host"),
        ("nodename", "unknown host"),
        ("name resolution", "unknown host"),
        ("unreachable", "no way to the host"),
        ("certificate", "its certificate is not trusted"),
        ("disconnected", "it dropped the connection"),
        ("reset", "it dropped the connection"),
    ):
        if sign in text:
            return words
    return "the connection failed"
