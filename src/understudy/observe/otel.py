"""Traces and metrics through OpenTelemetry (extra ``otel``).

::

    chat evening                  the request, in the trace of whoever asked
    ├── chat lead-model           an attempt on the lead: failed
    └── chat second-model         an attempt on the second: answered

Rules:

1. A request is one span, each attempt a child of it. Skips, waits, hedges, recoveries and what circuits do
   are events of the request's span; the first content is one of the attempt's.
2. The request's span is a child of the span that is current where the request begins, else of the one that
   the gateway's client names in ``traceparent``. The backend is named its attempt's span in the same way.
   ``baggage`` goes no further than us, unless ``OTEL_PROPAGATORS`` lists it.
3. Content is recorded only if ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` is true, or the
   argument says so. Keys never are.
4. Spans go by the pool's clock: an instant is the wall's at the request's beginning, monotonic from there.
5. `Export` hands over what was recorded in threads of its own, from queues with an end: a collector that is
   slow, frozen or away costs what is in them, and one line in the log for each change. It is left after
   `PATIENCE` seconds at the end.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from threading import Thread
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import metrics, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Histogram, MeterProvider
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from understudy._version import __version__
from understudy.core.attempt import Attempt
from understudy.core.events import (
    AttemptAbandoned,
    AttemptFailed,
    AttemptSucceeded,
    Event,
    FirstContent,
    RequestEnded,
)
from understudy.core.outcome import Failure
from understudy.core.pool import Pool
from understudy.errors import RequestError
from understudy.observe import conventions as say
from understudy.runtime.backend import Backend
from understudy.runtime.engine import Call
from understudy.runtime.exchange import Exchange
from understudy.runtime.ports import Clock
from understudy.wire.dialect import BadRequest, ClientRequest

_log = logging.getLogger("understudy.tracing")

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
PATIENCE = 2.0
LONGEST_NAME = 200


class OpenTelemetry:
    """Records through these providers, by default the process's own. A `runtime.tracing.Tracer`.

    `capture_content` and `propagator` are by default what the ``OTEL_`` variables say (rules 2 and 3).
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        capture_content: bool | None = None,
        propagator: TextMapPropagator | None = None,
    ) -> None:
        self.tracer = trace.get_tracer("understudy", __version__, tracer_provider)
        self.metrics = _Metrics(metrics.get_meter("understudy", __version__, meter_provider))
        self.keeps_text = _is_true(os.environ.get(CAPTURE)) if capture_content is None else capture_content
        self.propagator = propagator or _propagator(os.environ)

    def __repr__(self) -> str:
        return f"<OpenTelemetry {'with' if self.keeps_text else 'without'} content>"

    def begin(self, call: Call, pool: Pool, clock: Clock) -> RequestTrace:
        """Rule 2."""
        parent = contexts.get_current()
        if isinstance(call.request, ClientRequest) and call.request.trace:
            parent = self._context_of(call.request.trace, parent)
        return RequestTrace(self, call, pool, clock, parent)

    def _context_of(self, headers: Mapping[str, str], current: Context) -> Context:
        if trace.get_current_span(current).get_span_context().is_valid:
            return current
        return self.propagator.extract(dict(headers), current)


class RequestTrace:
    """One request's span and its attempts'. A `runtime.tracing.Trace`."""

    __slots__ = (
        "_attempts",
        "_call",
        "_context",
        "_error",
        "_first",
        "_offset",
        "_otel",
        "_profile",
        "_span",
    )

    def __init__(self, otel: OpenTelemetry, call: Call, pool: Pool, clock: Clock, parent: Context) -> None:
        now = clock.now()
        self._otel = otel
        self._call = call
        self._profile = pool.profile
        self._offset = clock.wall() - now
        self._error: RequestError | None = None
        self._first: float | None = None
        self._attempts: dict[tuple[str, int], _AttemptTrace] = {}
        is_served = isinstance(call.request, ClientRequest)
        self._span = otel.tracer.start_span(
            f"{say.CHAT} {pool.profile}",
            parent,
            SpanKind.SERVER if is_served else SpanKind.INTERNAL,
            _of_request(call, pool),
            start_time=self.instant(now),
        )
        self._context = trace.set_span_in_context(self._span, parent)

    def instant(self, monotonic: float) -> int:
        """Rule 4, in nanoseconds."""
        return round((monotonic + self._offset) * 1e9)

    def attempt(self, attempt: Attempt, backend: Backend, exchange: Exchange) -> Mapping[str, str]:
        """The headers name the attempt's span."""
        begun = _AttemptTrace(self, self._otel, attempt, backend, exchange, self._context)
        self._attempts[backend.name, attempt.number] = begun
        carrier: dict[str, str] = {}
        self._otel.propagator.inject(carrier, begun.context)
        return carrier

    def failed(self, error: RequestError) -> None:
        self._error = error

    def observe(self, event: Event) -> None:
        match event:
            case AttemptSucceeded() | AttemptFailed() | AttemptAbandoned():
                self._attempts.pop((event.backend, event.attempt)).end(event.at)
            case FirstContent():
                self._first = event.at if self._first is None else self._first
                for (backend, _), running in self._attempts.items():
                    if backend == event.backend:
                        running.first_content(event.at)
            case RequestEnded():
                self._end(event)
            case _:
                self._note(event)

    def _note(self, event: Event) -> None:
        """Rule 1."""
        words = say.event_words(event)
        if words is not None and self._span.is_recording():
            self._span.add_event(words[0], words[1], self.instant(event.at))

    def _end(self, ended: RequestEnded) -> None:
        self._otel.metrics.request_ended(self._profile, ended, self._first, self._error, self._context)
        span, call = self._span, self._call
        if span.is_recording():
            span.set_attributes(say.of_answer(call.model, call.finish_reason, call.usage))
            span.set_attributes(self._of_end(ended))
            if ended.result == "failed":
                span.set_status(Status(StatusCode.ERROR, type(self._error).__name__))
            if self._otel.keeps_text:
                self._tell_content()
        span.end(self.instant(ended.at))

    def _of_end(self, ended: RequestEnded) -> say.Attributes:
        attributes: say.Attributes = {
            say.OUTCOME: ended.result,
            say.ATTEMPTS: ended.attempts,
            say.FAILED_OVER: ended.failed_over,
        }
        if ended.backend is not None:
            attributes[say.BACKEND] = ended.backend
        if self._error is not None:
            attributes[say.ERROR] = type(self._error).__name__
        return attributes

    def _tell_content(self) -> None:
        """Rule 3. What can't be said in neutral words is left to the attempts' failures."""
        call, span = self._call, self._span
        request = call.request
        try:
            chat = request.chat if isinstance(request, ClientRequest) else request
            span.set_attribute(say.INPUT_MESSAGES, say.input_messages(chat))
        except (BadRequest, AttributeError, TypeError, ValueError):
            pass
        span.set_attribute(say.OUTPUT_MESSAGES, say.output_messages(call.said, call.finish_reason))


class _AttemptTrace:
    __slots__ = ("_attempt", "_backend", "_exchange", "_otel", "_request", "_span", "context")

    def __init__(
        self,
        request: RequestTrace,
        otel: OpenTelemetry,
        attempt: Attempt,
        backend: Backend,
        exchange: Exchange,
        parent: Context,
    ) -> None:
        self._request = request
        self._otel = otel
        self._attempt = attempt
        self._backend = say.of_backend(backend)
        self._exchange = exchange
        self._span: Span = otel.tracer.start_span(
            f"{say.CHAT} {backend.model[:LONGEST_NAME]}",
            parent,
            SpanKind.CLIENT,
            {**self._backend, **say.of_attempt(attempt)},
            start_time=request.instant(attempt.started_at),
        )
        self.context = trace.set_span_in_context(self._span, parent)

    def first_content(self, at: float) -> None:
        seconds = at - self._attempt.started_at
        self._otel.metrics.first_content(self._backend, seconds, self.context)
        self._span.add_event(say.FIRST_CONTENT, {"understudy.after": seconds}, self._request.instant(at))

    def end(self, at: float) -> None:
        exchange, attempt, span = self._exchange, self._attempt, self._span
        self._otel.metrics.attempt_ended(self._backend, attempt, exchange, at, self.context)
        if span.is_recording():
            span.set_attributes(say.of_answer(exchange.model, exchange.finish_reason, exchange.usage))
            span.set_attributes(say.of_end(attempt))
            if isinstance(attempt.outcome, Failure):
                words = say.failure_words(attempt.outcome, with_content=self._otel.keeps_text)
                span.set_status(Status(StatusCode.ERROR, words))
        span.end(self._request.instant(at))


class _Metrics:
    """The conventions' instruments. Of attributes only those whose values are few."""

    def __init__(self, meter: metrics.Meter) -> None:
        def histogram(name: str, unit: str, words: str, buckets: Sequence[float]) -> Histogram:
            return meter.create_histogram(name, unit, words, explicit_bucket_boundaries_advisory=buckets)

        self._duration = histogram(say.CLIENT_DURATION, "s", "An attempt on a backend", say.SECONDS)
        self._tokens = histogram(say.CLIENT_TOKENS, "{token}", "Tokens of an attempt", say.TOKENS)
        self._first_chunk = histogram(
            say.CLIENT_FIRST_CHUNK, "s", "An attempt up to its first content", say.FIRST_SECONDS
        )
        self._request = histogram(say.SERVER_DURATION, "s", "A request with all its attempts", say.SECONDS)
        self._first_token = histogram(
            say.SERVER_FIRST_TOKEN, "s", "A request up to the first content of any attempt", say.FIRST_SECONDS
        )

    def first_content(self, backend: say.Attributes, seconds: float, context: Context) -> None:
        self._first_chunk.record(seconds, backend, context)

    def attempt_ended(
        self, backend: say.Attributes, attempt: Attempt, exchange: Exchange, at: float, context: Context
    ) -> None:
        outcome = attempt.outcome
        failed = {say.ERROR: str(outcome.kind)} if isinstance(outcome, Failure) else {}
        self._duration.record(at - attempt.started_at, {**backend, **failed}, context)
        if exchange.usage is not None:
            given, made = exchange.usage.input_tokens, exchange.usage.output_tokens
            self._tokens.record(given, {**backend, say.TOKEN_TYPE: "input"}, context)
            self._tokens.record(made, {**backend, say.TOKEN_TYPE: "output"}, context)

    def request_ended(
        self,
        profile: str,
        ended: RequestEnded,
        first: float | None,
        error: RequestError | None,
        context: Context,
    ) -> None:
        of: dict[str, Any] = {say.OPERATION: say.CHAT, say.PROFILE: profile, say.OUTCOME: ended.result}
        failed = {} if error is None else {say.ERROR: type(error).__name__}
        self._request.record(ended.duration, {**of, **failed}, context)
        if first is not None:
            self._first_token.record(first - (ended.at - ended.duration), of, context)


def _of_request(call: Call, pool: Pool) -> say.Attributes:
    attributes: say.Attributes = {
        say.OPERATION: say.CHAT,
        say.REQUEST_MODEL: pool.profile,
        say.REQUEST_STREAM: call.stream,
        say.PROFILE: pool.profile,
        say.POLICY: pool.policy.name,
    }
    if isinstance(call.request, ClientRequest):
        attributes[say.REQUEST_MODEL] = call.request.model[:LONGEST_NAME]
        attributes[say.REQUEST_ID] = call.request.id
    return attributes


def _is_true(text: str | None) -> bool:
    return (text or "").strip().lower() == "true"


def _propagator(environ: Mapping[str, str]) -> TextMapPropagator:
    """Rule 2."""
    known: dict[str, TextMapPropagator] = {
        "tracecontext": TraceContextTextMapPropagator(),
        "baggage": W3CBaggagePropagator(),
    }
    named = environ.get("OTEL_PROPAGATORS", "").strip() or "tracecontext"
    names = dict.fromkeys(name.strip().lower() for name in named.split(","))
    return CompositePropagator([known[name] for name in names if name in known])


class Export:
    """The SDK set up by the standard ``OTEL_`` variables: OTLP over HTTP, for a whole process (rule 5)."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        # What the SDK has to say of a collector that is away, we say once.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        named = Resource({"service.name": "understudy", "service.version": __version__})
        resource = Resource.create().merge(named).merge(OTELResourceDetector().detect())
        self._tracers = SdkTracerProvider(resource=resource, shutdown_on_exit=False)
        readers = []
        if environ.get("OTEL_TRACES_EXPORTER", "").strip() != "none":
            self._tracers.add_span_processor(BatchSpanProcessor(_SpanExporter()))
        if environ.get("OTEL_METRICS_EXPORTER", "").strip() != "none":
            readers.append(PeriodicExportingMetricReader(_MetricExporter()))
        self._meters = SdkMeterProvider(readers, resource, shutdown_on_exit=False)
        self.tracer = OpenTelemetry(tracer_provider=self._tracers, meter_provider=self._meters)

    def close(self) -> None:
        """Hand over what is left, within `PATIENCE` seconds."""
        ends = [Thread(target=end, daemon=True) for end in (self._tracers.shutdown, self._meters.shutdown)]
        for end in ends:
            end.start()
        for end in ends:
            end.join(PATIENCE / len(ends))


class _Link:
    """Whether the collector takes what it is given; a line for each change."""

    def __init__(self, what: str, where: str) -> None:
        self._what = what
        self._where = say.place(where)
        self._is_up = True

    def note(self, *, is_up: bool) -> None:
        if is_up is self._is_up:
            return
        self._is_up = is_up
        if is_up:
            _log.info("%s reach %s:%s again", self._what, *self._where)
        else:
            _log.warning("%s do not reach %s:%s and are lost until they do", self._what, *self._where)


class _SpanExporter(OTLPSpanExporter):
    def __init__(self) -> None:
        super().__init__()
        self._link = _Link("traces", self._endpoint)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self._link.note(is_up=result is SpanExportResult.SUCCESS)
        return result


class _MetricExporter(OTLPMetricExporter):
    def __init__(self) -> None:
        super().__init__()
        self._link = _Link("metrics", self._endpoint)

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **kwargs)
        self._link.note(is_up=result is MetricExportResult.SUCCESS)
        return result
