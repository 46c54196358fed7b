"""``/readyz`` says what is wrong, soon, and an API that has met nothing but trouble serves what it can."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from anyio.from_thread import start_blocking_portal
from sqlalchemy import text

from copyist.api import waiting
from copyist.api.app import create_app, from_environment
from copyist.api.waiting import Bell
from copyist.db import presence
from copyist.db.session import Database
from copyist.queue.routing import News, Sender, celery_app
from copyist.settings import Settings
from tests.api.conftest import Ask
from tests.servers import ValkeyServer, free_port

Serve = Callable[..., Callable[[str], httpx.Response]]


@pytest.fixture
def serve(tmp_path: Path, redis_url: str, sqlite_url: str) -> Iterator[Serve]:
    """Start an API on these settings, whatever of it answers; gives how to GET from it."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Callable[[str], httpx.Response]:
            values = {"redis_url": redis_url, "database_url": sqlite_url, "data_dir": tmp_path / "data"} | settings
            app = create_app(Settings(_env_file=None, **values))

            async def get(path: str) -> httpx.Response:
                transport = httpx.ASGITransport(app, raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                    return await client.get(path)

            portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
            return lambda path: portal.call(get, path)

        yield start


@contextmanager
def silent_port() -> Iterator[int]:
    """A port where somebody takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def show_worker(url: str, *, ready: bool) -> None:
    facts = {"ready": ready, "reason": "" if ready else "It has no model.", "version": "1", "languages": []}
    database = Database(url)
    with database.write() as session:
        engines = {"mock": facts | {"modes": ["document"], "needs_gpu": False}}
        presence.show(session, "w", queues=["cpu"], concurrency=1, engines=engines)
    database.close()


def test_it_starts_without_anything_and_says_what_is_missing(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("A file where the folder should be")
    database = f"postgresql://u:secret@127.0.0.1:{free_port()}/db"
    get = serve(database_url=database, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    ready = get("/readyz")
    away = "nothing answers there; it may not be running"
    assert ready.json() == {
        "status": "not ready",
        **dict.fromkeys(("database", "broker", "storage"), "does not answer"),
        "engines": [],
        "gpu": "absent",
        "problems": [
            f"The database does not answer: {away}.",
            f"The broker does not answer: {away}.",
            "The storage does not answer: its file or folder cannot be opened.",
        ],
    }
    assert [get(path).status_code for path in ("/livez", "/health", "/docs", "/")] == [200] * 4
    for path in ("/api/jobs", "/api/engines", "/api/status/0b8f4b0e-6c2d-4f0a-9a57-3d5a4f0f9c11/"):
        answer = get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["Retry-After"]


def test_a_database_and_a_storage_that_come_late_are_found(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("A file where the folder should be")
    get = serve(database_url="")
    assert get("/readyz").json()["problems"][0].startswith("The database does not answer: ")
    (tmp_path / "data").unlink()
    until = time.monotonic() + 10
    while get("/readyz").json()["problems"] != ["No worker is alive."]:
        assert time.monotonic() < until, get("/readyz").text
        time.sleep(0.05)
    assert get("/api/jobs").json()["jobs"] == []


@pytest.mark.slow
def test_hosts_that_swallow_everything_are_not_waited_for(serve: Serve) -> None:
    with silent_port() as port:
        get = serve(database_url=f"postgresql://u@127.0.0.1:{port}/db", redis_url=f"redis://127.0.0.1:{port}/0")
        began = time.monotonic()
        ready = get("/readyz").json()
        assert time.monotonic() - began < 7
        assert ready["problems"][0] == "The database does not answer: it is being opened."
        assert ready["problems"][1] == "The broker does not answer: it does not answer in time."
        began = time.monotonic()
        assert get("/api/jobs").status_code == 503
        assert time.monotonic() - began < 0.5


def test_engines_that_are_not_ready_say_why(serve: Serve, sqlite_url: str) -> None:
    get = serve()
    assert get("/readyz").json()["problems"] == ["No worker is alive."]
    show_worker(sqlite_url, ready=False)
    assert get("/readyz").json()["problems"] == ["No engine is ready: mock: It has no model."]
    show_worker(sqlite_url, ready=True)
    ready = get("/readyz")
    assert (ready.status_code, ready.json()["status"], ready.json()["problems"]) == (200, "ready", [])


def test_a_broker_that_takes_nothing_is_not_ready(serve: Serve, redis_url: str) -> None:
    get = serve()
    with redis.Redis.from_url(redis_url) as client:
        try:
            client.config_set("maxmemory", "1mb")
            assert get("/readyz").json()["problems"][0] == "The broker does not answer: its memory is full."
        finally:
            client.config_set("maxmemory", "0")
    assert get("/readyz").json()["broker"] == "ok"


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "STORAGE_URL"])
def test_an_address_that_is_none_ends_it_with_a_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv(name, "nonsense")
    with pytest.raises(SystemExit) as ended:
        from_environment()
    assert ended.value.code == os.EX_CONFIG
    assert capsys.readouterr().err.startswith(f"{name} names no ")


def test_the_bell_is_heard_again_when_the_broker_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "copyist.api.waiting")

    async def listen(server: ValkeyServer) -> None:
        bell, sender = Bell(server.url), Sender(celery_app(server.url), server.url)
        async with bell.listening(), bell.hears("job", News.ENDED) as news:
            await asyncio.sleep(2 * waiting.RECONNECT_S + 0.2)
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(10):
                while not news.is_set():
                    await asyncio.to_thread(sender.ring, "job", News.ENDED)
                    await asyncio.sleep(0.1)

    server = ValkeyServer()
    try:
        asyncio.run(listen(server))
    finally:
        server.stop(forget=True)
    told = [message.partition(":")[0] for message in caplog.messages]
    name = "the bell, without which waiting clients look by themselves,"
    assert told == [f"{name} does not answer", f"{name} answers again"]


def test_tables_that_are_missing_are_no_fault_of_the_client(ask: Ask, database_url: str) -> None:
    database = Database(database_url)
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE jobs RENAME TO gone"))
    database.close()
    answer = ask("GET", "/api/jobs")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
