"""One service for the tests that only use it; tests that break things start their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faulty_engines import PLUGINS
from tests.servers import PostgresServer, ValkeyServer
from tests.service import Service

Start = Callable[..., Service]


@pytest.fixture
def start(tmp_path: Path, redis_url: str, postgres_url: str) -> Iterator[Start]:
    """Start a service of one's own: API, beat and a worker of two processes, with the faulty engines at hand."""
    running: list[Service] = []

    def begin(*parts: str, **settings: str) -> Service:
        settings.setdefault("OCR_PLUGINS", ",".join(PLUGINS))
        settings.setdefault("REDIS_URL", redis_url)
        broker = settings.pop("REDIS_URL")
        service = Service(tmp_path, redis_url=broker, database_url=postgres_url, **settings)
        running.append(service)
        service.start(*(parts or ("api", "beat", "worker")))
        # Without a worker nothing is ready: whoever starts one later waits for it.
        return service if parts and not any(part.startswith("worker") for part in parts) else service.await_ready()

    yield begin
    for service in running:
        service.__exit__(None, None, None)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Service]:
    """A service with real engines, Redis and PostgreSQL, shared by the tests that leave it whole."""
    url = postgres.create_database()
    with (
        ValkeyServer() as valkey,
        Service(
            tmp_path_factory.mktemp("service"),
            redis_url=valkey.url,
            database_url=url,
            OCR_BACKEND="auto",
            OCR_STRATEGY="fast",
            RESULT_CACHE="true",
            LEASE_S="20",
        ) as shared,
    ):
        yield shared.start("api", "beat", "worker").await_ready()
    postgres.drop_database(url)
