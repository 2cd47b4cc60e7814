"""The door: so many inside, so many in the queue, and places that change hands."""

from __future__ import annotations

import asyncio

import pytest

from understudy.gateway.admission import Door
from understudy.gateway.http import HttpError


async def queue(door: Door, count: int) -> list[asyncio.Task[None]]:
    """So many who have come to the door one after the other."""
    tasks = []
    for _ in range(count):
        tasks.append(asyncio.ensure_future(door.enter()))
        await asyncio.sleep(0)
    return tasks


async def test_places_are_handed_over_in_the_order_of_coming() -> None:
    door = Door(limit=2, queue=2, patience=60)
    await door.enter()
    await door.enter()
    assert repr(door) == "<Door 2 of 2 inside, 0 waiting>"

    first, second = await queue(door, 2)
    assert repr(door) == "<Door 2 of 2 inside, 2 waiting>"

    door.leave()
    await first
    assert (door.inside, door.waiting, second.done()) == (2, 1, False)

    door.leave()
    await second
    assert (door.inside, door.waiting) == (2, 0)

    door.leave()
    door.leave()
    assert (door.inside, door.waiting) == (0, 0)


async def test_who_comes_beyond_the_queue_is_turned_away_at_once() -> None:
    door = Door(limit=1, queue=1, patience=60)
    await door.enter()
    (waiting,) = await queue(door, 1)

    with pytest.raises(HttpError, match="busy: 1 requests run and 1 wait already") as caught:
        await door.enter()
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (
        503,
        "too_many_requests",
        1.0,
    )
    assert (door.inside, door.waiting) == (1, 1)

    door.leave()
    await waiting


async def test_without_a_queue_nobody_waits() -> None:
    door = Door(limit=1, queue=0, patience=60)
    await door.enter()

    with pytest.raises(HttpError, match="0 wait already"):
        await door.enter()


async def test_nobody_overtakes_the_queue() -> None:
    door = Door(limit=1, queue=2, patience=60)
    await door.enter()
    (waiting,) = await queue(door, 1)
    door.leave()  # The place is promised to the first who waits.
    (late,) = await queue(door, 1)

    await waiting
    assert not late.done()

    door.leave()
    await late


async def test_nor_where_the_limit_was_raised() -> None:
    door = Door(limit=1, queue=2, patience=60)
    await door.enter()
    (waiting,) = await queue(door, 1)
    door.limit = 2
    (late,) = await queue(door, 1)

    assert not late.done()
    for task in (waiting, late):
        door.leave()
        await task


async def test_who_waits_may_leave_the_queue() -> None:
    door = Door(limit=1, queue=2, patience=60)
    await door.enter()
    first, second = await queue(door, 2)

    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert door.waiting == 1

    door.leave()
    await second
    assert (door.inside, door.waiting) == (1, 0)


async def test_who_leaves_as_the_place_is_given_hands_it_on() -> None:
    door = Door(limit=1, queue=2, patience=60)
    await door.enter()
    first, second = await queue(door, 2)

    door.leave()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    door.leave()
    assert (door.inside, door.waiting) == (0, 0)


async def test_a_place_is_not_given_to_who_has_just_left() -> None:
    door = Door(limit=1, queue=2, patience=60)
    await door.enter()
    first, second = await queue(door, 2)

    first.cancel()
    door.leave()  # The first has not yet heard of its own leaving.
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    door.leave()
    assert (door.inside, door.waiting) == (0, 0)


async def test_nobody_waits_longer_than_the_patience() -> None:
    door = Door(limit=1, queue=1, patience=0)
    await door.enter()

    with pytest.raises(HttpError, match="no place became free within 0 s") as caught:
        await door.enter()
    assert (caught.value.status, caught.value.retry_after) == (503, 1.0)
    assert (door.inside, door.waiting) == (1, 0)

    door.leave()
    await door.enter()
