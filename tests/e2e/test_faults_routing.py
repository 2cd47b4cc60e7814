"""How load moves between real backends when one of them changes: F31, F57, F58, F60, and ceilings.

The same laws as in ``tests/core/test_routing.py``, on sockets and by the wall clock.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.e2e.theatre import Theatre, all_of, theatre
from understudy.faults import TEXT, FaultProvider

SPENT = "header x-ratelimit-remaining-requests=0 x-ratelimit-reset-requests=1s; fine"
SPENT_TOO = (
    "header anthropic-ratelimit-requests-remaining=0 anthropic-ratelimit-requests-reset=rfc3339:+2s; fine"
)


async def backends(house: Theatre, count: int, **fields: Any) -> list[str | None]:
    """Who answers so many requests, one after the other."""
    shows = [await house.play(**fields) for _ in range(count)]
    assert all(show.text == TEXT for show in shows)
    return [show.backend for show in shows]


def refused(provider: FaultProvider, since: int = 0) -> int:
    return sum(request.status != 200 for request in provider.requests[since:])


# F31


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
async def test_f31_a_used_up_limit_orders_its_backend_last_until_the_reset(streamed: bool) -> None:
    async with theatre(SPENT) as house:
        shows = [await house.play(stream=streamed) for _ in range(2)]
        assert [show.backend for show in shows] == ["lead", "second"]
        assert shows[1].skips == [("lead", "provider_limit")]
        assert house.stats().bench_remaining_ms == 0
        await asyncio.sleep(1.05)
        assert (await house.play(stream=streamed)).backend == "lead"


async def test_f31_in_anthropics_words_too() -> None:
    async with theatre(SPENT_TOO) as house:
        assert await backends(house, 2) == ["lead", "second"]
        assert 0 < house.stats().exhausted_ms <= 2000


async def test_f31_it_never_empties_the_pool() -> None:
    async with theatre(SPENT, "status 401") as house:
        assert await backends(house, 2) == ["lead", "lead"]


# F57


async def test_f57_a_backend_that_slows_down_is_left_before_it_times_out() -> None:
    slower = "; ".join(f"delay {20 * 1.25**step:.0f}ms" for step in range(40))
    async with theatre(slower, "delay 60ms", policy="fastest", timeout_ms=20000) as house:
        answered = await backends(house, 30)
        assert answered[:3].count("lead") >= 1
        assert answered[-10:].count("lead") <= 2
        assert house.stats().failures == 0


# F58


async def outage_and_weak_return(house: Theatre, seconds: float) -> None:
    """Eight callers, one request after the other each."""
    ends = time.monotonic() + seconds

    async def caller() -> None:
        while time.monotonic() < ends:
            show = await house.play()
            assert show.text == TEXT

    await asyncio.gather(*(caller() for _ in range(8)))


async def test_f58_a_backend_that_comes_back_weak_is_eased_in_and_does_not_collapse_again() -> None:
    async with theatre(
        "down 0.4s; capacity 2 pace 300/s",
        "pace 300/s",
        circuit_breaker_recovery_timeout_ms=300,
        slow_start_ms=20000,
        timeout_ms=5000,
    ) as house:
        await outage_and_weak_return(house, 1.0)
        back = len(house.lead.requests)
        assert house.stats().circuit_breaker.state == "closed"
        assert house.stats().slow_start is not None
        await outage_and_weak_return(house, 2.0)
        assert house.stats().circuit_breaker.state == "closed"
        served = len(house.lead.requests) - back
        assert served >= 8, "it has a share"
        assert refused(house.lead, back) <= served / 2, "and is rarely asked for more than it can"


# F60


async def test_f60_a_quick_429_does_not_attract_traffic() -> None:
    async with theatre(
        "status 429", "delay 150ms", policy="fastest", failover_retry_count=1, circuit_breaker_enabled=False
    ) as house:
        assert set(await backends(house, 30)) == {"second"}
        assert len(house.lead.requests) <= 6


# Ceilings


async def test_no_more_than_max_concurrency_are_ever_asked_at_once() -> None:
    async with theatre(
        "capacity 2 pace 300/s", "capacity 3 pace 300/s",
        lead_settings={"max_concurrency": 2}, second_settings={"max_concurrency": 3},
        timeout_ms=5000,
    ) as house:  # fmt: skip
        shows = await all_of(*(house.play() for _ in range(20)))
        assert all(show.text == TEXT for show in shows)
        assert (refused(house.lead), refused(house.second)) == (0, 0)
        assert all(show.attempts[0][1] == "success" for show in shows)
        assert house.lb.stats().waiting == 0


async def test_more_than_the_queue_holds_are_turned_away_at_once() -> None:
    async with theatre(
        "pace 100/s", "pace 100/s", max_concurrency=1, queue_limit=2, timeout_ms=5000
    ) as house:
        began = time.monotonic()
        tasks = [asyncio.create_task(house.play()) for _ in range(6)]
        turned_away = [await tasks[4], await tasks[5]]
        assert time.monotonic() - began < 0.3
        for show in turned_away:
            assert set(show.skips) == {("lead", "concurrency"), ("second", "concurrency")}
            assert show.error is not None
            assert show.error.retryable
        assert [(await task).text for task in tasks[:4]] == [TEXT] * 4


async def test_a_minutes_requests_and_tokens_are_held() -> None:
    async with theatre(lead_settings={"rpm_limit": 2}, second_settings={"tpm_limit": 250}) as house:
        assert await backends(house, 2) == ["lead", "lead"]
        shows = [await house.play(max_tokens=100) for _ in range(4)]
        answered = [show.backend for show in shows if show.error is None]
        assert answered == ["second", "second"], "each uses some 70 of the 110 tokens that it reserves"
        assert shows[-1].error is not None
        assert shows[-1].error.retry_after is not None
        assert 55 < shows[-1].error.retry_after <= 61


async def test_an_outage_does_not_trample_the_second() -> None:
    async with theatre("status 503", failover_in_rpm=5, failover_retry_count=1) as house:
        shows = [await house.play() for _ in range(8)]
        assert len(house.second.requests) == 5
        assert [show.error is None for show in shows] == [True] * 5 + [False] * 3
        assert shows[-1].error is not None
        assert shows[-1].error.retry_after is not None


# Policies


async def test_a_session_stays_with_its_backend_but_for_an_outage_of_it() -> None:
    async with theatre(
        policy="sticky", failover_retry_count=1, circuit_breaker_recovery_timeout_ms=200
    ) as house:
        homes = {user: (await house.play(user=user)).backend for user in map(str, range(12))}
        assert set(homes.values()) == {"lead", "second"}
        for user, home in homes.items():
            assert await backends(house, 2, user=user) == [home, home]
        house.lead.set_script("status 503")
        for user in homes:
            assert (await house.play(user=user)).backend == "second"
        house.lead.set_script("fine")
        await asyncio.sleep(0.25)
        for user, home in homes.items():
            assert (await house.play(user=user)).backend == home


async def test_weights_share_the_load() -> None:
    async with theatre(policy="weighted", lead_settings={"weight": 3}) as house:
        answered = await backends(house, 12)
        assert (answered.count("lead"), answered.count("second")) == (9, 3)


async def test_the_cheapest_is_asked_first() -> None:
    cheap, dear = {"input": 1, "output": 2}, {"input": 3, "output": 15}
    async with theatre(
        policy="cheapest", lead_settings={"price": dear}, second_settings={"price": cheap}
    ) as house:
        assert set(await backends(house, 3)) == {"second"}


async def test_after_a_failover_the_pool_stays_until_its_time_to_go_back() -> None:
    async with theatre(
        "status 503; fine", policy="failover_sticky", failover_retry_count=1, failback_after_ms=600
    ) as house:
        assert await backends(house, 3) == ["second"] * 3
        await asyncio.sleep(0.65)
        assert await backends(house, 2) == ["lead"] * 2


async def test_the_least_busy_is_asked_first() -> None:
    async with theatre("pace 60/s", "fine", policy="least_busy", timeout_ms=5000) as house:
        slow = asyncio.create_task(house.play())
        await asyncio.sleep(0.1)
        other = "second" if house.lead.requests else "lead"
        assert set(await backends(house, 3)) == {other}
        assert (await slow).text == TEXT


# The adaptive clock


async def test_a_silent_backend_is_left_in_a_second_once_its_pace_is_known() -> None:
    async with theatre(timeout_mode="adaptive", timeout_ms=20000) as house:
        await backends(house, 20)
        house.lead.set_script("silence")
        began = time.monotonic()
        show = await house.play()
        assert (show.text, show.attempts) == (TEXT, [("lead", "timeout"), ("second", "success")])
        assert 0.9 < time.monotonic() - began < 3
        assert show.trail[0].to_dict()["patience_ms"] == pytest.approx(1000, rel=0.2)
