"""Outages as clients of the gateway live through them, in both protocols: no connection, flaps, brown-outs,
probes that say nothing good."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.e2e.gateway_theatre import PROTOCOLS, GatewayTheatre, Protocol, Reply, gateway_theatre
from understudy.faults import TEXT, FaultProvider, SilentPort, full_port

STREAM_AND_UNARY = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
BOTH = pytest.mark.parametrize("protocol", PROTOCOLS)
STEPPED_IN = [("lead", "connect"), ("second", "success")]


async def all_answered(house: GatewayTheatre, protocol: Protocol, count: int, *, stream: bool) -> list[Reply]:
    replies = await asyncio.gather(*(house.ask(protocol, stream=stream) for _ in range(count)))
    assert all((reply.error, reply.text) == (None, TEXT) for reply in replies)
    return replies


@BOTH
@STREAM_AND_UNARY
async def test_f02_a_name_that_does_not_resolve_fails_over(protocol: Protocol, streamed: bool) -> None:
    urls = {"lead": "http://no-such-host.invalid/v1"}
    async with gateway_theatre(speaks=protocol, urls=urls, connect_timeout_ms=5000) as house:
        reply = await house.ask(protocol, stream=streamed)
        assert (reply.text, await house.attempts(reply)) == (TEXT, STEPPED_IN)
        assert (await house.stats())["by_kind"] == {"connect": 1}


@BOTH
@STREAM_AND_UNARY
async def test_f02_a_connection_that_is_not_taken_is_bounded_by_the_connect_clock(
    protocol: Protocol, streamed: bool
) -> None:
    with full_port() as port:
        urls = {"lead": f"http://127.0.0.1:{port}/v1"}
        patient: dict[str, Any] = {"timeout_ms": 20000, "unary_timeout_ms": 20000}
        async with gateway_theatre(speaks=protocol, urls=urls, **patient) as house:
            began = time.monotonic()
            reply = await house.ask(protocol, stream=streamed)
            assert time.monotonic() - began < 2
            assert (reply.text, await house.attempts(reply)) == (TEXT, STEPPED_IN)


@BOTH
@STREAM_AND_UNARY
async def test_f03_plaintext_on_a_tls_port_fails_over(protocol: Protocol, streamed: bool) -> None:
    async with FaultProvider() as plain:
        urls = {"lead": plain.base_url.replace("http:", "https:")}
        async with gateway_theatre(speaks=protocol, urls=urls, connect_timeout_ms=5000) as house:
            reply = await house.ask(protocol, stream=streamed)
            assert (reply.text, await house.attempts(reply)) == (TEXT, STEPPED_IN)
            trail = (await house.told(reply.headers["x-request-id"]))["trail"]
            assert "TLS" in trail[0]["message"]


@BOTH
async def test_f03_a_tls_handshake_that_stalls_is_bounded_by_the_connect_clock(protocol: Protocol) -> None:
    async with SilentPort() as silent:
        urls = {"lead": f"https://127.0.0.1:{silent.port}/v1"}
        async with gateway_theatre(speaks=protocol, urls=urls, timeout_ms=20000) as house:
            began = time.monotonic()
            reply = await house.ask(protocol, stream=True)
            assert time.monotonic() - began < 2
            assert (reply.text, await house.attempts(reply)) == (TEXT, STEPPED_IN)


@BOTH
@STREAM_AND_UNARY
async def test_f55_a_flap_is_served_by_the_other_and_the_lead_is_back_soon_after(
    protocol: Protocol, streamed: bool
) -> None:
    """Down for the first half; twenty calls at intervals; time a hundredfold."""
    shorter: dict[str, Any] = {"circuit_breaker_recovery_timeout_ms": 300, "failover_retry_count": 1}
    async with gateway_theatre("down 0.6s", speaks=protocol, **shorter) as house:
        backends = []
        for _ in range(20):
            (reply,) = await all_answered(house, protocol, 1, stream=streamed)
            backends.append(reply.headers["x-understudy-backend"])
            await asyncio.sleep(0.06)
        during = [request for request in house.lead.requests if request.status == 503]
        assert len(during) <= 6, "attempts on the lead during its outage are few"
        assert backends[-1] == "lead"
        assert (await house.stats())["circuit_breaker"]["state"] == "closed"


@BOTH
@STREAM_AND_UNARY
async def test_f56_five_percent_of_failures_never_open_the_circuit(
    protocol: Protocol, streamed: bool
) -> None:
    patient: dict[str, Any] = {"timeout_ms": 20000, "unary_timeout_ms": 20000}
    async with gateway_theatre("5% status 500", speaks=protocol, **patient) as house:
        for _ in range(15):
            await all_answered(house, protocol, 10, stream=streamed)
        lead = await house.stats()
        assert lead["failures"] > 0
        assert lead["circuit_breaker"]["state"] == "closed"


@BOTH
@STREAM_AND_UNARY
async def test_f56_seventy_percent_of_failures_open_it_and_every_request_is_answered(
    protocol: Protocol, streamed: bool
) -> None:
    async with gateway_theatre("70% status 500", speaks=protocol) as house:
        for _ in range(40):
            await all_answered(house, protocol, 1, stream=streamed)
            if (await house.stats())["circuit_breaker"]["state"] == "open":
                break
        assert (await house.stats())["circuit_breaker"]["state"] == "open"


@BOTH
@STREAM_AND_UNARY
@pytest.mark.parametrize("probe", ["silence", "status 400"])
async def test_f59_after_a_probe_that_says_nothing_good_a_new_one_is_admitted(
    probe: str, protocol: Protocol, streamed: bool
) -> None:
    script = f"3x status 500; {probe}; fine"
    shorter: dict[str, Any] = {"circuit_breaker_recovery_timeout_ms": 200, "failover_retry_count": 3}
    async with gateway_theatre(script, speaks=protocol, **shorter) as house:
        await house.ask(protocol, stream=streamed)
        assert (await house.stats())["circuit_breaker"]["state"] == "open"
        await asyncio.sleep(0.21)
        await house.ask(protocol, stream=streamed)
        next_probe = (await house.stats())["circuit_breaker"]["next_probe_in_ms"]
        assert next_probe is not None
        await asyncio.sleep(next_probe / 1000 + 0.01)
        reply = await house.ask(protocol, stream=streamed)
        assert reply.headers["x-understudy-backend"] == "lead"
        assert (await house.stats())["circuit_breaker"]["state"] == "closed"
