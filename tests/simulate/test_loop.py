"""The virtual loop's rules."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from understudy.simulate.loop import FEW, Stuck, VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


def test_time_goes_straight_to_the_next_timer(loop: VirtualLoop) -> None:
    async def a_day() -> float:
        await asyncio.sleep(86_400)
        return loop.time()

    began = time.monotonic()
    assert loop.run_until_complete(a_day()) == 1000.0 + 86_400
    assert time.monotonic() - began < 5


def test_what_is_due_runs_before_time_moves(loop: VirtualLoop) -> None:
    heard: list[tuple[str, float]] = []

    async def play() -> None:
        loop.call_later(1, lambda: heard.append(("timer", loop.time())))
        for _ in range(100):
            await asyncio.sleep(0)
        heard.append(("turns", loop.time()))
        await asyncio.sleep(2)

    loop.run_until_complete(play())
    assert heard == [("turns", 1000.0), ("timer", 1001.0)]


def order(ties: Callable[[], float] | None) -> list[int]:
    loop = VirtualLoop(ties=ties)
    heard: list[int] = []

    async def play() -> None:
        for number in range(20):
            loop.call_at(1001.0, heard.append, number)
        await asyncio.sleep(2)

    loop.run_until_complete(play())
    loop.close()
    return heard


def test_timers_of_one_instant_keep_their_order() -> None:
    assert order(None) == list(range(20))


def test_ties_draw_an_order_that_the_seed_repeats() -> None:
    drawn = order(Random(1).random)
    assert drawn == order(Random(1).random)
    assert drawn != order(Random(2).random)
    assert drawn != sorted(drawn)


def test_a_cancelled_callback_does_not_run(loop: VirtualLoop) -> None:
    heard: list[str] = []

    async def play() -> None:
        soon = loop.call_soon(heard.append, "soon")
        later = loop.call_later(1, heard.append, "later")
        for handle in (soon, later):
            assert not handle.cancelled()
            handle.cancel()
            handle.cancel()
            assert handle.cancelled()
        assert later.when() == 1001.0
        await asyncio.sleep(2)

    loop.run_until_complete(play())
    assert heard == []


def test_timers_that_were_taken_back_do_not_pile_up_and_the_others_ring_in_their_order(
    loop: VirtualLoop,
) -> None:
    heard: list[int] = []

    async def play() -> None:
        timers = [loop.call_later(1 + number % 7, heard.append, number) for number in range(1000)]
        for number, timer in enumerate(timers):
            if number % 10:
                timer.cancel()
                timer.cancel()
        assert len(loop._timers) < 2 * 100 + FEW
        await asyncio.sleep(10)

    loop.run_until_complete(play())
    assert heard == sorted(range(0, 1000, 10), key=lambda number: (number % 7, number))


def test_a_timer_that_has_rung_is_not_taken_back_any_more(loop: VirtualLoop) -> None:
    async def play() -> None:
        rung = [loop.call_later(1, int) for _ in range(200)]
        waiting = loop.call_later(5, int)
        await asyncio.sleep(2)
        for timer in rung:
            timer.cancel()
        assert loop._forgotten == 0
        waiting.cancel()
        assert loop._forgotten == 1
        await asyncio.sleep(9)
        assert loop._forgotten == 0

    loop.run_until_complete(play())


def test_a_timer_in_the_past_does_not_turn_time_back(loop: VirtualLoop) -> None:
    heard: list[float] = []

    async def play() -> None:
        loop.call_at(5.0, lambda: heard.append(loop.time()))
        await asyncio.sleep(1)

    loop.run_until_complete(play())
    assert heard == [1000.0]


def test_waiting_for_nothing_is_an_error(loop: VirtualLoop) -> None:
    async def for_ever() -> None:
        await loop.create_future()

    task = loop.create_task(for_ever())
    with pytest.raises(Stuck, match="nothing is left"):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


def test_a_callback_that_fails_is_told_and_stops_nobody(loop: VirtualLoop) -> None:
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))

    async def play() -> str:
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)
        return "done"

    assert loop.run_until_complete(play()) == "done"
    (context,) = told
    assert isinstance(context["exception"], ZeroDivisionError)


def test_an_interrupt_comes_through(loop: VirtualLoop) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    loop.call_later(1, interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()


def test_asyncios_own_limits_hold_in_virtual_time(loop: VirtualLoop) -> None:
    async def play() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.sleep(60)
        return loop.time()

    assert loop.run_until_complete(play()) == 1030.0


def test_an_abandoned_generator_is_closed(loop: VirtualLoop) -> None:
    closed: list[bool] = []

    async def numbers() -> Any:
        try:
            yield 1
        finally:
            closed.append(True)

    async def play() -> None:
        async for _ in numbers():
            break
        await asyncio.sleep(1)

    loop.run_until_complete(play())
    assert closed == [True]


def test_it_may_run_more_than_once(loop: VirtualLoop) -> None:
    assert [loop.run_until_complete(asyncio.sleep(1, number)) for number in range(3)] == [0, 1, 2]
    assert repr(loop) == "<VirtualLoop at 1003.0, 0 due, 0 timers>"


def test_what_is_due_runs_before_the_loop_stops(loop: VirtualLoop) -> None:
    heard: list[str] = []
    loop.call_soon(loop.stop)
    loop.call_soon(heard.append, "due")
    loop.run_forever()
    assert heard == ["due"]
