"""dots.ocr on servers with an OpenAI-compatible API: vLLM, SGLang, llama.cpp or Ollama, one or several.

Each question goes to the least busy server that is well. What another try may mend (a server that is busy, in trouble
or gone) is tried again, elsewhere where there is an elsewhere; what it will not mend is said in words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import httpx
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential_jitter,
)

from copyist.engines.base import Availability, DotsSettings, EngineSettings, NotReady, TimedOut
from copyist.engines.dots.backend import Answer, Question
from copyist.engines.dots.remote import servers
from copyist.engines.dots.remote.background import Background
from copyist.engines.dots.remote.breaker import Breaker
from copyist.engines.dots.remote.servers import Address, Served
from copyist.engines.dots.remote.statuses import CONNECT_S, ServerAway, answer_in, no_response
from copyist.engines.dots.remote.wire import QuestionRefused, body
from copyist.engines.notes import note

AT_ONCE_PER_SERVER = 16
TRIES = 3
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 8.0
"""A server that asks us to wait for longer than this is as good as away: the next engine is quicker."""
MAX_ANSWER_BYTES = 32_000_000
"""An answer of 16,384 tokens with their probabilities has about 3 MB."""
_POLL_S = 0.2
_TOKEN_PIXELS = 28 * 28
_TOKENS_OF_WORDS = 512
"""More than the tokens of the longest prompt and the chat form around it."""
_LEAST_TOKENS = 256


@dataclass
class _Server:
    """One server, how it has been doing, and how many questions it has before it now."""

    address: Address
    wanted: str
    breaker: Breaker = field(default_factory=Breaker)
    busy: int = 0

    @property
    def rests(self) -> bool:
        """Whether it is left alone: since it failed, and while one question is trying whether it is well again."""
        return self.breaker.rests or (not self.breaker.is_closed and self.busy > 0)

    def rank(self, tried: set[str]) -> tuple[bool, bool, bool, int]:
        """The lower, the sooner it is asked."""
        known = servers.last_known(self.address, self.wanted)
        return self.rests, self.address.url in tried, known is None or bool(known.problem), self.busy


@dataclass(frozen=True)
class _Request:
    """A question on its way: its body but for the model's name, and until when, on the loop's clock."""

    body: Mapping[str, Any]
    image_tokens: int
    until: float
    tried: set[str] = field(default_factory=set)


def check(settings: EngineSettings) -> Availability:
    """Whether one of the servers serves the model; asks each for its list of models, at most every ten seconds."""
    dots = settings.dots
    try:
        addresses = [servers.address(url, dots.api_key) for url in dots.servers]
    except servers.Unusable as error:
        return Availability(ready=False, reason=str(error))
    found = _look_at_all(addresses, dots.served_model)
    ready = [(one, served) for one, served in zip(addresses, found, strict=True) if not served.problem]
    if not ready:
        return Availability(ready=False, reason=" ".join(dict.fromkeys(served.problem for served in found)))
    return Availability(
        ready=True,
        version=ready[0][1].title,
        device=", ".join(one.url for one, _ in ready),
        model=ready[0][1].title,
        at_once=at_once(dots),
    )


def _look_at_all(addresses: Sequence[Address], wanted: str) -> list[Served]:
    """What each server serves; several are asked together, since each that is away takes its time to say so."""
    if len(addresses) == 1:
        return [servers.look(addresses[0], wanted)]
    with ThreadPoolExecutor(max_workers=max(1, len(addresses))) as pool:
        return list(pool.map(lambda one: servers.look(one, wanted), addresses))


def at_once(dots: DotsSettings) -> int:
    """How many pages are read together: what is set, or as many as keep a GPU of each server busy."""
    return dots.at_once or AT_ONCE_PER_SERVER * len(dots.servers)


class Remote:
    """Asks the servers of ``settings.dots``; raises ``NotReady`` when none of them can be asked."""

    def __init__(self, settings: EngineSettings) -> None:
        found = check(settings)
        if not found.ready:
            raise NotReady(found.reason)
        self.version = found.version
        self._dots = dots = settings.dots
        self._servers = [_Server(servers.address(url, dots.api_key), dots.served_model) for url in dots.servers]
        # A question of a page that is cut into crops follows the one before: pages read together are all there are.
        self._client = httpx.AsyncClient(
            trust_env=False,
            verify=servers.authorities(),
            timeout=httpx.Timeout(dots.timeout_s, connect=CONNECT_S, pool=None),
            limits=httpx.Limits(max_connections=at_once(dots), max_keepalive_connections=at_once(dots)),
        )
        self._background = Background("dots-remote")

    def ask(self, question: Question) -> Answer:
        """Answer one question.

        Raises the reason of ``question.stop`` when it is asked, ``TimedOut`` when the time limit is over, ``NotReady``
        when no server can be had, and ``QuestionRefused`` when a server does not take this question.
        """
        question.stop.check()
        asked = body(question, model="", flavour=self._dots.flavour, max_tokens=question.max_tokens)
        image_tokens = question.pixels.shape[0] * question.pixels.shape[1] // _TOKEN_PIXELS
        future = self._background.start(self._answer(asked, image_tokens))
        while not wait([future], timeout=_POLL_S).done:
            if question.stop.asked:
                future.cancel()
                question.stop.check()
        try:
            return future.result()
        except CancelledError as error:
            raise NotReady("The connection to the server was closed while the page was read.") from error

    def close(self) -> None:
        """Close the connections; questions under way end with an error."""
        if self._client.is_closed:
            return
        self._background.start(self._client.aclose()).result()
        self._background.close()

    async def _answer(self, asked: Mapping[str, Any], image_tokens: int) -> Answer:
        limit_s = self._dots.timeout_s
        request = _Request(asked, image_tokens, asyncio.get_running_loop().time() + limit_s)
        retrying = AsyncRetrying(
            retry=retry_if_exception(_may_mend),
            stop=stop_after_attempt(TRIES) | stop_before_delay(limit_s),
            wait=_wait_s,
            before_sleep=_tell,
            reraise=True,
        )
        return await retrying(self._try, request)

    async def _try(self, request: _Request) -> Answer:
        server = self._choose(request.tried)
        request.tried.add(server.address.url)
        try:
            answer = await self._ask(server, request)
        except TimedOut:
            server.breaker.failed()
            raise
        except ServerAway as error:
            if error.at_fault:
                server.breaker.failed()
            if any(one.address.url not in request.tried and not one.rests for one in self._servers):
                error.wait_s = 0.0  # There is no reason to wait for this one while another is free.
            raise
        server.breaker.succeeded()
        return answer

    async def _ask(self, server: _Server, request: _Request) -> Answer:
        server.busy += 1
        try:
            async with asyncio.timeout_at(request.until):
                served = await self._served(server)
                status, headers, content = await self._post(server, _addressed(request, served))
        except (TimeoutError, httpx.ReadTimeout) as error:
            limit_s = self._dots.timeout_s
            raise TimedOut(f"The server at {server.address.host} did not answer within {limit_s:g} s.") from error
        except httpx.TransportError as error:
            raise no_response(server.address, error) from error
        finally:
            server.busy -= 1
        answer = answer_in(server.address, status, headers, content)
        servers.confirm(server.address, server.wanted, served)
        return answer

    def _choose(self, tried: set[str]) -> _Server:
        server = min(self._servers, key=lambda one: one.rank(tried))
        if server.rests:
            breaker = server.breaker
            raise NotReady(
                f"The server at {server.address.host} failed {breaker.failures} times in a row and is left alone for "
                f"{breaker.rest_s:g} s; look into its log."
            )
        return server

    async def _served(self, server: _Server) -> Served:
        """The model to ask for: the name known last, since a server under load is slow to list its models."""
        known = servers.last_known(server.address, server.wanted)
        if known is not None and not known.problem:
            return known
        found = await asyncio.to_thread(servers.look, server.address, server.wanted)
        if found.problem:
            raise ServerAway(found.problem)
        return found

    async def _post(self, server: _Server, asked: Mapping[str, Any]) -> tuple[int, httpx.Headers, bytes]:
        address = server.address
        content = bytearray()
        async with self._client.stream(
            "POST", f"{address.url}/chat/completions", json=asked, headers=address.headers, auth=address.auth
        ) as response:
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    raise QuestionRefused(f"The answer has more than {MAX_ANSWER_BYTES // 1_000_000} MB.")
            return response.status_code, response.headers, bytes(content)


def _addressed(request: _Request, served: Served) -> dict[str, Any]:
    """The body for one server: its model's name, and no more tokens than its context holds."""
    most = int(request.body["max_tokens"])
    if served.context_tokens is not None:
        room = served.context_tokens - request.image_tokens - _TOKENS_OF_WORDS
        most = max(min(most, room), _LEAST_TOKENS)
    return {**request.body, "model": served.model, "max_tokens": most}


def _may_mend(error: BaseException) -> bool:
    return isinstance(error, ServerAway) and (error.wait_s or 0.0) <= LONGEST_WAIT_S


def _wait_s(state: RetryCallState) -> float:
    """As long as the server asks for, else twice as long each time, and never all at the same moment."""
    error = state.outcome.exception() if state.outcome else None
    asked_for = error.wait_s if isinstance(error, ServerAway) else None
    if asked_for is not None:
        return asked_for
    return wait_exponential_jitter(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S, jitter=FIRST_WAIT_S)(state)


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait_s = state.next_action.sleep if state.next_action else 0.0
    note(f"{error} Asked again after {wait_s:.1f} s.")
