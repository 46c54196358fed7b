"""The service's own time for a one-page job: engine ``mock``, Redis, PostgreSQL, from POST until the client sees it.

One client sends one distinct picture after the other and waits with ``?wait=``. A second part sends files again that
Tesseract has read before: they must come from the cache, which the page's trail says.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.pages import card
from benchmarks.report import Figure, at_most, median, percentile, plain
from benchmarks.service import ENDED, Service, ServiceError, on_servers

ABOUT = "one-page jobs, engine mock, Redis + PostgreSQL, POST until the client sees completed"
P50_MS, P99_MS, CACHED_MS = 40.0, 150.0, 50.0
WARM_UP = 40


def measure(quick: bool) -> list[Figure]:
    """Take the figures."""
    jobs, repeats = (40, 5) if quick else (300, 40)
    with on_servers(OCR_BACKEND="mock") as service:
        for number in range(WARM_UP):
            _one(service, card(number))
        cpu = service.cpu_s()
        times = [_one(service, card(1000 + number)) for number in range(jobs)]
        cpu = service.cpu_s() - cpu
        return [*_own_time(times, 1000 * cpu / jobs), *_read_before(service, repeats)]


def _one(service: Service, data: bytes, **fields: str) -> tuple[float, float]:
    """Send one file; give milliseconds until the 202, and until the client saw the job completed."""
    started = time.perf_counter()
    answer = service.http.post("/api/jobs", files={"file": ("card.png", data)}, data=fields)
    accepted = time.perf_counter()
    job: dict[str, Any] = answer.json()
    while job["status"] not in ENDED:
        job = service.http.get(f"/api/jobs/{job['id']}", params={"wait": 30}).json()
    seen = time.perf_counter()
    if job["status"] != "completed":
        raise ServiceError(f"a job ended as {job['status']}\n{service.last_words()}")
    return 1000 * (accepted - started), 1000 * (seen - started)


def _own_time(times: list[tuple[float, float]], cpu_ms: float) -> list[Figure]:
    posts, whole = [post for post, _ in times], [total for _, total in times]
    note = f"{len(times)} jobs, one client"
    return [
        at_most("one-page job, p50", percentile(whole, 0.50), P50_MS, unit=" ms", note=note),
        at_most("one-page job, p99", percentile(whole, 0.99), P99_MS, unit=" ms", note=note),
        plain("of that, POST until 202", f"{percentile(posts, 0.50):.3g} ms", f"p99 {percentile(posts, 0.99):.3g} ms"),
        plain("CPU of all processes of the service", f"{cpu_ms:.3g} ms a job", "database and broker not counted"),
    ]


def _read_before(service: Service, repeats: int) -> list[Figure]:
    files = [card(5000 + number, ["read before"]) for number in range(repeats)]
    for data in files:
        service.read(data, engine="tesseract")
    times = [_one(service, data, engine="tesseract")[1] for data in files]
    outcomes = {_outcome(service, data) for data in files[:5]}
    from_cache = outcomes == {("cached",)}
    said = "no engine ran" if from_cache else f"an engine ran: {sorted(outcomes)}"
    figure = at_most("file read before, p50", median(times), CACHED_MS, unit=" ms")
    worst = f"{repeats} files, p99 {percentile(times, 0.99):.3g} ms"
    return [
        Figure(figure.what, figure.value, figure.bar, figure.passed, worst),
        Figure("file read before, trail", said, "no engine ran", from_cache),
    ]


def _outcome(service: Service, data: bytes) -> tuple[str, ...]:
    """How each step on the file's page ended when it is sent once more."""
    job = service.read(data, engine="tesseract")
    page = service.http.get(f"/api/jobs/{job['id']}/pages/1").json()
    return tuple(step["outcome"] for step in page["trail"])
