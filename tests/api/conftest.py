"""The API alone, in this process: no worker, and whatever goes wrong comes back as a response."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from anyio.from_thread import start_blocking_portal

from copyist.api.app import create_app
from copyist.queue.routing import BELL_CHANNEL
from copyist.settings import Settings

Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(redis_url: str, database_url: str, tmp_path: Path) -> Iterator[Ask]:
    """Ask the API as ``httpx`` would; each request is one client's."""
    settings = Settings(redis_url=redis_url, database_url=database_url, data_dir=tmp_path, max_bytes=100_000)
    app = create_app(settings)

    async def request(method: str, path: str, content: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://copyist") as client:
            return await client.request(method, path, **content)

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(app.router.lifespan_context(app)):
        _await_bell(redis_url)
        yield lambda method, path, **content: portal.call(request, method, path, content)


def _await_bell(redis_url: str, seconds: float = 10) -> None:
    """Wait until the API listens: redis-py may swallow the cancelling of a task that is still subscribing."""
    until = time.monotonic() + seconds
    with redis.Redis.from_url(redis_url) as client:
        while not client.pubsub_numsub(BELL_CHANNEL)[0][1]:
            assert time.monotonic() < until, "the API does not listen to its bell"
            time.sleep(0.005)
