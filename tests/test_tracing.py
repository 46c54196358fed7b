"""Traces: nothing where nobody collects them, and one trace from the request to the page where somebody does."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from copyist import tracing
from tests.servers import free_port, process_environment
from tests.service import Service
from tests.test_client import Reply, scripted

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def made() -> Iterator[InMemorySpanExporter]:
    """The spans that are over, from now on."""
    exporter = InMemorySpanExporter()
    tracing.start("test", SimpleSpanProcessor(exporter))
    yield exporter
    tracing.shutdown()


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def test_without_an_endpoint_nothing_is_made_and_nothing_is_loaded() -> None:
    script = """
import sys
from copyist import tracing
tracing.setup("test", "")
with tracing.span("page", parent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", job="1") as span:
    span.tell(engine="mock")
    span.failed("x")
    assert tracing.traceparent() is None
tracing.shutdown()
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=process_environment(), capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_span_goes_on_with_the_trace_it_is_given(made: InMemorySpanExporter) -> None:
    with tracing.span("page", parent=PARENT, job="1", engine=None) as span:
        span.tell(outcome="read", confidence=0.5)
        span.event("try", engine="mock", reason=None)
        inside = tracing.traceparent()
    (found,) = made.get_finished_spans()
    assert (found.name, trace_of(found), found.kind) == ("page", TRACE, SpanKind.INTERNAL)
    assert found.attributes == {"job": "1", "outcome": "read", "confidence": 0.5}
    assert [(event.name, event.attributes) for event in found.events] == [("try", {"engine": "mock"})]
    assert found.context is not None
    assert inside == f"00-{TRACE}-{found.context.span_id:016x}-01"
    assert tracing.traceparent() is None


@pytest.mark.parametrize("parent", [None, "", "nonsense", f"00-{'0' * 32}-b7ad6b7169203331-01"])
def test_without_a_trace_that_can_be_read_a_new_one_begins(made: InMemorySpanExporter, parent: str | None) -> None:
    with tracing.span("page", parent=parent):
        pass
    (found,) = made.get_finished_spans()
    assert (found.parent, trace_of(found) == TRACE) == (None, False)


def test_what_is_raised_is_noted_and_goes_on(made: InMemorySpanExporter) -> None:
    with pytest.raises(KeyError), tracing.span("page"):
        raise KeyError("x")
    (found,) = made.get_finished_spans()
    assert found.status.status_code is StatusCode.ERROR


class Collector(ThreadingHTTPServer):
    """What receives spans by OTLP over HTTP, and keeps them by the name of their service."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, SentSpan]] = []
        super().__init__(("127.0.0.1", 0), _Receive)

    @contextmanager
    def receiving(self) -> Iterator[str]:
        thread = threading.Thread(target=self.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{self.server_port}"
        finally:
            self.shutdown()
            thread.join()
            self.server_close()

    def of(self, name: str) -> list[tuple[str, SentSpan]]:
        return [(service, span) for service, span in self.spans if span.name == name]

    def await_spans(self, *names: str, seconds: float = 20) -> None:
        until = time.monotonic() + seconds
        while missing := [name for name in names if not self.of(name)]:
            assert time.monotonic() < until, f"no span {missing} among {sorted({one.name for _, one in self.spans})}"
            time.sleep(0.05)


class _Receive(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in sent.resource_spans:
            facts = {fact.key: fact.value.string_value for fact in resource.resource.attributes}
            spans = [(facts["service.name"], span) for scope in resource.scope_spans for span in scope.spans]
            self.server.spans += spans
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def facts_of(span: SentSpan) -> dict[str, str | int]:
    return {fact.key: fact.value.string_value or fact.value.int_value for fact in span.attributes}


def test_one_trace_goes_from_the_request_to_the_page(
    tmp_path: Path, redis_url: str, postgres_url: str, own_samples: Path
) -> None:
    collector = Collector()
    with (
        collector.receiving() as endpoint,
        Service(
            tmp_path,
            redis_url=redis_url,
            database_url=postgres_url,
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_BSP_SCHEDULE_DELAY="100",
        ) as service,
    ):
        service.start("api", "beat", "worker").await_ready()
        service.client.headers["traceparent"] = PARENT
        job_id = service.upload(own_samples / "note.png")
        del service.client.headers["traceparent"]
        assert service.wait(job_id)["status"] == "completed"
        collector.await_spans("POST /api/jobs", "intake", "page")
        assert service.stop("worker") == 0
    (of_request,), (of_intake,), (of_page,) = (collector.of(name) for name in ("POST /api/jobs", "intake", "page"))
    assert [service for service, _ in (of_request, of_intake, of_page)] == ["copyist-api", *["copyist-worker"] * 2]
    request, intake, page = (span for _, span in (of_request, of_intake, of_page))
    assert {span.trace_id.hex() for span in (request, intake, page)} == {TRACE}
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    assert {intake.parent_span_id, page.parent_span_id} == {request.span_id}
    assert request.kind == SentSpan.SPAN_KIND_SERVER
    assert facts_of(request)["http.response.status_code"] == 202
    told = facts_of(page)
    assert (told["job"], told["page"], told["engine"], told["outcome"]) == (job_id, 1, "mock", "read")
    assert [event.name for event in page.events] == ["try"]


def test_a_collector_that_is_away_holds_nothing_up_and_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setattr(tracing, "SEND_WITHIN_S", 1.5)
    tracing.setup("test", f"http://127.0.0.1:{free_port()}")
    try:
        until = time.monotonic() + 10
        while not caplog.messages:
            assert time.monotonic() < until
            with tracing.span("page"):
                time.sleep(0.01)
        with tracing.span("page"):
            pass
    finally:
        tracing.shutdown()
    (said,) = caplog.messages
    assert "the collector of the traces does not answer: nothing answers there" in said


def test_a_collector_that_refuses_is_told_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    with scripted(*[Reply(404)] * 20) as server:
        tracing.setup("test", server.url)
        try:
            with tracing.span("page"):
                pass
        finally:
            tracing.shutdown()
    (said,) = caplog.messages
    assert "404" in said and "refused" not in said
