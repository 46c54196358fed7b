"""What callers have used up, in Redis, so that all API processes count together.

While Redis is away nothing is refused: uploads do not depend on the broker, so they must not depend on its counters.

Files are counted in fixed windows by the ``limits`` library. A window begins with the first file that falls into it,
not with the full minute, and when it ends all of it is free again: so "try again in 40 s" holds for as many files as
the window has. The price: twice as many may come around the end of a window, which the longer windows bound.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import redis
from limits import RateLimitItem
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry

from copyist.reasons import Trouble

log = logging.getLogger(__name__)

T = TypeVar("T")

PREFIX = "copyist.limits"

_TAKE = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
"""Take or renew a place: a member of a sorted set, whose score is the second at which it lapses by Redis' own clock."""


class Window(NamedTuple):
    """What is left of one window: ``limit`` files in all, ``reset_s`` seconds until it is free again, 0 if it is."""

    name: str
    limit: int
    remaining: int
    reset_s: int


class Full(Exception):
    """There is no room for so many files. ``windows`` are as they were; ``full`` is the last of them to be free."""

    def __init__(self, windows: Sequence[Window], full: Window) -> None:
        super().__init__(full.name)
        self.windows, self.full = windows, full


class Quotas:
    """The counters. Whatever asks gives ``None`` while Redis does not answer."""

    LAPSE_S = 60
    """A place that nobody renews is free again after so long: its process was killed."""
    PATIENCE_S = 1.0
    AWAY_S = 2.0
    """So long nobody asks again after Redis did not answer."""

    def __init__(self, redis_url: str) -> None:
        self._pool = pool = redis.ConnectionPool.from_url(
            redis_url,
            socket_connect_timeout=self.PATIENCE_S,
            socket_timeout=self.PATIENCE_S,
            retry=Retry(NoBackoff(), 1),
        )
        self._redis = redis.Redis(connection_pool=pool)
        self._storage = RedisStorage(redis_url, connection_pool=pool, key_prefix=PREFIX)
        self._counters = FixedWindowRateLimiter(self._storage)
        self._take = self._redis.register_script(_TAKE)
        self._trouble = Trouble(log, "Redis, without which nothing is limited,")
        self._away_until = 0.0

    def close(self) -> None:
        """Close all connections."""
        self._pool.disconnect()

    def count(self, items: Sequence[RateLimitItem], name: str, files: int) -> list[Window] | None:
        """Count ``files`` in all windows, or in none. Gives what is left; raises ``Full``."""
        return self._asked(lambda: self._count(items, name, files))

    def windows(self, items: Sequence[RateLimitItem], name: str) -> list[Window] | None:
        """What is left, with nothing counted."""
        return self._asked(lambda: self._windows(items, name))

    def take(self, name: str, place: str, most: int) -> bool | None:
        """Take one of ``most`` places for ``LAPSE_S``; ``False`` when there is none."""
        return self._asked(lambda: bool(self._take([_places(name)], [place, most, self.LAPSE_S])))

    def renew(self, name: str, place: str) -> None:
        """Keep a place that is taken for another ``LAPSE_S``."""
        self.take(name, place, 0)

    def give_back(self, name: str, place: str) -> None:
        """Free a place."""
        self._asked(lambda: self._redis.zrem(_places(name), place))

    def taken(self, name: str) -> int | None:
        """How many places are in use."""
        return self._asked(lambda: int(self._redis.zcount(_places(name), self._redis.time()[0], "+inf")))

    def _count(self, items: Sequence[RateLimitItem], name: str, files: int) -> list[Window]:
        before = self._windows(items, name)
        full = [window for window in before if window.remaining < files]
        counted = []
        for item in () if full else items:
            counted.append(item)
            if not self._counters.hit(item, name, cost=files):
                # Somebody else was counted since we looked.
                for one in counted:
                    self._storage.incr(one.key_for(name), one.get_expiry(), amount=-files)
                before = self._windows(items, name)
                full = [before[len(counted) - 1]]
                break
        if full:
            raise Full(before, max(full, key=lambda window: window.reset_s))
        return [
            Window(window.name, window.limit, window.remaining - files, window.reset_s or item.get_expiry())
            for item, window in zip(items, before, strict=True)
        ]

    def _windows(self, items: Sequence[RateLimitItem], name: str) -> list[Window]:
        """All of them in one round trip, to the millisecond: the library asks for each, and rounds to whole seconds."""
        pipe = self._redis.pipeline(transaction=False)
        for item in items:
            key = self._storage.prefixed_key(item.key_for(name))
            pipe.get(key)
            pipe.pttl(key)
        found = pipe.execute()
        return [
            Window(
                name=item.GRANULARITY.name,
                limit=item.amount,
                remaining=max(0, item.amount - int(counted or 0)),
                reset_s=math.ceil(max(0, left_ms) / 1000),
            )
            for item, counted, left_ms in zip(items, found[::2], found[1::2], strict=True)
        ]

    def _asked(self, ask: Callable[[], T]) -> T | None:
        if time.monotonic() < self._away_until:
            return None
        try:
            found = ask()
        except (redis.RedisError, OSError) as error:
            self._trouble.met(error)
            self._away_until = time.monotonic() + self.AWAY_S
            return None
        self._trouble.over()
        return found


def _places(name: str) -> str:
    return f"{PREFIX}:places:{name}"
