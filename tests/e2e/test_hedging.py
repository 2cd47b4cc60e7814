"""A second backend besides a late one, over real sockets."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.e2e.theatre import left_within_a_second, theatre
from understudy.errors import AttemptEntry
from understudy.faults import TEXT

HEDGED: dict[str, Any] = {"hedge": 50, "timeout_ms": 5000}


async def test_the_first_to_speak_answers_and_the_other_is_left_at_once() -> None:
    async with theatre("delay 3s", **HEDGED) as house:
        began = time.monotonic()
        show = await house.play()
        assert (show.error, show.text, show.backend, show.preambles) == (None, TEXT, "second", 1)
        assert time.monotonic() - began < 1
        await left_within_a_second(house.lead, house.lead.requests[0], began)
        assert show.attempts == [("lead", "cancelled"), ("second", "success")]
        (lost, _) = [entry for entry in show.trail if isinstance(entry, AttemptEntry)]
        assert lost.message == "another backend was faster"
        lead = house.stats("lead")
        assert (lead.cancelled, lead.failures, lead.circuit_breaker.failures) == (1, 0, 0)
        assert lead.input_tokens > 0, "its prompt has been paid for"
        assert house.lb.pool.metrics.hedged == 1


async def test_the_late_one_may_still_be_the_first() -> None:
    async with theatre("delay 150ms", "delay 3s", **HEDGED) as house:
        show = await house.play()
        assert (show.text, show.backend) == (TEXT, "lead")
        assert show.attempts == [("lead", "success"), ("second", "cancelled")]
        await left_within_a_second(house.second, house.second.requests[0], time.monotonic())


async def test_whoever_speaks_in_time_is_alone() -> None:
    async with theatre(**{**HEDGED, "hedge": 2000}) as house:
        show = await house.play()
        assert show.backend == "lead"
        assert house.second.requests == []


async def test_one_that_fails_drops_out_and_the_other_goes_on() -> None:
    async with theatre("delay 200ms + cut after=headers", "delay 400ms", **HEDGED) as house:
        show = await house.play()
        assert (show.error, show.text, show.backend) == (None, TEXT, "second")
        assert [outcome for _, outcome in show.attempts] == ["reset", "success"]


async def test_if_both_fail_the_walk_goes_on() -> None:
    async with theatre(
        "delay 100ms + cut after=headers; fine", "delay 100ms + cut after=headers", **HEDGED
    ) as house:
        show = await house.play()
        assert (show.error, show.text) == (None, TEXT)
        assert len(show.attempts) >= 3


@pytest.mark.parametrize("stream", [True, False])
async def test_a_user_never_pays_for_a_probe(stream: bool) -> None:
    async with theatre(
        "3x 500; delay 3s",
        circuit_breaker_recovery_timeout_ms=100,
        failover_retry_count=1,
        **{**HEDGED, "hedge": 4000},
    ) as house:
        for _ in range(3):
            assert (await house.play()).backend == "second"
        await asyncio.sleep(0.15)
        began = time.monotonic()
        show = await house.play(stream=stream)
        assert time.monotonic() - began < 1
        assert show.attempts == [("lead", "cancelled"), ("second", "success")]
        assert (show.error, show.text) == (None, TEXT)
        assert house.stats().circuit_breaker.state == "half-open"
        house.lead.set_script("fine")
        house.second.set_script("delay 3s")
        show = await house.play(stream=stream)
        assert (show.text, show.backend) == (TEXT, "lead")
        assert house.stats().circuit_breaker.state == "closed"


async def test_a_trial_is_beside_another_one_also_where_nothing_is_streamed() -> None:
    async with theatre("silence", circuit_breaker_recovery_timeout_ms=200, **HEDGED) as house:
        for _ in range(3):
            await house.play()
        await asyncio.sleep(0.3)
        began = time.monotonic()
        show = await house.play(stream=False)
        assert time.monotonic() - began < 1
        assert (show.text, show.attempts) == (TEXT, [("lead", "cancelled"), ("second", "success")])
        house.lead.set_script("fine")
        await asyncio.sleep(0.3)
        assert [(await house.play(stream=False)).backend for _ in range(2)] == ["lead", "lead"]


async def test_a_first_that_says_nothing_is_asked_last_after_three_lost_races() -> None:
    """Nobody else waits for it, though no call has waited long enough to blame it; then one call tries it."""
    async with theatre(
        "silence", circuit_breaker_recovery_timeout_ms=2000, **{**HEDGED, "hedge": 100}
    ) as house:
        for _ in range(3):
            show = await house.play()
            assert show.attempts == [("lead", "cancelled"), ("second", "success")]
        began = time.monotonic()
        shows = [await house.play() for _ in range(5)]
        assert time.monotonic() - began < 1
        assert {show.backend for show in shows} == {"second"}
        assert shows[0].skips == [("lead", "silent")]
        assert (len(house.lead.requests), house.lb.pool.metrics.hedged) == (3, 3)
        assert house.stats().circuit_breaker.state == "closed"
        house.lead.set_script("fine")
        await asyncio.sleep(2.0)
        assert [(await house.play()).backend for _ in range(2)] == ["lead", "lead"]


async def test_a_percentile_of_all_serves_one_that_is_not_known_yet() -> None:
    async with theatre(**{**HEDGED, "hedge": "p95"}, policy="failover") as house:
        for _ in range(20):
            assert (await house.play()).backend == "lead"
        house.lead.set_script("500")
        house.second.set_script("delay 3s; fine")
        for backend in house.lb.pool.members[1:]:
            assert backend.metrics.first_content.count == 0
        house.lb.act("lead", "drain")
        waiting = asyncio.ensure_future(house.play())
        await house.second.wait_for_requests(1)
        house.lead.set_script("fine")
        house.lb.act("lead", "enable")
        show = await waiting
        assert (show.backend, show.attempts) == (
            "lead",
            [("second", "cancelled"), ("lead", "success")],
        ), "else it would have waited for three seconds"


async def test_leaving_ends_both() -> None:
    async with theatre("silence", "silence", **HEDGED) as house:
        reading = asyncio.ensure_future(house.play())
        (lead,) = await house.lead.wait_for_requests(1)
        (second,) = await house.second.wait_for_requests(1)
        reading.cancel()
        await asyncio.wait({reading})
        await left_within_a_second(house.lead, lead, time.monotonic())
        await left_within_a_second(house.second, second, time.monotonic())


async def test_closing_the_balancer_ends_both() -> None:
    async with theatre("silence", "silence", **HEDGED) as house:
        reading = asyncio.ensure_future(house.play())
        await house.second.wait_for_requests(1)
        await house.lb.aclose()
        show = await reading
        assert type(show.error).__name__ == "BalancerClosed"
