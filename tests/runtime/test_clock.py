"""Facts about the two clocks."""

from __future__ import annotations

import asyncio

import pytest

from understudy.runtime.clock import ManualClock, SystemClock, sleep


async def test_the_system_clock_is_monotonic_and_calls_back_on_the_loop() -> None:
    clock = SystemClock()
    before = clock.now()
    called = asyncio.Event()
    clock.call_at(before - 1, called.set)
    await called.wait()
    assert clock.now() >= before
    assert clock.wall() > 1_700_000_000


async def test_a_cancelled_callback_is_not_called() -> None:
    clock = ManualClock()
    called: list[str] = []
    clock.call_at(clock.now() + 1, lambda: called.append("kept"))
    clock.call_at(clock.now() + 1, lambda: called.append("taken back")).cancel()
    assert repr(clock) == "<ManualClock at 1000.0, 1 timers>"
    await clock.advance(1)
    assert called == ["kept"]
    assert clock.timers == 0


async def test_advancing_stops_at_every_timer_in_order() -> None:
    clock = ManualClock(start=0, wall_start=500)
    seen: list[float] = []
    for when in (3, 1, 2):
        clock.call_at(when, lambda: seen.append(clock.now()))
    await clock.advance(2.5)
    assert seen == [1, 2]
    assert (clock.now(), clock.wall()) == (2.5, 502.5)


async def test_a_timer_set_by_a_timer_rings_in_the_same_advance() -> None:
    clock = ManualClock(start=0)
    seen: list[float] = []

    def again() -> None:
        clock.call_at(2, lambda: seen.append(clock.now()))

    clock.call_at(1, again)
    await clock.advance(5)
    assert seen == [2]


async def test_a_late_timer_rings_at_once_and_time_does_not_go_back() -> None:
    clock = ManualClock(start=10)
    seen: list[float] = []
    clock.call_at(3, lambda: seen.append(clock.now()))
    await clock.advance()
    assert seen == [10]


async def test_sleep_ends_when_the_clock_has_moved_so_far() -> None:
    clock = ManualClock()
    task = asyncio.create_task(sleep(clock, 2))
    await clock.advance(1.9)
    assert not task.done()
    await clock.advance(0.1)
    assert task.done()


async def test_a_cancelled_sleep_leaves_no_timer() -> None:
    clock = ManualClock()
    task = asyncio.create_task(sleep(clock, 2))
    await clock.advance()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock.timers == 0


async def test_a_timer_that_rings_in_the_turn_of_the_cancellation_does_no_harm() -> None:
    task = asyncio.create_task(sleep(SystemClock(), 0))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
