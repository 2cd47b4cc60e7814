"""How a timeline is played, on a connection that only notes what it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from itertools import repeat
from typing import cast

import pytest

from understudy.faults import player as player_module
from understudy.faults.act import FINISH, HEAD, Act, Cut, End, Part, Pause, Reset
from understudy.faults.connection import Connection
from understudy.faults.log import Request
from understudy.faults.plan import Plan, Reply
from understudy.faults.player import PARTS_PER_TURN, READING_TIME, Player

PLAIN = Plan()


class Notes:
    """Stands where the connection does; its waits take no time but can be made to."""

    def __init__(self) -> None:
        self.notes: list[str | float | None] = []

    async def write(self, data: bytes) -> None:
        self.notes.append(data.decode())

    async def wait(self, seconds: float | None) -> None:
        self.notes.append(seconds)

    async def cut(self) -> None:
        self.notes.append("cut")

    async def reset(self) -> None:
        self.notes.append("reset")


class FakeTime:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(player_module, "time", fake)
    return fake


def record() -> Request:
    return Request(1, 0.0, 1, False, "POST", "/", {}, None)


async def played(acts: Iterable[Act], plan: Plan = PLAIN, scale: float = 1.0) -> tuple[Notes, Request]:
    notes, request = Notes(), record()
    player = Player(cast(Connection, notes), request, plan, scale)
    await player.play(iter(acts))
    return notes, request


async def test_parts_are_written_and_the_end_is_nothing_more() -> None:
    notes, request = await played([Part(b"a", HEAD), Part(b"b", 7), Part(b"c", FINISH), End()])
    assert notes.notes == ["a", "b", "c"]
    assert (request.status, request.tokens) == (200, 7)


async def test_of_a_reply_the_status_is_recorded_and_no_tokens() -> None:
    _, request = await played([Part(b"a", HEAD), Part(b"b", 1)], Plan(reply=Reply.of(503, b"b")))
    assert (request.status, request.tokens) == (503, 0)


async def test_a_status_that_was_never_sent_is_not_recorded() -> None:
    _, request = await played([Pause(1.0, 0), Reset()], Plan(reply=Reply.of(503, b"")))
    assert request.status is None


async def test_durations_are_multiplied_by_the_time_scale(clock: FakeTime) -> None:
    notes, _ = await played([Pause(60.0, 0)], scale=0.5)
    assert notes.notes == [30.0]


async def test_a_pause_without_end_is_a_wait_for_the_client() -> None:
    notes, _ = await played([Pause(None, 0)])
    assert notes.notes == [None]


async def test_a_late_wake_up_is_not_added_to_the_next_pause(clock: FakeTime) -> None:
    notes = Notes()
    player = Player(cast(Connection, notes), record(), Plan(), 1.0)
    for late in (0.2, 0.0):
        await player.play(iter([Pause(1.0, 0)]))
        clock.now += 1.0 + late
    assert notes.notes == [1.0, pytest.approx(0.8)]


async def test_a_pause_that_a_slow_client_used_up_is_not_made_up_for(clock: FakeTime) -> None:
    notes = Notes()
    player = Player(cast(Connection, notes), record(), Plan(), 1.0)
    await player.play(iter([Pause(1.0, 0)]))
    clock.now += 50.0
    await player.play(iter([Pause(1.0, 0), Pause(1.0, 0)]))
    assert notes.notes == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(("act", "name"), [(Cut(), "cut"), (Reset(), "reset")])
async def test_what_was_sent_can_be_read_before_the_connection_breaks(
    clock: FakeTime, act: Act, name: str
) -> None:
    notes, _ = await played([Part(b"a", 1), act])
    assert notes.notes == ["a", pytest.approx(READING_TIME), name]
    notes, _ = await played([act])
    assert notes.notes == [name]


async def test_the_event_loop_gets_its_turns() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    await played(repeat(Part(b"x", 1), PARTS_PER_TURN * 10))
    task.cancel()
    assert turns >= 10


async def test_time_is_real_by_default() -> None:
    began = time.monotonic()
    notes, _ = await played([Pause(0.5, 0)])
    assert notes.notes == [pytest.approx(0.5, abs=time.monotonic() - began + 1e-6)]
