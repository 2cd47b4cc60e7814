"""The loop's time as the runtime reads it."""

from __future__ import annotations

import asyncio

from understudy.runtime.clock import sleep
from understudy.simulate.clock import WALL_START, VirtualClock, true_wall
from understudy.simulate.loop import VirtualLoop


def test_both_clocks_go_with_the_loop() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    assert (clock.now(), clock.wall()) == (1000.0, WALL_START)
    loop.run_until_complete(sleep(clock, 90.0))
    assert (clock.now(), clock.wall()) == (1090.0, WALL_START + 90)
    assert repr(clock) == "<VirtualClock at 1090.0>"
    loop.close()


def test_the_wall_clock_can_be_set_and_nothing_else_moves() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    clock.set_wall(WALL_START - 7200)
    loop.run_until_complete(asyncio.sleep(60))
    assert clock.wall() == WALL_START - 7140
    assert clock.now() == 1060.0
    loop.close()


def test_the_true_wall_is_never_set() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    clock.set_wall(0.0)
    assert true_wall(clock.now()) == WALL_START
    assert true_wall(clock.now() + 5) == WALL_START + 5
    loop.close()


def test_a_scenario_begins_at_midnight() -> None:
    assert WALL_START % 86_400 == 0
