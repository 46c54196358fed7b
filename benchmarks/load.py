"""Many clients at once, and a queue that is deep: engine ``mock``, Redis, PostgreSQL.

16 clients send 1,000 photos of 100 kB, each client the next as soon as its last was accepted, and every job is followed
to its end. Then uploads to a service on which 5,000 jobs wait are compared with uploads to one on which nothing does,
one here and one there in turn; nothing reads on either, so that only the queue differs.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
from sqlalchemy import text
from tests.servers import PostgresServer, ValkeyServer
from tests.service import Service as Parts

from benchmarks.pages import card
from benchmarks.report import Figure, at_most, median, percentile, plain
from benchmarks.service import ENDED, Service, ServiceError, on_servers
from copyist.db.session import make_engine

ABOUT = "16 clients and 1,000 uploads of a 100 kB photo; 5,000 jobs queued; engine mock, Redis + PostgreSQL"
CLIENTS = 16
PHOTO_BYTES = 100_000
SLOWER = 1.2


def measure(quick: bool) -> list[Figure]:
    """Take the figures."""
    return [*_many_clients(64 if quick else 1000), *_deep_queue(*((200, 20) if quick else (5000, 150)))]


def _photo(number: int) -> bytes:
    """A picture of its own, as large as a photo; what follows an image in its file is of no matter to who reads it."""
    data = card(number)
    return data + os.urandom(max(0, PHOTO_BYTES - len(data)))


def _many_clients(count: int) -> list[Figure]:
    numbers = itertools.count()
    lock = threading.Lock()
    uploads: list[float] = []
    whole: list[float] = []
    failures: list[str] = []

    def client(service: Service) -> None:
        with httpx.Client(base_url=service.url, trust_env=False, timeout=120) as http:
            while True:
                with lock:
                    number = next(numbers)
                if number >= count:
                    return
                try:
                    upload, total = _one(http, _photo(number))
                except (httpx.HTTPError, ServiceError) as error:
                    failures.append(repr(error))
                else:
                    uploads.append(upload)
                    whole.append(total)

    with on_servers(OCR_BACKEND="mock") as service:
        for number in range(20):
            service.read(card(90_000 + number))
        started = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(client, [service] * CLIENTS))
        took = time.perf_counter() - started
    note = f"{count} uploads, {CLIENTS} clients, {count / took:.3g} jobs a second"
    return [
        at_most("uploads and jobs that failed", len(failures), 0, note=failures[0][:80] if failures else note),
        plain("upload until 202, p50", f"{percentile(uploads, 0.5):.3g} ms", f"p99 {percentile(uploads, 0.99):.3g} ms"),
        plain(
            "upload until completed, p50", f"{percentile(whole, 0.5):.3g} ms", f"p99 {percentile(whole, 0.99):.3g} ms"
        ),
    ]


def _one(http: httpx.Client, data: bytes) -> tuple[float, float]:
    """Milliseconds until the 202, and until the job was seen to have ended."""
    started = time.perf_counter()
    answer = http.post("/api/jobs", files={"file": ("photo.png", data)})
    accepted = time.perf_counter()
    if answer.status_code != 202:
        raise ServiceError(f"{answer.status_code}: {answer.text[:200]}")
    job = answer.json()
    while job["status"] not in ENDED:
        job = http.get(f"/api/jobs/{job['id']}", params={"wait": 30}).json()
    if job["status"] != "completed":
        raise ServiceError(f"a job ended as {job['status']}: {job['error']}")
    return 1000 * (accepted - started), 1000 * (time.perf_counter() - started)


def _deep_queue(depth: int, count: int) -> list[Figure]:
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer())
        empty, deep = (_api(stack, postgres) for _ in range(2))
        job_id = _upload(deep, 0)[1]
        _multiply(deep.environment["DATABASE_URL"], job_id, depth)
        for number in range(20):
            _upload(empty, 1000 + number), _upload(deep, 1000 + number)
        times: dict[int, list[float]] = {0: [], depth: []}
        for number in range(count):
            for service, queued in ((empty, 0), (deep, depth))[:: 1 if number % 2 else -1]:
                times[queued].append(_upload(service, 2000 + number)[0])
    ratio = median(times[depth]) / median(times[0])
    note = f"{median(times[0]):.3g} ms with none queued, {median(times[depth]):.3g} ms with {depth}"
    return [at_most(f"upload with {depth} jobs queued ÷ with none, p50", ratio, SLOWER, note=note)]


def _api(stack: ExitStack, postgres: PostgresServer) -> Parts:
    """An API of its own, without a worker."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="copyist-bench-")))
    valkey = stack.enter_context(ValkeyServer())
    service = Parts(folder, redis_url=valkey.url, database_url=postgres.create_database(), LOG_LEVEL="warning")
    stack.enter_context(service).start("api")
    until = time.monotonic() + 60
    while True:
        try:
            if service.client.get("/readyz").json()["database"] == "ok":
                return service
        except httpx.TransportError:
            pass
        if time.monotonic() > until:
            raise ServiceError(f"the API did not start\n{service.log('api')}")
        time.sleep(0.05)


def _upload(service: Parts, number: int) -> tuple[float, str]:
    data = _photo(number)
    started = time.perf_counter()
    answer = service.client.post("/api/jobs", files={"file": ("photo.png", data)})
    took = 1000 * (time.perf_counter() - started)
    if answer.status_code != 202:
        raise ServiceError(f"{answer.status_code}: {answer.text[:200]}")
    return took, str(answer.json()["id"])


def _multiply(url: str, job_id: str, depth: int) -> None:
    """Copies of a waiting job, as so many uploads would have left them."""
    engine = make_engine(url)
    with engine.begin() as connection:
        names = connection.execute(
            text("SELECT column_name FROM information_schema.columns WHERE table_name = 'jobs' AND column_name <> 'id'")
        ).scalars()
        columns = ", ".join(f'"{name}"' for name in names)
        connection.execute(
            text(
                f"INSERT INTO jobs (id, {columns}) SELECT gen_random_uuid()::text, {columns} "
                "FROM jobs CROSS JOIN generate_series(1, :depth) WHERE id = :job"
            ),
            {"depth": depth, "job": job_id},
        )
        connection.execute(text("ANALYZE jobs"))
    engine.dispose()
