"""Traces as a collector gets them, over real sockets: a request, its attempts, and who called whom."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.collector import Collector, collecting
from tests.e2e.gateway_theatre import MEMBER_KEYS, patient_theatre
from tests.e2e.servers import free_port
from tests.e2e.theatre import theatre
from understudy.faults import TEXT, TOKENS, FaultProvider
from understudy.observe.otel import PATIENCE, Export

SERVER, CLIENT, INTERNAL = 2, 3, 1
UNSET, ERROR = 0, 2
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@contextmanager
def exporting(monkeypatch: pytest.MonkeyPatch, url: str, **variables: str) -> Iterator[Export]:
    """Everything is handed over at the end of the block."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "no_proxy": "127.0.0.1", **variables}.items():
        monkeypatch.setenv(name, value)
    export = Export(os.environ)
    try:
        yield export
    finally:
        export.close()


def named_to(*providers: FaultProvider) -> list[str]:
    """The spans that backends were named, in all that they saw, but for the flags."""
    seen = [request for provider in providers for request in provider.requests]
    return [request.headers["traceparent"].rpartition("-")[0] for request in seen]


async def test_a_failed_over_stream_is_one_request_of_two_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        with exporting(monkeypatch, collector.url) as export:
            async with patient_theatre("500", failover_retry_count=1, tracer=export.tracer) as house:
                named = {"traceparent": PARENT, "tracestate": "vendor=1", "baggage": "user=alice"}
                reply = await house.ask("openai", stream=True, headers=named)
                assert reply.text == TEXT
                lead = house.lead.requests[0]
        request = collector.request()
        failed, answered = collector.attempts()
    assert len(collector.spans) == 3
    assert collector.resource["service.name"] == "understudy"
    # Whose child is whose, in the trace of the gateway's client.
    assert {span.trace for span in collector.spans} == {PARENT.split("-")[1]}
    assert (request.parent, request.kind, request.name) == (PARENT.split("-")[2], SERVER, "chat evening")
    assert (failed.parent, failed.kind, failed.name) == (request.id, CLIENT, "chat lead-model")
    assert (answered.parent, answered.kind, answered.name) == (request.id, CLIENT, "chat second-model")
    # Each backend was told its attempt's span, and nothing of what the client carries along.
    assert named_to(house.lead, house.second) == [failed.parenthood, answered.parenthood]
    assert lead.headers["tracestate"] == "vendor=1"
    assert "baggage" not in lead.headers
    _check_request(request.attributes, reply.headers["x-request-id"])
    assert (request.status, request.happenings) == (UNSET, [])
    assert (failed.status, failed.message) == (ERROR, "server_error (500)")
    assert failed.attributes["error.type"] == failed.attributes["understudy.outcome"] == "server_error"
    assert failed.attributes["http.response.status_code"] == 500
    assert failed.attributes["server.port"] == house.lead.port
    _check_answer(answered.attributes, house.second.port)
    assert (answered.status, answered.happenings) == (UNSET, ["understudy.first_content"])
    assert request.began <= failed.began <= failed.ended <= answered.began < answered.ended <= request.ended
    _check_nothing_is_told(collector)


def _check_request(attributes: dict[str, Any], request_id: str) -> None:
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "evening",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "second-model",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": attributes["gen_ai.usage.input_tokens"],
        "gen_ai.usage.output_tokens": len(TOKENS),
        "understudy.profile": "evening",
        "understudy.policy": "failover",
        "understudy.request.id": request_id,
        "understudy.outcome": "answered",
        "understudy.backend": "second",
        "understudy.attempts": 2,
        "understudy.failed_over": True,
    }


def _check_answer(attributes: dict[str, Any], port: int) -> None:
    assert attributes.pop("gen_ai.response.time_to_first_chunk") > 0
    assert attributes.pop("gen_ai.usage.input_tokens") > 0
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "second-model",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "second-model",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.output_tokens": len(TOKENS),
        "server.address": "127.0.0.1",
        "server.port": port,
        "http.response.status_code": 200,
        "understudy.backend": "second",
        "understudy.attempt": 1,
        "understudy.outcome": "success",
    }


def _check_nothing_is_told(collector: Collector) -> None:
    """No key, nothing of the question or the answer."""
    everything = b"".join(collector.bodies)
    for key in MEMBER_KEYS.values():
        assert key.encode() not in everything
    assert b"falls silent" not in everything
    assert TOKENS[3].encode() * 2 not in everything
    assert TEXT[:20].encode() not in everything


async def test_metrics_go_by_the_names_of_the_conventions(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        with exporting(monkeypatch, collector.url) as export:
            async with theatre("500", failover_retry_count=1, tracer=export.tracer) as house:
                await house.play()
        metrics = collector.metrics
    durations = {point["understudy.backend"]: point for point in metrics["gen_ai.client.operation.duration"]}
    assert durations["lead"]["error.type"] == "server_error"
    assert (durations["lead"]["count"], durations["second"]["count"]) == (1, 1)
    assert "error.type" not in durations["second"]
    tokens = {point["gen_ai.token.type"]: point for point in metrics["gen_ai.client.token.usage"]}
    assert tokens["output"]["sum"] == len(TOKENS)
    assert tokens["input"]["sum"] > 0
    (first,) = metrics["gen_ai.client.operation.time_to_first_chunk"]
    assert first["understudy.backend"] == "second"
    (request,) = metrics["gen_ai.server.request.duration"]
    (answer,) = metrics["gen_ai.server.time_to_first_token"]
    assert (request["understudy.profile"], request["understudy.outcome"]) == ("evening", "answered")
    assert 0 < answer["sum"] <= request["sum"]


async def test_a_recovered_stream_is_two_attempts_and_says_how_it_went_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with collecting() as collector:
        with exporting(monkeypatch, collector.url) as export:
            recovering: dict[str, Any] = {"model": "understudy-1", "stream_recovery": "same_model"}
            async with theatre("cut after=9", tracer=export.tracer, **recovering) as house:
                assert (await house.play()).text == TEXT
        request, (broken, replay) = collector.request(), collector.attempts()
    assert request.kind == INTERNAL
    assert request.happenings == ["understudy.recovery_started", "understudy.recovered"]
    assert request.events[0].attributes == {
        "understudy.backend": "second",
        "understudy.broken": "lead",
        "understudy.tokens": request.events[0].attributes["understudy.tokens"],
        "understudy.recovery": "replay",
    }
    assert broken.attributes["error.type"] == "truncated"
    assert broken.message.startswith("truncated: ")
    assert replay.attributes["understudy.recovery"] == "replay"
    assert [span.parent for span in (broken, replay)] == [request.id] * 2
    assert named_to(house.lead, house.second) == [broken.parenthood, replay.parenthood]


async def test_a_hedge_is_two_attempts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        with exporting(monkeypatch, collector.url) as export:
            async with theatre("delay 3s", tracer=export.tracer, hedge=50, timeout_ms=5000) as house:
                assert (await house.play()).backend == "second"
        request, (late, hedge) = collector.request(), collector.attempts()
    assert request.happenings == ["understudy.hedged"]
    assert request.events[0].attributes["understudy.late"] == "lead"
    assert (late.attributes["understudy.outcome"], late.status) == ("lost", UNSET)
    assert hedge.attributes["understudy.hedge"] is True
    assert "understudy.hedge" not in late.attributes
    assert late.began < hedge.began < late.ended


async def test_content_is_recorded_where_it_is_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        switched_on = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"}
        with exporting(monkeypatch, collector.url, **switched_on) as export:
            async with patient_theatre(tracer=export.tracer) as house:
                await house.ask("openai", stream=True)
        attributes = collector.request().attributes
    (asked,) = json.loads(attributes["gen_ai.input.messages"])
    (said,) = json.loads(attributes["gen_ai.output.messages"])
    assert asked["role"] == "user"
    assert asked["parts"][0]["type"] == "text"
    assert said == {
        "role": "assistant",
        "parts": [{"type": "text", "content": TEXT}],
        "finish_reason": "stop",
    }


async def test_baggage_goes_on_where_it_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        listed = {"OTEL_PROPAGATORS": "tracecontext, baggage"}
        with exporting(monkeypatch, collector.url, **listed) as export:
            async with patient_theatre(tracer=export.tracer) as house:
                await house.ask("openai", headers={"traceparent": PARENT, "baggage": "user=alice"})
                assert house.lead.requests[0].headers["baggage"] == "user=alice"


async def test_without_tracing_a_backend_is_told_nothing_of_it() -> None:
    async with patient_theatre() as house:
        await house.ask("openai", headers={"traceparent": PARENT, "tracestate": "vendor=1"})
        assert not {"traceparent", "tracestate"} & house.lead.requests[0].headers.keys()


@pytest.mark.parametrize("how", ["frozen", "away"])
async def test_a_collector_that_is_gone_costs_no_request_anything(
    how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with collecting(frozen=True) as collector:
        url = collector.url if how == "frozen" else f"http://127.0.0.1:{free_port()}"
        hasty = {
            "OTEL_BSP_SCHEDULE_DELAY": "10",
            "OTEL_BSP_MAX_QUEUE_SIZE": "64",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8",
        }
        with caplog.at_level(logging.INFO, "understudy.tracing"):
            with exporting(monkeypatch, url, OTEL_EXPORTER_OTLP_TIMEOUT="1", **hasty) as export:
                async with theatre(tracer=export.tracer) as house:
                    slowest = 0.0
                    for _ in range(100):
                        began = time.monotonic()
                        assert (await house.play()).text == TEXT
                        slowest = max(slowest, time.monotonic() - began)
                    await asyncio.sleep(1.2)
                ending = time.monotonic()
            assert time.monotonic() - ending < PATIENCE + 1
    assert slowest < 0.9, "a request waits for no collector"
    lines = [record.getMessage() for record in caplog.records if record.name == "understudy.tracing"]
    assert sum("traces do not reach" in line for line in lines) == 1


class TestTheGateway:
    """``understudy serve``, a process of its own."""

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        folder = tmp_path / "profiles"
        folder.mkdir()
        return tmp_path

    async def test_an_endpoint_in_the_environment_switches_it_on(self, home: Path) -> None:
        async with theatre() as house:
            member = {
                "version": 1,
                "provider": "openai",
                "model": "lead-model",
                "modelParams": {},
                "ephemeralSettings": {"base-url": house.lead.base_url, "auth-key": MEMBER_KEYS["lead"]},
            }
            pool = {"version": 1, "type": "loadbalancer", "policy": "failover", "profiles": ["lead", "lead2"]}
            (home / "profiles" / "lead.json").write_text(json.dumps(member))
            (home / "profiles" / "lead2.json").write_text(json.dumps(member))
            (home / "profiles" / "evening.json").write_text(json.dumps(pool))
            with collecting() as collector:
                await asyncio.to_thread(self._one_request, home, collector.url)
                request = collector.request()
        assert (request.trace, request.parent) == (PARENT.split("-")[1], PARENT.split("-")[2])
        assert named_to(house.lead) == [collector.attempts()[0].parenthood]
        assert collector.resource["service.name"] == "stage-door"
        assert set(collector.metrics) >= {
            "gen_ai.client.operation.duration",
            "gen_ai.server.request.duration",
        }

    def _one_request(self, home: Path, collector: str) -> None:
        import urllib.request

        environ = {
            **os.environ,
            "UNDERSTUDY_HOME": str(home),
            "UNDERSTUDY_KEYS": "",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "OTEL_SERVICE_NAME": "stage-door",
            "no_proxy": "127.0.0.1",
        }
        serve = [sys.executable, "-m", "understudy", "serve", "--port", "0", "--drain-delay", "0"]
        with subprocess.Popen(serve, env=environ, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            body = json.dumps({"model": "evening", "messages": [{"role": "user", "content": "?"}]}).encode()
            request = urllib.request.Request(
                f"{url}/v1/chat/completions",
                body,
                {"traceparent": PARENT, "content-type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
