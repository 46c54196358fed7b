"""Traces by OpenTelemetry: from a request through the queue to each page. Nothing is made unless an endpoint is set.

Until ``setup`` is called with one, ``span`` costs next to nothing and the libraries are not even imported. A trace goes
from process to process as W3C writes it (``traceparent``, https://www.w3.org/TR/trace-context/): with a request, in the
row of its job, and from there to whoever works on the job, whenever that is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from copyist import __version__
from copyist.reasons import Trouble

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import Span as Made

Attribute = str | int | float | bool | None
"""What may be told of a span; ``None`` is left out."""
HEADER = "traceparent"
SEND_WITHIN_S = 3.0
"""With all tries. A process that stops waits for it."""

log = logging.getLogger(__name__)

_provider: TracerProvider | None = None


class Span:
    """One piece of work in a trace, or nothing where there are no traces."""

    def __init__(self, made: Made | None = None) -> None:
        self._made = made

    def name(self, name: str) -> None:
        """What it is called, where that is known only later."""
        if self._made is not None:
            self._made.update_name(name)

    def tell(self, **attributes: Attribute) -> None:
        """Add what has become known."""
        if self._made is not None:
            self._made.set_attributes(_known(attributes))

    def event(self, name: str, **attributes: Attribute) -> None:
        """Something that happened in the middle of it."""
        if self._made is not None:
            self._made.add_event(name, _known(attributes))

    def failed(self, reason: str) -> None:
        """Mark it as one that went wrong."""
        if self._made is not None:
            from opentelemetry.trace import StatusCode

            self._made.set_status(StatusCode.ERROR, reason)


_NOTHING = Span()


def _known(attributes: dict[str, Attribute]) -> dict[str, str | int | float | bool]:
    return {name: value for name, value in attributes.items() if value is not None}


def setup(service_name: str, endpoint: str) -> None:
    """Send the spans of this process by OTLP over HTTP to ``endpoint``, a collector's address; nothing where empty.

    Call it in the process that makes the spans, after any fork: they are sent by a thread. How often, how many at once
    and which share of the traces is kept, the environment says (``OTEL_BSP_*``, ``OTEL_TRACES_SAMPLER``). A collector
    that is away costs the spans, and nothing else.
    """
    if not endpoint:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=SEND_WITHIN_S)
    start(service_name, BatchSpanProcessor(cast("SpanExporter", _Told(exporter))))


class _Told:
    """An exporter that says in the log when the collector of the traces is away, and why, and when it is back."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._trouble = Trouble(log, "the collector of the traces")
        self._heard = _FirstWords()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them; those that cannot be sent are lost."""
        self._heard.words = ""
        result = self._exporter.export(spans)
        if result.name == "SUCCESS":
            self._trouble.over()
        else:
            self._trouble.met(RuntimeError(self._heard.words))
        return result

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait for what is on its way."""
        return self._exporter.force_flush(timeout_millis)


class _FirstWords(logging.Handler):
    """Keeps what the library tells of its single tries from the log, and hears why: it says so nowhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.words = ""
        exporters = logging.getLogger("opentelemetry.exporter")
        exporters.handlers, exporters.propagate = [self], False

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a line, if it is the first: the others only tell that it was tried again."""
        self.words = self.words or record.getMessage()


def start(service_name: str, processor: SpanProcessor) -> None:
    """Give the spans of this process to ``processor``."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    global _provider
    shutdown()
    facts = {"service.name": service_name, "service.version": __version__}
    _provider = TracerProvider(resource=Resource.create(facts), shutdown_on_exit=False)
    _provider.add_span_processor(processor)


def shutdown() -> None:
    """Send what is left, and make no more."""
    global _provider
    if _provider is not None:
        _provider.shutdown()
        _provider = None


@contextmanager
def span(name: str, *, parent: str | None = None, serves: bool = False, **attributes: Attribute) -> Iterator[Span]:
    """A piece of work: within the trace ``parent`` (W3C), else within the one that goes on here, else in a new one.

    ``serves`` marks the answer to somebody's request. What is raised inside is noted and goes on.
    """
    if _provider is None:
        yield _NOTHING
        return
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    within = TraceContextTextMapPropagator().extract({HEADER: parent}) if parent else None
    kind = SpanKind.SERVER if serves else SpanKind.INTERNAL
    tracer = _provider.get_tracer("copyist", __version__)
    with tracer.start_as_current_span(name, within, kind, _known(attributes)) as made:
        yield Span(made)


def traceparent() -> str | None:
    """The trace that is going on here, as W3C writes it; ``None`` where there is none."""
    if _provider is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(HEADER)
