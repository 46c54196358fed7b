"""Waiting for a job without asking the database all the time: workers ring a bell in the broker, we listen once.

The bell is a hint, never the record: it may stay silent (the broker restarted), so whoever waits looks at the database
every second all the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from copyist.queue.routing import BELL_CHANNEL, News, bell
from copyist.reasons import Trouble

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
RECONNECT_S = 1.0


class Bell:
    """One subscription for all clients of this process that wait."""

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._trouble = Trouble(log, "the bell, without which waiting clients look by themselves,")
        self._waiting: defaultdict[tuple[str, str], set[asyncio.Event]] = defaultdict(set)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen in the background for as long as the context lasts."""
        task = asyncio.create_task(self._listen_for_ever())
        try:
            yield
        finally:
            # A client that is connecting may swallow one cancellation, so it is asked until it has stopped.
            while not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=0.2)

    @asynccontextmanager
    async def hears(self, job_id: str, *news: News) -> AsyncIterator[asyncio.Event]:
        """An event that is set when there is such news of ``job_id``; subscribe first, then look, then wait."""
        event, topics = asyncio.Event(), [(job_id, one.value) for one in news]
        for topic in topics:
            self._waiting[topic].add(event)
        try:
            yield event
        finally:
            for topic in topics:
                self._waiting[topic].discard(event)
                if not self._waiting[topic]:
                    del self._waiting[topic]

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except Exception as error:  # Whatever it is: nobody would ever listen again.
                self._trouble.met(error)
                await asyncio.sleep(RECONNECT_S)

    async def _listen(self) -> None:
        client = bell(self._url)
        try:
            async with client.pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(BELL_CHANNEL)
                self._trouble.over()
                async for message in channel.listen():
                    job_id, _, news = message["data"].decode(errors="replace").partition(" ")
                    for event in self._waiting.get((job_id, news), ()):
                        event.set()
        finally:
            await client.aclose()


async def listen(news: asyncio.Event, seconds: float) -> None:
    """Wait for news, but no longer than ``seconds`` or ``LOOK_EVERY_S``: the bell may stay silent."""
    with suppress(TimeoutError):
        await asyncio.wait_for(news.wait(), min(seconds, LOOK_EVERY_S))
