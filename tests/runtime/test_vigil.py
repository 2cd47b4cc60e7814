"""Waiting in pieces."""

from __future__ import annotations

import asyncio

import pytest

from understudy.runtime.clock import ManualClock, sleep
from understudy.runtime.vigil import NotYet, Vigil


class Slow:
    """Takes ten seconds of the clock's time; counts how often it was begun."""

    def __init__(self, error: Exception | None = None) -> None:
        self.clock = ManualClock()
        self.begun = 0
        self.cancelled = 0
        self.error = error

    async def __call__(self) -> str:
        self.begun += 1
        try:
            await sleep(self.clock, 10)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        return "done"


async def test_a_wait_that_was_cut_short_is_taken_up_where_it_was() -> None:
    slow = Slow()
    vigil: Vigil[str] = Vigil(slow.clock)
    waiting = asyncio.ensure_future(vigil.wait(slow, slow.clock.now() + 4))
    await slow.clock.advance(3.9)
    assert (vigil.is_attended, waiting.done()) == (True, False)
    await slow.clock.advance(0.1)
    with pytest.raises(NotYet):
        await waiting
    assert (vigil.is_attended, vigil.is_idle) == (False, False)
    await slow.clock.advance(6)
    assert await vigil.wait(slow, slow.clock.now() + 4) == "done"
    assert (slow.begun, vigil.is_idle) == (1, True)
    assert slow.clock.timers == 0


async def test_without_an_instant_it_waits_for_as_long_as_it_takes() -> None:
    slow = Slow()
    vigil: Vigil[str] = Vigil(slow.clock)
    waiting = asyncio.ensure_future(vigil.wait(slow, None))
    await slow.clock.advance(10)
    assert await waiting == "done"
    assert repr(vigil) == "<Vigil, idle>"


async def test_what_comes_at_the_very_instant_is_there() -> None:
    slow = Slow()
    vigil: Vigil[str] = Vigil(slow.clock)
    waiting = asyncio.ensure_future(vigil.wait(slow, slow.clock.now() + 10))
    for _ in range(3):
        await asyncio.sleep(0)
    slow.clock._now += 10  # all timers ring in the same turn, and once too often
    for _, _, handle in 2 * slow.clock._timers:
        assert handle.callback is not None
        handle.callback()
    with pytest.raises(NotYet):
        await waiting
    assert await vigil.wait(slow, None) == "done"


async def test_what_is_raised_is_raised_where_it_is_waited_for() -> None:
    slow = Slow(ValueError("no"))
    vigil: Vigil[str] = Vigil(slow.clock)
    waiting = asyncio.ensure_future(vigil.wait(slow, None))
    await slow.clock.advance(10)
    with pytest.raises(ValueError, match="no"):
        await waiting
    assert vigil.is_idle


async def test_leaving_ends_what_is_waited_for() -> None:
    slow = Slow()
    vigil: Vigil[str] = Vigil(slow.clock)
    waiting = asyncio.ensure_future(vigil.wait(slow, slow.clock.now() + 4))
    await slow.clock.advance(1)
    assert repr(vigil) == "<Vigil, waiting>"
    waiting.cancel()
    await slow.clock.advance()
    assert (slow.cancelled, vigil.is_attended) == (0, False)
    vigil.leave()
    vigil.leave()
    await slow.clock.advance()
    assert (slow.cancelled, slow.clock.timers) == (1, 0)
