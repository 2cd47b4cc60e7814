"""Facts about limits: what passes them, what outranks them, what they leave behind."""

from __future__ import annotations

import asyncio

import pytest

from understudy.runtime.clock import ManualClock
from understudy.runtime.watchdog import Closed, LimitPassed, Watchdog


def never() -> asyncio.Future[str]:
    return asyncio.get_running_loop().create_future()


async def test_what_comes_in_time_is_returned() -> None:
    clock = ManualClock()
    watchdog = Watchdog(clock)
    future = never()
    task = asyncio.create_task(watchdog.guard(future, clock.now() + 5))
    await clock.advance(4.9)
    assert repr(watchdog) == "<Watchdog waiting, limit 1005.0>"
    future.set_result("in time")
    assert await task == "in time"
    assert repr(watchdog) == "<Watchdog idle, limit 1005.0>"


async def test_the_limit_ends_the_wait_and_cancels_what_was_waited_for() -> None:
    clock = ManualClock()
    future = never()
    task = asyncio.create_task(Watchdog(clock).guard(future, clock.now() + 5))
    await clock.advance(5)
    with pytest.raises(LimitPassed):
        await task
    assert future.cancelled()


async def test_an_error_of_what_is_waited_for_passes_through() -> None:
    clock = ManualClock()
    future = never()
    task = asyncio.create_task(Watchdog(clock).guard(future, clock.now() + 5))
    await clock.advance(1)
    future.set_exception(KeyError("mine"))
    with pytest.raises(KeyError, match="mine"):
        await task


async def test_while_nobody_waits_nothing_can_time_out() -> None:
    clock = ManualClock()
    watchdog = Watchdog(clock)

    async def two_waits_with_a_long_pause() -> str:
        first, second = never(), never()
        first.set_result("")
        await watchdog.guard(first, clock.now() + 1)
        pause = never()
        clock.call_at(clock.now() + 100, lambda: pause.set_result("slow caller"))
        await pause
        second.set_result("fine")
        return await watchdog.guard(second, clock.now() + 1)

    task = asyncio.create_task(two_waits_with_a_long_pause())
    await clock.advance(200)
    assert await task == "fine"


async def test_the_timer_moves_with_a_later_limit_instead_of_ringing_early() -> None:
    clock = ManualClock()
    watchdog = Watchdog(clock)
    early = never()
    early.set_result("")
    await watchdog.guard(early, clock.now() + 1)
    assert clock.timers == 1
    task = asyncio.create_task(watchdog.guard(never(), clock.now() + 10))
    await clock.advance(9.9)
    assert not task.done()
    await clock.advance(0.1)
    with pytest.raises(LimitPassed):
        await task


async def test_an_earlier_limit_moves_the_timer_forward() -> None:
    clock = ManualClock()
    watchdog = Watchdog(clock)
    late = never()
    late.set_result("")
    await watchdog.guard(late, clock.now() + 100)
    task = asyncio.create_task(watchdog.guard(never(), clock.now() + 1))
    await clock.advance(1)
    with pytest.raises(LimitPassed):
        await task
    assert clock.timers == 0


async def test_a_cancellation_from_outside_passes_through() -> None:
    clock = ManualClock()
    task = asyncio.create_task(Watchdog(clock).guard(never(), clock.now() + 5))
    await clock.advance(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_from_outside_outranks_a_limit_in_the_same_turn() -> None:
    clock = ManualClock()
    watchdog = Watchdog(clock)
    task = asyncio.create_task(watchdog.guard(never(), clock.now() + 5))
    await clock.advance(1)
    watchdog.close()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_limit_leaves_no_cancellation_behind_when_the_wait_swallows_it() -> None:
    clock = ManualClock()

    async def stubborn() -> str:
        try:
            return await never()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            return "stubborn"

    async def guarded() -> tuple[str, int]:
        result = await Watchdog(clock).guard(stubborn(), clock.now() + 5)
        task = asyncio.current_task()
        assert task is not None
        return result, task.cancelling()

    task = asyncio.create_task(guarded())
    await clock.advance(5)
    assert await task == ("stubborn", 0)


async def test_closing_ends_the_wait_in_progress_and_every_later_one() -> None:
    clock = ManualClock()
    watchdog = Watchdog(clock)
    task = asyncio.create_task(watchdog.guard(never(), clock.now() + 5))
    await clock.advance(1)
    assert watchdog.close() is True
    assert watchdog.close() is True, "closing twice asks once"
    with pytest.raises(Closed):
        await task
    assert watchdog.close() is False
    with pytest.raises(Closed):
        await watchdog.guard(never(), clock.now() + 5)
    with pytest.raises(Closed):
        await watchdog.guard(asyncio.sleep(1), clock.now() + 5)


async def test_disposing_leaves_no_timer_behind() -> None:
    clock = ManualClock()
    watchdog = Watchdog(clock)
    done = never()
    done.set_result("")
    await watchdog.guard(done, clock.now() + 5)
    watchdog.dispose()
    watchdog.dispose()
    assert clock.timers == 0


async def test_who_is_asked_for_a_reprieve_says_until_when_is_waited_after_all() -> None:
    clock = ManualClock()
    watchdog = Watchdog(clock)
    asked: list[float] = []

    def reprieve(limit: float) -> float:
        asked.append(limit)
        return 1008.0

    watchdog.reprieve = reprieve
    task = asyncio.create_task(watchdog.guard(never(), clock.now() + 5))
    await clock.advance(7.9)
    assert not task.done()
    await clock.advance(0.1)
    with pytest.raises(LimitPassed):
        await task
    assert asked == [1005.0, 1008.0]


async def test_nobody_is_asked_for_a_reprieve_before_the_limit_has_passed() -> None:
    clock = ManualClock()
    watchdog = Watchdog(clock)
    asked: list[float] = []

    def reprieve(limit: float) -> float:
        asked.append(limit)
        return limit

    watchdog.reprieve = reprieve
    first = never()
    first.set_result("")
    await watchdog.guard(first, clock.now() + 5)
    task = asyncio.create_task(watchdog.guard(never(), clock.now() + 9))
    await clock.advance(8.9)
    assert (asked, task.done()) == ([], False)
    await clock.advance(0.1)
    with pytest.raises(LimitPassed):
        await task
    assert asked == [1009.0]
