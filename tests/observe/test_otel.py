"""Facts about spans and metrics, recorded in memory over scripted backends on a manual clock."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import StatusCode

from tests.runtime.house import BREAKER, DONE, STOP, USAGE, House, delta, refusal, speech, stream
from understudy.core.settings import HedgeSettings, RetrySettings
from understudy.observe.otel import OpenTelemetry, _Link
from understudy.wire import anthropic_messages, openai_client
from understudy.wire.dialect import ClientRequest

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ONCE = RetrySettings(count=1, delay=0.0)


class Records:
    """A tracer that keeps what it has recorded."""

    def __init__(self, sampler: Sampler = ALWAYS_ON, **options: Any) -> None:
        self._spans = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracer = OpenTelemetry(tracer_provider=self.provider, meter_provider=meters, **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        """In the order of their ends: the request's is the last."""
        return list(self._spans.get_finished_spans())

    def counts(self) -> dict[str, int]:
        """How often each instrument was told something."""
        data = self._reader.get_metrics_data()
        assert data is not None
        metrics = data.resource_metrics[0].scope_metrics[0].metrics
        points: dict[str, list[Any]] = {metric.name: list(metric.data.data_points) for metric in metrics}
        return {name: sum(point.count for point in told) for name, told in points.items()}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def names(span: ReadableSpan) -> list[str]:
    return [event.name for event in span.events]


def asked(**headers: str) -> ClientRequest:
    """A request of a gateway's client, in the trace that the headers name."""
    request = openai_client.read_request(b'{"model": "any", "messages": [{"role": "user", "content": "?"}]}')
    request.trace, request.id = headers, "req_1"
    return request


async def read(house: House, request: Any, *, streams: bool = True) -> None:
    async for _ in house.engine.call(request, stream=streams).chunks():
        pass


async def test_instants_are_the_walls_and_lengths_the_clocks() -> None:
    records = Records()
    house = House(stream(2.0, delta("To"), 3.0, STOP, USAGE, DONE), tracer=records.tracer)
    began = house.clock.wall()
    await house.play(5)
    attempt, request = records.spans
    for span in (attempt, request):
        assert span.start_time == round(began * 1e9)
        assert span.end_time == round((began + 5) * 1e9)
    (first,) = attempt.events
    assert first.timestamp == round((began + 2) * 1e9)
    assert attributes(attempt)["gen_ai.response.time_to_first_chunk"] == 2.0


async def test_the_current_span_is_the_parent_also_of_what_a_client_sent() -> None:
    records = Records()
    house = House([speech("To"), speech("be")], tracer=records.tracer)
    with records.provider.get_tracer("application").start_as_current_span("handler") as handler:
        await read(house, asked(traceparent=PARENT))
        await (house.call()).next_batch()
    request = records.spans[1]
    assert request.parent is not None
    assert request.parent.span_id == handler.get_span_context().span_id


async def test_a_client_names_the_parent_where_nothing_is_current() -> None:
    records = Records()
    house = House(speech("To"), tracer=records.tracer)
    await read(house, asked(traceparent=PARENT))
    request = records.spans[1]
    assert request.parent is not None
    assert f"{request.parent.trace_id:x}" == PARENT.split("-")[1].lstrip("0")
    assert attributes(request)["understudy.request.id"] == "req_1"
    assert attributes(request)["gen_ai.request.model"] == "any"


async def test_nonsense_for_a_parent_begins_a_trace_of_its_own() -> None:
    records = Records()
    house = House(speech("To"), tracer=records.tracer)
    await read(house, asked(traceparent="00-nonsense"))
    assert records.spans[1].parent is None


async def test_propagators_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PROPAGATORS", "none")
    records = Records()
    house = House(speech("To"), tracer=records.tracer)
    await read(house, asked(traceparent=PARENT))
    assert records.spans[1].parent is None
    assert "traceparent" not in house.transport.requests[0].headers


async def test_a_failed_request_says_by_what() -> None:
    records = Records()
    house = House(refusal(401, "wrong key sk-123"), retry=ONCE, tracer=records.tracer)
    await house.play(1)
    attempt, request = records.spans
    assert request.status.status_code is StatusCode.ERROR
    assert attributes(request)["error.type"] == request.status.description == "AllBackendsFailed"
    assert attributes(request)["understudy.outcome"] == "failed"
    assert "understudy.backend" not in attributes(request)
    assert attempt.status.description == "auth (401)"
    counts = records.counts()
    assert "gen_ai.client.token.usage" not in counts
    assert "gen_ai.server.time_to_first_token" not in counts
    assert counts["gen_ai.server.request.duration"] == 1


async def test_whoever_leaves_is_no_error() -> None:
    records = Records()
    house = House(stream(delta("To"), 9.0), tracer=records.tracer)
    call = house.call()
    await call.next_batch()
    call.leave()
    attempt, request = records.spans
    assert attributes(attempt)["understudy.outcome"] == "cancelled"
    assert attributes(request)["understudy.outcome"] == "cancelled"
    assert {attempt.status.status_code, request.status.status_code} == {StatusCode.UNSET}


async def test_a_closed_balancer_is_told() -> None:
    records = Records()
    house = House(stream(9.0), tracer=records.tracer)
    show = house.start()
    await house.clock.advance(1)
    await house.engine.close()
    assert show.error is not None
    assert attributes(records.spans[-1])["error.type"] == "BalancerClosed"


async def test_skips_waits_and_circuits_are_events_of_the_request() -> None:
    records = Records()
    house = House([refusal(500)] * 3 + [speech("a")], speech("b"), retry=ONCE, tracer=records.tracer)
    for _ in range(4):
        await house.play(1)
    requests = [span for span in records.spans if span.parent is None]
    assert names(requests[2]) == ["understudy.circuit_opened"]
    assert names(requests[3]) == ["understudy.skipped"]
    await house.clock.advance(BREAKER.recovery_timeout)
    await house.play(1)
    probe, request = records.spans[-2:]
    assert names(request) == ["understudy.circuit_half_opened", "understudy.circuit_closed"]
    assert attributes(probe)["understudy.probe"] is True


async def test_of_two_at_once_each_hears_of_its_own_first_content() -> None:
    records = Records()
    house = House(stream(3.0, delta("To"), STOP, DONE), speech("be"), tracer=records.tracer)
    house.pool.settings = replace(house.pool.settings, hedge=HedgeSettings(1.0, budget=1.0))
    await house.play(4)
    lost, answered, request = records.spans
    assert (names(lost), names(answered)) == ([], ["understudy.first_content"])
    assert attributes(lost)["understudy.outcome"] == "lost"
    assert names(request) == ["understudy.hedged"]


async def test_what_was_left_out_and_repaired_is_told() -> None:
    records = Records()
    complaint = "Unsupported parameter: 'temperature' is not supported with this model."
    house = House([refusal(400, complaint), speech("To")], tracer=records.tracer)
    await house.play(1, temperature=0.5)
    attempt = records.spans[0]
    assert attributes(attempt)["understudy.dropped_field"] == "temperature"
    assert attributes(attempt)["http.response.status_code"] == 200


async def test_a_connection_that_was_made_anew_and_what_a_format_cant_say_are_told() -> None:
    records = Records()
    house = House(
        replace(speech("To"), reconnected=True), formats=[anthropic_messages], tracer=records.tracer
    )
    await house.play(1, seed=7)
    attempt = records.spans[0]
    assert attributes(attempt)["understudy.left_out"] == ("seed",)
    assert attributes(attempt)["understudy.reconnected"] is True


async def test_what_is_not_sampled_is_measured_all_the_same() -> None:
    records = Records(ALWAYS_OFF)
    house = House([refusal(500), speech("To")], retry=ONCE, tracer=records.tracer)
    await house.play(1)
    await house.play(1)
    assert records.spans == []
    assert house.transport.requests[0].headers["traceparent"].endswith(("-00", "-02"))
    assert records.counts()["gen_ai.client.operation.duration"] == 2


async def test_content_that_has_no_neutral_words_is_left_out() -> None:
    records = Records(capture_content=True)
    house = House(speech("To"), tracer=records.tracer)
    said = b'[{"role": "user", "content": 7}]'
    await read(house, openai_client.read_request(b'{"model": "any", "messages": %s}' % said))
    request = attributes(records.spans[-1])
    assert "gen_ai.input.messages" not in request
    assert "gen_ai.output.messages" in request


async def test_by_default_it_records_through_the_processs_own_providers() -> None:
    house = House(speech("To"), tracer=OpenTelemetry())
    show = await house.play(1)
    assert show.text == "To"
    assert trace.get_tracer_provider() is not None
    assert repr(OpenTelemetry()) == "<OpenTelemetry without content>"
    assert repr(OpenTelemetry(capture_content=True)) == "<OpenTelemetry with content>"


def test_the_link_to_a_collector_is_logged_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    link = _Link("traces", "http://user:secret@collector.test:4318/v1/traces")
    with caplog.at_level(logging.INFO, "understudy.tracing"):
        for is_up in (True, False, False, True, True):
            link.note(is_up=is_up)
    assert [record.getMessage() for record in caplog.records] == [
        "traces do not reach collector.test:4318 and are lost until they do",
        "traces reach collector.test:4318 again",
    ]
