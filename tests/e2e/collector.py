"""A collector: an HTTP server that takes OTLP in protobuf, as OpenTelemetry's does.

    with collecting() as collector:
        ... OTEL_EXPORTER_OTLP_ENDPOINT=collector.url ...
        collector.spans

`frozen` takes connections and requests and never answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue


@dataclass
class Happening:
    """An event of a span."""

    name: str
    attributes: dict[str, Any]


@dataclass
class CollectedSpan:
    """One span as it arrived; ids are hex, times seconds since the epoch."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    state: str
    began: float
    ended: float
    status: int
    message: str
    attributes: dict[str, Any]
    events: list[Happening]

    @property
    def happenings(self) -> list[str]:
        return [event.name for event in self.events]

    @property
    def parenthood(self) -> str:
        """The header that names it, but for the flags."""
        return f"00-{self.trace}-{self.id}"


class Collector:
    """What has arrived so far."""

    def __init__(self) -> None:
        self.spans: list[CollectedSpan] = []
        self.metrics: dict[str, list[dict[str, Any]]] = {}
        self.resource: dict[str, Any] = {}
        self.bodies: list[bytes] = []
        self.asked = Event()
        self.frozen = False
        self.thawed = Event()
        self.url = ""

    def take(self, path: str, body: bytes) -> None:
        self.bodies.append(body)
        if path == "/v1/traces":
            self._take_spans(ExportTraceServiceRequest.FromString(body))
        else:
            assert path == "/v1/metrics", path
            self._take_metrics(ExportMetricsServiceRequest.FromString(body))

    def request(self) -> CollectedSpan:
        """The span of the one request."""
        (span,) = [span for span in self.spans if "understudy.policy" in span.attributes]
        return span

    def attempts(self) -> list[CollectedSpan]:
        """In the order of their beginning."""
        made = [span for span in self.spans if "understudy.attempt" in span.attributes]
        return sorted(made, key=lambda span: span.began)

    def _take_spans(self, request: Any) -> None:
        for resource in request.resource_spans:
            self.resource = _attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += map(_span, scope.spans)

    def _take_metrics(self, request: Any) -> None:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = metric.histogram.data_points
                    self.metrics[metric.name] = [
                        {"count": point.count, "sum": point.sum, **_attributes(point.attributes)}
                        for point in points
                    ]


def _span(span: Any) -> CollectedSpan:
    return CollectedSpan(
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_state,
        span.start_time_unix_nano / 1e9,
        span.end_time_unix_nano / 1e9,
        span.status.code,
        span.status.message,
        _attributes(span.attributes),
        [Happening(event.name, _attributes(event.attributes)) for event in span.events],
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, str(kind))


@contextmanager
def collecting(*, frozen: bool = False) -> Iterator[Collector]:
    collector = Collector()
    collector.frozen = frozen

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.asked.set()
            if collector.frozen:
                collector.thawed.wait(30)
                self.close_connection = True
                return
            collector.take(self.path, body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *arguments: object) -> None:
            """Whoever asked may be gone."""

    with Quiet(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        collector.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield collector
        finally:
            collector.thawed.set()
            server.shutdown()
            thread.join()
