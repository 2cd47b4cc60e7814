"""An Anthropic client before members of three formats: the faults whose answer is a rule of its own.

Connections, retries, limits, benches, circuits, and what is said when all members fail.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anthropic
import pytest

from tests.e2e.gateway_theatre import GatewayTheatre, Protocol
from tests.e2e.mixed_pool import (
    MEMBERS,
    NAMES,
    OUT,
    all_out_before,
    answered_in,
    check_answered,
    check_broken_off,
    check_told,
    check_whole,
    hear,
    mixed_pool,
    playing_at,
)
from understudy.faults import TEXT, TOKENS, FaultProvider, closed_port, full_port

STREAM_AND_UNARY = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
PLACES = pytest.mark.parametrize("place", range(3), ids=MEMBERS)
CLIENT: Protocol = "anthropic"


# Connecting


@STREAM_AND_UNARY
async def test_f01_two_refused_connections_cost_next_to_nothing(streamed: bool) -> None:
    with closed_port() as port:
        urls = dict.fromkeys(NAMES[:2], f"http://127.0.0.1:{port}/v1")
        async with mixed_pool(urls=urls, failover_retry_delay_ms=20000) as house:
            heard = await answered_in(2, hear(house, CLIENT, stream=streamed))
            failed = [("lead", "connect"), ("second", "connect")]
            await check_answered(house, heard, "third", failed, requests={"lead": 0, "second": 0})


async def test_f02_a_name_that_does_not_resolve_and_a_connection_that_is_not_taken_fail_over() -> None:
    with full_port() as port:
        urls = {"lead": "http://no-such-host.invalid/v1", "second": f"http://127.0.0.1:{port}/v1"}
        async with mixed_pool(urls=urls, connect_timeout_ms=1000) as house:
            heard = await answered_in(4, hear(house, CLIENT))
            failed = [("lead", "connect"), ("second", "connect")]
            await check_answered(house, heard, "third", failed, requests={"lead": 0, "second": 0})


async def test_f03_plaintext_on_a_tls_port_fails_over() -> None:
    async with FaultProvider() as plain:
        urls = {"lead": plain.base_url.replace("http:", "https:")}
        async with mixed_pool(urls=urls) as house:
            heard = await hear(house, CLIENT)
            await check_answered(house, heard, "second", [("lead", "connect")], requests={"lead": 0})


# Once more, or later


@PLACES
@STREAM_AND_UNARY
async def test_f22_one_500_is_retried_on_the_same_member(streamed: bool, place: int) -> None:
    member = NAMES[place]
    async with mixed_pool(*playing_at(place, "status 500; fine")) as house:
        heard = await hear(house, CLIENT, stream=streamed)
        await check_answered(house, heard, member, [*all_out_before(place), (member, "server_error")])


async def test_f25_a_short_retry_after_of_the_first_is_waited_out_and_a_long_one_is_not() -> None:
    async with mixed_pool("429 retry-after-ms=350; fine; 429 retry-after=60") as house:
        began = time.monotonic()
        heard = await hear(house, CLIENT)
        assert time.monotonic() - began >= 0.35
        await check_answered(house, heard, "lead", [("lead", "rate_limited")])
        heard = await hear(house, CLIENT)
        check_whole(heard, "second", len(TOKENS))
        assert await house.attempts(heard.reply) == [("lead", "rate_limited"), ("second", "success")]
        assert 50_000 < (await house.stats())["bench_remaining_ms"] <= 60_000
        heard = await hear(house, CLIENT)
        assert await house.skips(heard.reply) == [("lead", "benched")]
        assert await house.attempts(heard.reply) == [("second", "success")]


# The member that says it; what it says; the bounds of its bench in seconds
BENCHES = [
    (0, "429 retry-after=date:+30s", 25, 30),
    (1, "429 retry-after=date:+30s", 25, 30),
    (0, "429 retry-after=date:+1h", 890, 900),
    (1, "429 retry-after=date:-1h", 0, 1),
    (0, "429 retry-after-ms=23500", 20, 23.5),
    (1, "429 retry-after=23.5", 20, 23.5),
    (1, "429 retry-after=1e12", 890, 900),
    (0, "429 retry-after=277403", 890, 900),
    (1, "429 retry-after=277403", 890, 900),
]


@pytest.mark.parametrize(("place", "script", "least", "most"), BENCHES)
async def test_f26_f27_f28_a_member_is_benched_for_as_long_as_it_says_and_the_next_one_answers(
    place: int, script: str, least: float, most: float
) -> None:
    async with mixed_pool(*playing_at(place, script), retry_after_max_ms=0) as house:
        heard = await answered_in(2, hear(house, CLIENT))
        failed = [*all_out_before(place), (NAMES[place], "rate_limited")]
        await check_answered(house, heard, NAMES[place + 1], failed)
        member = await house.stats(NAMES[place])
        assert least * 1000 <= member["bench_remaining_ms"] <= most * 1000
        assert member["circuit_breaker"]["failures"] == 0


async def test_f26_a_date_is_read_against_the_members_own_clock() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1, seconds=60), usegmt=True)
    async with mixed_pool(f"429 retry-after='{later}' + skew +1h", retry_after_max_ms=0) as house:
        await hear(house, CLIENT)
        assert 50_000 < (await house.stats())["bench_remaining_ms"] <= 61_000


@pytest.mark.parametrize("nonsense", ["abc", "NaN"])
async def test_f27_nonsense_is_no_retry_after(nonsense: str) -> None:
    async with mixed_pool(f"429 retry-after={nonsense}") as house:
        heard = await hear(house, CLIENT)
        await check_answered(house, heard, "second", [("lead", "rate_limited")] * 2)
        assert (await house.stats())["bench_remaining_ms"] == 0


async def test_f25_gemini_tells_its_delay_in_the_body_alone() -> None:
    async with mixed_pool(OUT, OUT, "says gemini-rate-limit; fine", wait_for_capacity_ms=1) as house:
        heard = await answered_in(2, hear(house, CLIENT))
        assert isinstance(heard.error, anthropic.InternalServerError)
        assert 1000 < (await house.stats("third"))["bench_remaining_ms"] <= 2000


# The limits that are used up, in the words of each format
USED_UP = [
    "header x-ratelimit-remaining-requests=0 x-ratelimit-reset-requests=1s",
    "header anthropic-ratelimit-requests-remaining=0 anthropic-ratelimit-requests-reset=rfc3339:+30s",
]


@pytest.mark.parametrize("script", USED_UP, ids=["openai", "anthropic"])
async def test_f31_limits_that_are_used_up_never_empty_the_pool(script: str) -> None:
    async with mixed_pool(script, script, script) as house:
        for _ in range(3):
            heard = await hear(house, CLIENT)
            assert (heard.error, heard.text) == (None, TEXT)
        assert (await house.pool())["answered"] == 3


async def test_f60_traffic_moves_from_a_fast_429_to_a_slow_healthy_member() -> None:
    async with mixed_pool("429 retry-after=60", "delay 0.1s") as house:
        heard = [await hear(house, CLIENT) for _ in range(3)]
        assert [one.reply.headers["x-understudy-backend"] for one in heard] == ["second"] * 3
        assert (len(house.lead.requests), len(house.second.requests)) == (1, 3)


# Circuits


@pytest.mark.parametrize("probe", ["silence", "status 400"])
async def test_f59_after_a_probe_that_says_nothing_good_a_new_one_is_admitted(probe: str) -> None:
    async with mixed_pool(
        f"2x status 500; {probe}; fine",
        runs_out="timeout",
        circuit_breaker_failure_threshold=2,
        circuit_breaker_recovery_timeout_ms=200,
    ) as house:
        assert (await hear(house, CLIENT)).reply.headers["x-understudy-backend"] == "second"
        assert (await house.stats())["circuit_breaker"]["state"] == "open"
        await asyncio.sleep(0.21)
        await hear(house, CLIENT)
        assert len(house.lead.requests) == 3
        await asyncio.sleep((await _next_probe(house)) + 0.01)
        heard = await hear(house, CLIENT)
        check_whole(heard, "lead", len(TOKENS))
        assert (await house.stats())["circuit_breaker"]["state"] == "closed"


async def _next_probe(house: GatewayTheatre) -> float:
    """In so many seconds."""
    milliseconds: float = (await house.stats())["circuit_breaker"]["next_probe_in_ms"]
    return milliseconds / 1000


async def test_an_open_circuit_and_a_bench_are_skipped_and_gemini_answers_alone() -> None:
    async with mixed_pool("status 500", "429 retry-after=60", circuit_breaker_failure_threshold=1) as house:
        assert (await hear(house, CLIENT)).text == TEXT
        heard = await hear(house, CLIENT)
        check_whole(heard, "third", len(TOKENS))
        assert await house.skips(heard.reply) == [("lead", "circuit_open"), ("second", "benched")]
        assert await house.attempts(heard.reply) == [("third", "success")]


# All of them


# The three scripts; status, Anthropic's type for it, code, retry-after at least and at most
DOWN: list[tuple[tuple[str, str, str], int, str, str, tuple[int, int] | None]] = [
    (
        ("429 retry-after=60", "429 retry-after=30", "429 retry-after=40"),
        429,
        "rate_limit_error",
        "rate_limited",
        (25, 30),
    ),
    (
        ("says anthropic-credit", "says openai-quota", "says gemini-quota"),
        429,
        "rate_limit_error",
        "rate_limited",
        None,
    ),
    (
        ("says anthropic-rate-limit", "says openai-rate-limit", "says gemini-exhausted"),
        429,
        "rate_limit_error",
        "rate_limited",
        None,
    ),
    (
        ("silence", "silence after=preamble", "silence after=headers"),
        504,
        "timeout_error",
        "timeout",
        None,
    ),
    (
        ("says anthropic-overloaded", "says openai-overloaded", "says gemini-overloaded"),
        502,
        "api_error",
        "all_backends_failed",
        None,
    ),
    (
        ("error anthropic-overloaded after=preamble", "error after=preamble", "error gemini-server after=0"),
        502,
        "api_error",
        "all_backends_failed",
        None,
    ),
    (
        ("says anthropic-key", "says openai-key", "says gemini-key"),
        502,
        "api_error",
        "all_backends_failed",
        None,
    ),
    (
        ("429 retry-after=60", "503 retry-after=40", "503 retry-after=50"),
        502,
        "api_error",
        "all_backends_failed",
        (35, 40),
    ),
    (
        ("status 500", "says unknown-parameter", "says gemini-context"),
        502,
        "api_error",
        "all_backends_failed",
        None,
    ),
]


@pytest.mark.parametrize(("scripts", "status", "type_", "code", "retry_after"), DOWN)
async def test_f61_f72_when_all_fail_the_status_follows_from_all_the_reasons_and_each_is_named(
    scripts: tuple[str, str, str], status: int, type_: str, code: str, retry_after: tuple[int, int] | None
) -> None:
    runs_out = "timeout" if any("silence" in script for script in scripts) else ""
    async with mixed_pool(*scripts, runs_out=runs_out, wait_for_capacity_ms=1) as house:
        heard = await answered_in(6, hear(house, CLIENT))
        assert isinstance(heard.error, anthropic.APIStatusError)
        assert (heard.error.status_code, heard.reply.is_stream) == (status, False)
        error = heard.reply.error
        assert error is not None
        assert heard.reply.value["type"] == "error"
        assert (error["type"], error["code"]) == (type_, code)
        causes = [(cause["backend"], cause["kind"]) for cause in error["causes"]]
        assert {name for name, _ in causes} == set(NAMES)
        assert all(name in error["message"] for name in NAMES)
        await check_told(house, heard, causes)
        _check_retry_after(heard.reply.headers, retry_after)


def _check_retry_after(headers: Mapping[str, str], bounds: tuple[int, int] | None) -> None:
    told = headers.get("retry-after")
    assert (told is None) is (bounds is None)
    if told is not None and bounds is not None:
        assert bounds[0] <= int(told) <= bounds[1]


async def test_f61_when_all_are_benched_nobody_is_asked() -> None:
    async with mixed_pool(
        "429 retry-after=60", "429 retry-after=30", "429 retry-after=40", wait_for_capacity_ms=1
    ) as house:
        await hear(house, CLIENT)
        heard = await hear(house, CLIENT)
        assert isinstance(heard.error, anthropic.RateLimitError)
        assert heard.reply.headers["x-understudy-attempts"] == "0"
        assert await house.skips(heard.reply) == [(name, "benched") for name in NAMES]
        _check_retry_after(heard.reply.headers, (25, 30))


@STREAM_AND_UNARY
async def test_f61_the_deadline_is_504(streamed: bool) -> None:
    async with mixed_pool("silence", request_timeout_ms=300) as house:
        heard = await hear(house, CLIENT, stream=streamed)
        assert isinstance(heard.error, anthropic.APIStatusError)
        assert heard.error.status_code == 504
        assert heard.reply.error is not None
        assert heard.reply.error["code"] == "deadline_exceeded"
        assert (await house.stats())["failures"] == 0, "its own time had not passed: not to blame"


@pytest.mark.parametrize("fault", ["cut after=20", "error after=20"])
async def test_f62_a_fallback_of_another_format_that_breaks_off_is_one_error(fault: str) -> None:
    kind = "truncated" if "cut" in fault else "server_error"
    async with mixed_pool("error anthropic-overloaded after=preamble", fault) as house:
        heard = await hear(house, CLIENT)
        await check_broken_off(house, heard, [*[("lead", "server_error")] * 2, ("second", kind)])
