"""The API and a worker in this very process, for tests of routes that wait until something is read."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, Self
from uuid import uuid4

import httpx
import uvicorn
from anyio.from_thread import start_blocking_portal
from sqlalchemy import select

from copyist.api.app import create_app
from copyist.db import presence
from copyist.db.states import JobStatus, PageStatus
from copyist.db.tables import Job, Page
from copyist.queue import context as contexts
from copyist.queue import intake, reading
from copyist.settings import Settings


class Worker:
    """Does the jobs of a service in a thread, one after the other; leave it out, and nobody does them."""

    def __init__(self, settings: Settings) -> None:
        self._context = contexts.build(settings)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Worker:
        with self._context.db.write() as session:
            engines = self._context.engines()
            presence.show(session, "here", queues=["cpu"], concurrency=1, engines=engines)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._context.registry.close()
        self._context.db.close()

    def _work(self) -> None:
        while not self._ended.wait(0.01):
            with self._context.db.read() as session:
                jobs = list(session.scalars(select(Job.id).where(Job.status == JobStatus.PENDING)))
                query = select(Page.job_id, Page.number).where(Page.status == PageStatus.PENDING)
                pages = [(job, number) for job, number in session.execute(query)]
            for job in jobs:
                intake.take_in(self._context, job, token=str(uuid4()))
            for job, number in pages:
                reading.read_one(self._context, job, number, token=str(uuid4()))


class OneProcess:
    """The API and, if it ``works``, a worker."""

    def __init__(self, settings: Settings, *, works: bool) -> None:
        self.settings, self._works, self._stack = settings, works, ExitStack()

    def __enter__(self) -> Self:
        self.app = create_app(self.settings)
        self.portal = self._stack.enter_context(start_blocking_portal())
        lifespan = self.app.router.lifespan_context(self.app)
        self._stack.enter_context(self.portal.wrap_async_context_manager(lifespan))
        if self._works:
            self._stack.enter_context(Worker(self.settings))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(self, method: str, path: str, **content: Any) -> httpx.Response:
        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client:
                return await client.request(method, path, **content)

        return self.portal.call(request)


class Start(Protocol):
    """Starts the API, and a worker unless told not to; settings beside those of all tests are named."""

    def __call__(self, *, works: bool = True, **settings: Any) -> OneProcess: ...


@contextmanager
def serving(folder: Path, redis_url: str, **settings: Any) -> Iterator[Start]:
    """Services with these settings, until the context ends."""
    with ExitStack() as running:

        def start(*, works: bool = True, **others: Any) -> OneProcess:
            shared: dict[str, Any] = {
                "redis_url": redis_url,
                "data_dir": folder / "data",
                "ocr_fallback": ("mock",),
                "result_cache": False,
                "max_bytes": 1_000_000,
                "weights_dir": folder / "weights",
                "formula_model": folder / "weights" / "no-formulas",
            }
            return running.enter_context(OneProcess(Settings(**shared | settings | others), works=works))

        yield start


@contextmanager
def on_a_socket(service: OneProcess) -> Iterator[int]:
    """The same API for clients that connect; gives the port."""
    config = uvicorn.Config(service.app, host="127.0.0.1", port=0, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    serving = service.portal.start_task_soon(server.serve)
    try:
        until(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        serving.result(20)


def until(is_so: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def assert_cancelled_when_the_client_hangs_up(service: OneProcess, path: str, body: object, jobs: int = 1) -> None:
    """Post to a route that waits, hang up once the jobs are being read, and see them cancelled."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

    def states() -> list[str]:
        return [job["status"] for job in service("GET", "/api/jobs").json()["jobs"]]

    with on_a_socket(service) as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
            until(lambda: len(states()) == jobs and "processing" in states())
        until(lambda: states() == ["cancelled"] * jobs)
