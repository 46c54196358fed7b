"""What a server's response means: an answer, a reason to try again, or a reason to leave the server alone."""

from __future__ import annotations

import json
import logging

import httpx

from copyist.engines.base import NotReady
from copyist.engines.dots.backend import Answer
from copyist.engines.dots.remote import servers
from copyist.engines.dots.remote.servers import Address
from copyist.engines.dots.remote.wire import NotTheApi, QuestionRefused, answer_of

log = logging.getLogger(__name__)

CONNECT_S = 5.0
"""Time limit for a connection."""


class ServerAway(NotReady):
    """The server did not answer this time; another try, or another server, may do.

    ``wait_s`` is how long it asks us to wait. ``at_fault`` says that something is wrong with it; one that is merely
    busy is well.
    """

    def __init__(self, words: str, *, wait_s: float | None = None, at_fault: bool = True) -> None:
        super().__init__(words)
        self.wait_s = wait_s
        self.at_fault = at_fault


def answer_in(server: Address, status: int, headers: httpx.Headers, content: bytes) -> Answer:
    """The answer in a response.

    Raises ``ServerAway`` for what may pass, ``NotReady`` for what a person has to mend, and ``QuestionRefused``.
    """
    if status == 429:
        wait_s = _retry_after_s(headers)
        asks = f" and asks to wait for {wait_s:g} s" if wait_s else ""
        raise ServerAway(f"The server at {server.host} is busy (429){asks}.", wait_s=wait_s, at_fault=False)
    if status >= 500 or status == 408:
        words = f"The server at {server.host} answered with an error ({status})."
        raise ServerAway(words, wait_s=_retry_after_s(headers))
    if status in (401, 403):
        raise NotReady(servers.refused_key(server))
    if status == 404:
        servers.forget()
        raise NotReady(
            f"The server at {server.host} does not know the model or the way to it (404); check DOTS_OCR_URL."
        )
    if 400 <= status < 500:
        log.warning("The server at %s refused a question with status %d: %s", server.url, status, _excerpt(content))
        raise QuestionRefused(f"The server refused the question ({status}).")
    try:
        return answer_of(content)
    except NotTheApi as error:
        raise NotReady(servers.not_the_api(server)) from error


def no_response(server: Address, error: httpx.TransportError) -> ServerAway:
    """What to say when there is no response at all."""
    if isinstance(error, httpx.ConnectTimeout):
        return ServerAway(f"The server at {server.host} did not take the connection within {CONNECT_S:g} s.")
    what = "cannot be reached" if isinstance(error, httpx.ConnectError) else "dropped the connection"
    return ServerAway(f"The server at {server.host} {what}.")


def _retry_after_s(headers: httpx.Headers) -> float | None:
    """The seconds of ``Retry-After`` (RFC 9110, 10.2.3); dates, which model servers do not send, are left out."""
    try:
        return max(float(headers["Retry-After"]), 0.0)
    except (KeyError, ValueError):
        return None


def _excerpt(content: bytes) -> str:
    """The beginning of what the server says, for the log: in one line, whatever it is."""
    return json.dumps(content[:500].decode("utf-8", "replace"))
