"""Answers that break off in the middle, and go on without a seam.

The lead breaks off after each of the canonical answer's sixty tokens in turn, sixty callers at once; the
second, or the lead itself, goes on.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.e2e.theatre import Show, Theatre, all_of, theatre
from understudy import Balancer, StandardProfile, StreamInterrupted
from understudy.errors import AttemptEntry
from understudy.faults import TEXT, TOKENS, FaultProvider

POSITIONS = range(1, len(TOKENS) + 1)
BREAKS = {
    "cut": "cut after={0}",
    "end": "end after={0}",
    "reset": "reset after={0}",
    "stall": "stall after={0}",
    "error": "error after={0}",
    "malformed": "malformed after={0} + malformed after={0}",
}
PREFILLED = {"supports": ["tools", "prefill"]}
OWN = {"failover_retry_delay_ms": 1, "circuit_breaker_enabled": False}
WHOLE: dict[str, Any] = {
    "model": "understudy-1",
    "stream_recovery": "same_model",
    "circuit_breaker_enabled": False,
    "timeout_ms": 5000,
    "connect_timeout_ms": 5000,
}


def at_every_position(how: str) -> str:
    return "; ".join(BREAKS[how].format(position) for position in POSITIONS) + "; fine"


def ways(show: Show) -> list[str]:
    return [entry.recovery for entry in show.trail if isinstance(entry, AttemptEntry)]


def is_whole(show: Show) -> bool:
    finishes = [chunk.finish_reason for chunk in show.chunks if chunk.finish_reason]
    names = {chunk.id for chunk in show.chunks if chunk.id}
    return (show.error, show.text, finishes) == (None, TEXT, ["stop"]) and len(names) <= 1


async def sixty(house: Theatre, **fields: Any) -> list[Show]:
    return await all_of(*(house.play(**fields) for _ in POSITIONS))


@pytest.mark.parametrize("speaks", ["openai", "anthropic", "gemini", "openai-responses"])
@pytest.mark.parametrize("how", BREAKS)
async def test_by_replay_from_every_position(how: str, speaks: str) -> None:
    async with theatre(at_every_position(how), speaks=speaks, **WHOLE) as house:
        shows = await sixty(house)
        assert all(map(is_whole, shows))
        assert all(ways(show) == ["", "replay"] for show in shows)
        assert len(house.second.requests) == len(shows)
        for show in shows:
            assert show.usage is not None
            assert show.usage.output_tokens == len(TOKENS)
            assert show.usage.input_tokens == house.lead.requests[0].prompt_size // 4
        assert house.lb.pool.metrics.recovered == len(shows)


@pytest.mark.parametrize("speaks", ["openai", "anthropic", "gemini"])
@pytest.mark.parametrize("how", BREAKS)
async def test_by_continuation_from_every_position(how: str, speaks: str) -> None:
    async with theatre(at_every_position(how), speaks=speaks, second_settings=PREFILLED, **WHOLE) as house:
        shows = await sixty(house)
        assert all(map(is_whole, shows))
        by_way = [ways(show)[1] for show in shows]
        assert by_way.count("continuation") > 50, "all that have more than the overlap"
        for show in shows:
            assert show.usage is not None
            assert abs(show.usage.output_tokens - len(TOKENS)) <= 10, "partly an estimate"
            assert show.usage.input_tokens < 20, "the context has not doubled"


async def test_a_pool_of_one_goes_on_by_itself() -> None:
    script = "; ".join(f"cut after={position}; fine" for position in (1, 20, 60))
    async with FaultProvider(script) as provider:
        alone = StandardProfile("alone", "openai", "m", settings={"base-url": provider.base_url})
        async with Balancer(alone, settings=OWN) as lb:
            for _ in range(3):
                answer = await lb.stream("Hi").answer()
                assert answer.text == TEXT
                assert [entry.to_dict().get("recovery") for entry in answer.trail] == [None, "replay"]


@pytest.mark.parametrize("speaks", ["openai", "anthropic"])
async def test_a_refused_prefill_is_remembered_and_replayed(speaks: str) -> None:
    async with theatre(
        "cut after=40",
        "when prefill says prefill",
        speaks=speaks,
        second_settings=PREFILLED,
        **WHOLE,
    ) as house:
        show = await house.play()
        assert is_whole(show)
        assert ways(show) == ["", "continuation", "replay"]
        assert show.attempts[1] == ("second", "invalid_request")
        show = await house.play()
        assert is_whole(show)
        assert ways(show) == ["", "replay"]


@pytest.mark.parametrize("settings", [{}, PREFILLED], ids=["replay", "continuation"])
async def test_other_words_are_an_explicit_error_and_nothing_wrong_is_shown(settings: dict[str, Any]) -> None:
    script = at_every_position("cut").removesuffix("; fine")
    async with theatre(
        script,
        "text 'Another answer altogether, and a long one'",
        second_settings=settings,
        failover_retry_count=1,
        **WHOLE,
    ) as house:
        shows = await sixty(house)
        for show in shows:
            assert isinstance(show.error, StreamInterrupted)
            assert show.error.message.startswith("lead broke off after its first content")
            assert TEXT.startswith(show.text)
            assert show.text
            assert ("second", "mismatch") in show.attempts


async def test_twice_in_one_answer() -> None:
    async with theatre(
        "cut after=10; fine", "end after=30; fine", failover_retry_delay_ms=1, **WHOLE
    ) as house:
        show = await house.play()
        assert is_whole(show)
        assert [outcome for _, outcome in show.attempts] == ["truncated", "truncated", "success"]
        assert ways(show) == ["", "replay", "replay"]


async def test_every_part_has_its_own_bill() -> None:
    async with theatre("cut after=40", **WHOLE) as house:
        show = await house.play()
        assert is_whole(show)
        lead, second = house.stats("lead"), house.stats("second")
        assert lead.output_tokens > 20
        assert second.output_tokens == len(TOKENS)
        assert lead.input_tokens > 0
        assert second.input_tokens > 0


class TestToolCalls:
    SCRIPT = "tools 1 with-text + cut after=63"

    async def test_once_one_has_begun_to_go_out_the_error_is_explicit(self) -> None:
        async with theatre(self.SCRIPT, "tools 1 with-text", **WHOLE) as house:
            show = await house.play()
            assert isinstance(show.error, StreamInterrupted)
            assert house.second.requests == []

    async def test_held_back_it_is_retried_whole(self) -> None:
        async with theatre(self.SCRIPT, "tools 1 with-text", hold_tool_calls=True, **WHOLE) as house:
            show = await house.play()
            assert show.error is None
            assert show.text == TEXT
            assert ways(show) == ["", "replay"]
            arguments = "".join(call.arguments for chunk in show.chunks for call in chunk.tool_calls)
            assert arguments == '{"city": "東京 🎭", "units": "metric"}'
            assert show.finish_reason == "tool_calls"

    async def test_without_text_before_it_it_begins_anew(self) -> None:
        async with theatre("tools 1 + cut after=3", "tools 1", hold_tool_calls=True, **WHOLE) as house:
            show = await house.play()
            assert show.error is None
            assert show.attempts[-1] == ("second", "success")
            assert set(ways(show)) == {""}
            assert show.preambles == 1


async def test_what_is_held_back_begins_anew_with_another_model() -> None:
    async with theatre("cut after=40", stream_hold_ms=2000, circuit_breaker_enabled=False) as house:
        show = await house.play()
        assert is_whole(show)
        assert show.attempts == [("lead", "truncated"), ("lead", "truncated"), ("second", "success")]
        assert set(ways(show)) == {""}


async def test_after_the_hold_it_goes_out() -> None:
    async with theatre(
        "stall 600ms after=10", stream_hold_ms=100, **{**WHOLE, "stall_timeout_ms": 3000}
    ) as house:
        stream = house.lb.stream("Hi")
        began = asyncio.get_running_loop().time()
        await anext(stream)
        assert 0.09 < asyncio.get_running_loop().time() - began < 0.4
        await stream.aclose()


async def test_nobody_goes_on_in_time() -> None:
    async with theatre("cut after=20", "silence", recovery_timeout_ms=200, **WHOLE) as house:
        began = asyncio.get_running_loop().time()
        show = await house.play()
        assert isinstance(show.error, StreamInterrupted)
        assert show.attempts == [("lead", "truncated"), ("second", "cancelled")]
        assert asyncio.get_running_loop().time() - began < 1


async def test_whoever_leaves_meanwhile_ends_the_attempt() -> None:
    async with theatre("cut after=20", "silence", **WHOLE) as house:
        stream = house.lb.stream("Hi")
        while stream.text != "".join(TOKENS[:20]):
            await anext(stream)
        reading = asyncio.ensure_future(anext(stream))
        (request,) = await house.second.wait_for_requests(1)
        reading.cancel()
        await asyncio.wait({reading})
        await stream.aclose()
        await house.second.wait_closed(request, timeout=2)


async def test_a_single_backend_goes_on_after_its_own_circuit_has_opened() -> None:
    """Three breaks open it. Its early probe is a sixth of 600 ms later, and goes on with the answer."""
    circuit = {"circuit_breaker_enabled": True, "circuit_breaker_recovery_timeout_ms": 600}
    async with FaultProvider("3x cut after=20; fine") as provider:
        alone = StandardProfile("lead", "openai", "m", settings={"base-url": provider.base_url})
        settings = {**OWN, **circuit, "failover_retry_count": 4}
        async with Balancer(alone, settings=settings) as lb:
            assert (await lb.stream("Hi").answer()).text == TEXT
        third, fourth = provider.requests[2:]
        assert fourth.arrived - third.arrived >= 0.1
        stats = lb.stats()
        assert (stats.backends[0].circuit_breaker.state, stats.recovered) == ("closed", 1)
