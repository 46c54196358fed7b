"""``GET /metrics`` for Prometheus: the state of the whole service, and how long this process takes to answer.

Jobs, pages, queues and workers are asked of the database and the broker at each scrape: the processes that read pages
come and go. Rows are deleted, too, so what is a count of rows is a gauge without ``_total``. What only grows, the
workers count in the broker: see ``queue.tally``. A broker that was emptied is a counter reset, which Prometheus
understands. Only the durations of requests are kept in this process: see ``timing``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool

from copyist import __version__
from copyist.api import timing
from copyist.api.callers import Scope, needs
from copyist.api.health import engines_of
from copyist.api.schemas import EngineBody
from copyist.api.service import Here, Service
from copyist.db import figures, learning_figures, presence
from copyist.db.figures import Figures, Waiting
from copyist.db.learning_figures import LearningFigures
from copyist.db.states import JOB_ENDED, JobStatus
from copyist.db.tables import Worker, now
from copyist.queue.routing import Queue
from copyist.queue.tally import COUNTERS, HISTOGRAMS, NOBODY, Told

router = APIRouter(tags=["health"])

ROWS, MESSAGES = LOOKS = ("count in the database", "count in the broker")
"""What is asked at a scrape beside the storage, by its name in ``Looks``: one that hangs is not asked again."""
PROCESS = ProcessCollector(registry=None)


@dataclass(frozen=True)
class _Rows:
    """What the database tells."""

    figures: Figures
    workers: list[Worker]
    engines: list[EngineBody]
    learning: LearningFigures


def _rows(service: Service) -> _Rows:
    with service.db.read() as session:
        counted, workers = figures.take(session), presence.alive(session)
        learning = learning_figures.take(session)
    return _Rows(counted, workers, engines_of(service), learning)


@dataclass(frozen=True)
class _Kept:
    """What the broker tells: messages that lie in each queue, and what was counted."""

    messages: Mapping[str, int]
    told: Told


def _kept(service: Service) -> _Kept:
    return _Kept({queue.value: service.sender.waiting(queue) for queue in Queue}, service.sender.told())


EXAMPLE = """\
# HELP ocr_jobs Jobs that are held now, by state
# TYPE ocr_jobs gauge
ocr_jobs{status="pending"} 2.0
"""
TEXT = {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}}


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    dependencies=[needs(Scope.ADMIN)],
    responses={200: {"description": "In the text format, or in OpenMetrics where that is asked for", "content": TEXT}},
)
async def metrics(here: Here, accept: Annotated[str, Header(include_in_schema=False)] = "") -> Response:
    """Always 200: `ocr_up` says which of database, broker and storage answers, and the figures of one that does not
    are left out.
    """
    rows, kept, stored = await asyncio.gather(
        here.looks.at(ROWS, lambda: _rows(here)),
        here.looks.at(MESSAGES, lambda: _kept(here)),
        here.looks.at("storage", here.storage.check),
    )
    encode, kind = choose_encoder(accept)
    registry = _registry(_Scrape(rows, kept, stored, strict="openmetrics" in kind))
    return Response(await run_in_threadpool(encode, registry), headers={"Content-Type": kind})


def _registry(scrape: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(scrape)
    if timing.shared_folder():
        # Nothing of memory and the like, then: the process that is asked cannot tell it of the others.
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(timing.SECONDS)
        registry.register(PROCESS)
    return registry


@dataclass(frozen=True, eq=False)
class _Scrape:
    """The answers of one scrape in Prometheus' words; one that is text says why there is none."""

    rows: _Rows | str
    kept: _Kept | str
    stored: str | None
    strict: bool
    """Whether it is told in OpenMetrics."""

    def collect(self) -> Iterator[Metric]:
        """All that is known."""
        yield InfoMetricFamily("copyist_build", "The version of this process", {"version": __version__})
        answers = {"database": self.rows, "broker": self.kept, "storage": self.stored}
        up = {part: not isinstance(answer, str) for part, answer in answers.items()}
        yield _gauge("ocr_up", "Whether this part answers: 1 or 0", "part", up)
        if not isinstance(self.kept, str):
            depth = "Messages that lie in the broker and that no worker has fetched"
            yield _gauge("ocr_queue_depth", depth, "queue", self.kept.messages)
            yield from _of_counts(self.kept.told, strict=self.strict)
        if not isinstance(self.rows, str):
            yield from _of_work(self.rows.figures)
            yield from _of_workers(self.rows.workers, self.rows.engines)
            yield from _of_learning(self.rows.learning)


NAMES = {
    "jobs": ("ocr_jobs", "Jobs that ended, by the state they ended in; a retried one ends once more"),
    "pages": ("ocr_pages", "Pages that were settled: read, cached (the same was read before) or failed"),
    "fallbacks": ("ocr_engine_fallbacks", "How often a page went on to another engine, or to none, and why"),
    "job_seconds": ("ocr_job_duration_seconds", "From the upload of a job to its end; of a retried one once more"),
    "page_seconds": ("ocr_page_duration_seconds", "What it took a worker to read a page, all its engines together"),
    "confidence": ("ocr_page_confidence", "How sure the engine was of a page, 0 to 1"),
}
"""What the tally counts, as Prometheus knows it."""
GAUGES_TOO = {"jobs", "pages"}
"""In OpenMetrics a counter and a gauge may not share a name; there these go without a type."""


def _of_counts(told: Told, *, strict: bool) -> Iterator[Metric]:
    for key, counted in told.counters.items():
        name, documentation = NAMES[key]
        counts = _zeros(key, counted) | dict(counted)
        family: CounterMetricFamily | UnknownMetricFamily
        if strict and key in GAUGES_TOO:
            family = UnknownMetricFamily(f"{name}_total", documentation, labels=COUNTERS[key])
        else:
            family = CounterMetricFamily(name, documentation, labels=COUNTERS[key])
        for labels, count in counts.items():
            family.add_metric(labels, count)
        yield family
    for key, measured in told.histograms.items():
        name, documentation = NAMES[key]
        histogram = HistogramMetricFamily(name, documentation, labels=HISTOGRAMS[key][0])
        for labels, one in measured.items():
            histogram.add_metric(labels, buckets=list(one.buckets), sum_value=one.sum)
        yield histogram


def _zeros(key: str, counted: Mapping[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """What may be counted next, at 0: a series that begins with 1 has not grown, and no alarm hears of its first."""
    if key == "jobs":
        return {(state.value,): 0.0 for state in JobStatus if state in JOB_ENDED}
    if key == "pages":
        engines = {engine for engine, _ in counted}
        outcomes = [(engine, outcome) for engine in sorted(engines - {NOBODY}) for outcome in ("read", "cached")]
        return dict.fromkeys([*outcomes, *((engine, "failed") for engine in sorted(engines | {NOBODY}))], 0.0)
    return {}


def _of_work(found: Figures) -> Iterator[Metric]:
    yield _gauge("ocr_jobs", "Jobs that are held now, by state", "status", found.jobs)
    yield _gauge("ocr_pages", "Pages of the jobs that are held now, by state", "status", found.pages)
    waiting = {queue: Waiting() for queue in (Queue.CPU.value, Queue.GPU.value)} | dict(found.waiting)
    jobs = {queue: one.jobs for queue, one in waiting.items()}
    yield _gauge("ocr_waiting_jobs", "Jobs whose file nobody has looked into yet", "queue", jobs)
    pages = {queue: one.pages for queue, one in waiting.items()}
    yield _gauge("ocr_waiting_pages", "Pages that nobody has begun to read", "queue", pages)
    moment = now()
    ages = {queue: max(0.0, (moment - (one.since or moment)).total_seconds()) for queue, one in waiting.items()}
    yield _gauge("ocr_queue_oldest_seconds", "How long the oldest of these waits; 0 if there is none", "queue", ages)
    overdue = "Pages whose reader has gone silent; beat puts them back within seconds"
    yield GaugeMetricFamily("ocr_expired_leases", overdue, found.expired_leases)
    recent = f"Of the last {figures.RECENT} readings that are held, those by this engine; not a count of all"
    yield _gauge("ocr_recent_readings", recent, "engine", found.recent_readings)
    yield GaugeMetricFamily("ocr_files", "Files that are held now; equal ones are kept once", found.files)
    yield GaugeMetricFamily("ocr_files_bytes", "Bytes of these files", found.files_bytes)


def _of_workers(workers: list[Worker], engines: list[EngineBody]) -> Iterator[Metric]:
    count = {queue.value: 0 for queue in Queue}
    capacity = dict(count)
    for worker in workers:
        for queue in worker.queues:
            count[queue] = count.get(queue, 0) + 1
            capacity[queue] = capacity.get(queue, 0) + worker.concurrency
    yield _gauge("ocr_workers", "Living workers that serve this queue", "queue", count)
    yield _gauge("ocr_worker_capacity", "Processes of these workers: pages at once", "queue", capacity)
    ready = {engine.name: engine.ready for engine in engines}
    yield _gauge("ocr_engine_ready", "Whether a living worker can read with it: 1 or 0", "engine", ready)
    having = {engine.name: engine.workers for engine in engines}
    yield _gauge("ocr_engine_workers", "Living workers that can read with it", "engine", having)


def _of_learning(found: LearningFigures) -> Iterator[Metric]:
    serves = "The version that reads handwriting; 0: the base as published"
    yield GaugeMetricFamily("copyist_model_version", serves, found.version)
    if found.holdout_cer is not None:
        rate = "Its character error rate on pages that it never saw, 0 to 1, when it was made"
        yield GaugeMetricFamily("copyist_model_cer", rate, found.holdout_cer)
    kinds = "Corrections that are held now: lines that were changed, or found right"
    yield _gauge("copyist_corrections", kinds, "kind", found.corrections)
    yield _gauge("copyist_training_runs", "Runs of training, by state", "status", found.runs)


def _gauge(name: str, documentation: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
