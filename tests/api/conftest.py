"""The API alone, in this process: no worker, and whatever goes wrong comes back as a response."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import uvicorn
from anyio.from_thread import start_blocking_portal

from copyist.api.app import create_app
from copyist.db import keys, migrate
from copyist.db.keys import Scope
from copyist.db.session import Database
from copyist.queue.routing import BELL_CHANNEL
from copyist.settings import Settings

Ask = Callable[..., httpx.Response]


@pytest.fixture
def api_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings of the API beside those of the fixtures: see ``with_settings``."""
    return dict(getattr(request, "param", {}))


def with_settings(**settings: Any) -> pytest.MarkDecorator:
    """Mark a test whose API has these settings: ``@with_settings(api_keys="required")``."""
    return pytest.mark.parametrize("api_settings", [settings], indirect=True, ids=[""])


@pytest.fixture
def settings(redis_url: str, database_url: str, tmp_path: Path, api_settings: dict[str, Any]) -> Settings:
    """The settings of the API that ``ask`` asks."""
    ours: dict[str, Any] = {
        "redis_url": redis_url,
        "database_url": database_url,
        "data_dir": tmp_path,
        "max_bytes": 100_000,
    }
    return Settings(**ours | api_settings)


@pytest.fixture
def ask(settings: Settings) -> Iterator[Ask]:
    """Ask the API as ``httpx`` would; each request is one client's."""
    app = create_app(settings)

    async def request(method: str, path: str, content: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **content)

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(app.router.lifespan_context(app)):
        _await_bell(settings.redis_url)
        yield lambda method, path, **content: portal.call(request, method, path, content)


def _await_bell(redis_url: str, seconds: float = 10) -> None:
    """Wait until the API listens: redis-py may swallow the cancelling of a task that is still subscribing."""
    until = time.monotonic() + seconds
    with redis.Redis.from_url(redis_url) as client:
        while not client.pubsub_numsub(BELL_CHANNEL)[0][1]:
            assert time.monotonic() < until, "the API does not listen to its bell"
            time.sleep(0.005)


MakeKey = Callable[..., str]


@pytest.fixture
def make_key(settings: Settings) -> Iterator[MakeKey]:
    """Make a key as the command line would, past the API; gives the key itself."""
    migrate.upgrade(settings.database)
    database = Database(settings.database)

    def make(*scopes: Scope, **fields: Any) -> str:
        with database.write() as session:
            return keys.create(session, name="a test", scopes=scopes or tuple(Scope), **fields)[1]

    yield make
    database.close()


@pytest.fixture
def serving(settings: Settings, request: pytest.FixtureRequest) -> Iterator[int]:
    """Serve the API on a real socket of loopback, as ``copyist api`` does; gives the port.

    With a parameter, ``h11`` or ``httptools``, by that parser.
    """
    parser = getattr(request, "param", "auto")
    config = uvicorn.Config(create_app(settings), port=0, http=parser, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive() and time.monotonic() < until, "the API does not start"
        time.sleep(0.01)
    _await_bell(settings.redis_url)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()
