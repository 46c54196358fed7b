"""How much one caller may send: files in a minute, an hour and a day, and requests at the same time.

Only files that are sent are counted, not questions after them. Where a machine is for one person, nothing is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple
from uuid import uuid4

import anyio
from fastapi import Depends, Request, Response
from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerHour, RateLimitItemPerMinute
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive
from starlette.types import Scope as ASGIScope

from copyist.api.callers import Asks, Caller, Tier
from copyist.api.quotas import Full, Quotas, Window
from copyist.api.service import Here, Service
from copyist.errors import TooManyAtOnce, TooManyRequests

HEADERS = (
    *("RateLimit", "RateLimit-Policy"),
    *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
)
_IN_WORDS = {"minute": "a minute", "hour": "an hour", "day": "a day"}


class QuotaUsedUp(TooManyRequests):
    """The same with the headers of its answer."""

    def __init__(self, windows: Sequence[Window], full: Window) -> None:
        super().__init__(limit=full.limit, window=_IN_WORDS[full.name], seconds=full.reset_s)
        self.headers = {"Retry-After": str(max(1, full.reset_s)), **headers(windows)}


class PlacesInUse(NamedTuple):
    """How many uploads and waiting calls a caller may have at once, and has."""

    limit: int
    taken: int


def count_files(service: Service, caller: Caller, files: int, response: Response) -> None:
    """Count files that are about to be taken in, and say in the answer's headers what is left.

    Raises ``TooManyRequests``, and then none of them is counted.
    """
    items = _items(service, caller)
    if not items:
        return
    try:
        left = service.quotas.count(items, caller.counted_as, files)
    except Full as error:
        raise QuotaUsedUp(error.windows, error.full) from None
    if left:
        response.headers.update(headers(left))


def status(service: Service, caller: Caller) -> list[Window]:
    """What is left of each window, shortest first, with nothing counted; empty for a caller without limits."""
    items = _items(service, caller)
    found = service.quotas.windows(items, caller.counted_as) if items else None
    return found or [Window(item.GRANULARITY.name, item.amount, item.amount, 0) for item in items]


def places_in_use(service: Service, caller: Caller) -> PlacesInUse | None:
    """The same of places; ``None`` for a caller without limits."""
    most = _most_at_once(service, caller)
    return None if most is None else PlacesInUse(most, service.quotas.taken(caller.counted_as) or 0)


def headers(windows: Sequence[Window]) -> Mapping[str, str]:
    """What is left, in the fields of draft-ietf-httpapi-ratelimit-headers-10, and the tightest window in older ones.

    ``X-RateLimit-Reset`` is a moment in seconds since 1970, as it is where these fields come from.
    """
    seconds = {item.GRANULARITY.name: item.GRANULARITY.seconds for item in _KINDS}
    tightest = min(windows, key=lambda window: (window.remaining, -window.reset_s))
    return {
        "RateLimit-Policy": ", ".join(f'"{one.name}";q={one.limit};w={seconds[one.name]}' for one in windows),
        "RateLimit": ", ".join(f'"{one.name}";r={one.remaining};t={one.reset_s}' for one in windows),
        "X-RateLimit-Limit": str(tightest.limit),
        "X-RateLimit-Remaining": str(tightest.remaining),
        "X-RateLimit-Reset": str(int(time.time()) + tightest.reset_s),
    }


_KINDS: tuple[type[RateLimitItem], ...] = (RateLimitItemPerMinute, RateLimitItemPerHour, RateLimitItemPerDay)


def _items(service: Service, caller: Caller) -> list[RateLimitItem]:
    """The windows that hold for a caller, shortest first; none for one without limits."""
    factor, settings = _factor(service, caller), service.settings
    if factor is None:
        return []
    amounts = (settings.rate_limit_per_minute, settings.rate_limit_per_hour, settings.rate_limit_per_day)
    return [kind(_times(amount, factor)) for kind, amount in zip(_KINDS, amounts, strict=True)]


def _most_at_once(service: Service, caller: Caller) -> int | None:
    factor = _factor(service, caller)
    return None if factor is None else _times(service.settings.rate_limit_concurrent, factor)


def _factor(service: Service, caller: Caller) -> float | None:
    """How many times as much as the settings say; ``None``: as much as they like."""
    if not service.settings.has_limits or caller.tier is Tier.UNLIMITED:
        return None
    return 1.0 if caller.tier is Tier.ANONYMOUS else service.settings.rate_limit_key_factor


def _times(amount: int, factor: float) -> int:
    return max(1, round(amount * factor))


class Place:
    """One of a caller's places, from ``held``."""

    RENEWED_S = 20.0

    def __init__(self, quotas: Quotas, name: str) -> None:
        self._quotas, self._name, self._id = quotas, name, uuid4().hex
        self._is_free = False

    async def take(self, most: int) -> None:
        """Take it; raises ``TooManyAtOnce`` if ``most`` are in use."""
        if await run_in_threadpool(self._quotas.take, self._name, self._id, most) is False:
            raise TooManyAtOnce(limit=most)

    async def give_back(self) -> None:
        """Free it, once."""
        if not self._is_free:
            self._is_free = True
            await run_in_threadpool(self._quotas.give_back, self._name, self._id)

    async def keep(self) -> None:
        """Renew it until this is cancelled."""
        while not self._is_free:
            await asyncio.sleep(self.RENEWED_S)
            await run_in_threadpool(self._quotas.renew, self._name, self._id)

    async def free_when_gone(self, body_is_over: asyncio.Event, receive: Receive) -> None:
        """Free it as soon as the client hangs up: it may come back at once, and the handler may go on for long."""
        await body_is_over.wait()
        while (await receive())["type"] != "http.disconnect":
            pass
        await self.give_back()


@asynccontextmanager
async def held(service: Service, caller: Caller, scope: ASGIScope, receive: Receive) -> AsyncIterator[None]:
    """One of the caller's places for as long as the context lasts or the client stays. Raises ``TooManyAtOnce``."""
    most = _most_at_once(service, caller)
    if most is None:
        yield
        return
    place = Place(service.quotas, caller.counted_as)
    await place.take(most)
    body_is_over: asyncio.Event = scope["state"]["body_is_over"]
    beside = [asyncio.create_task(one) for one in (place.keep(), place.free_when_gone(body_is_over, receive))]
    try:
        yield
    finally:
        for task in beside:
            task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait(beside)
            await place.give_back()


@asynccontextmanager
async def room(
    service: Service, caller: Caller, scope: ASGIScope, receive: Receive, *, sends: bool
) -> AsyncIterator[None]:
    """A place, and where a file is sent, room in the queue for its job; a request that has them already needs no more.

    Raises ``TooManyAtOnce`` and ``TooManyOpenJobs``.
    """
    if "has_room" in scope["state"]:
        yield
        return
    if sends:
        await service.open_jobs.check()
    async with held(service, caller, scope, receive):
        scope["state"]["has_room"] = True
        yield


async def _one_at_a_time(request: Request, here: Here, caller: Asks) -> AsyncIterator[None]:
    async with room(here, caller, request.scope, request.receive, sends=request.method == "POST"):
        yield


def _waits(request: Request) -> bool:
    try:
        return float(request.query_params.get("wait", 0)) > 0
    except ValueError:
        return False


async def _one_at_a_time_if_it_waits(request: Request, here: Here, caller: Asks) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        if _waits(request):
            await stack.enter_async_context(room(here, caller, request.scope, request.receive, sends=False))
        yield


has_a_place = Depends(_one_at_a_time)
"""A dependency of routes that upload or wait: one of the caller's places is taken for as long as they are served.

Raises ``TooManyAtOnce``, and ``TooManyOpenJobs`` where a file is sent and the queue is full.
"""

has_a_place_if_it_waits = Depends(_one_at_a_time_if_it_waits)
"""The same for a look that becomes a waiting call by ``?wait=seconds``: one that does not wait needs no place."""
