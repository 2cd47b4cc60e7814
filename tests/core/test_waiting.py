"""Waiting for capacity: first come, first served, bounded, and only for what can be in time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.core.stage import Asking, Stage, Walk, takes
from understudy.core.events import TurnCame, WaitingForCapacity
from understudy.core.facts import Facts
from understudy.core.settings import Ceilings
from understudy.errors import NoBackendAvailable, SkipEntry, SkipReason


def stage(names: str = "a", concurrency: int = 1, **more: Any) -> Stage:
    limited = {name: {"ceilings": Ceilings(concurrency=concurrency)} for name in names}
    return Stage(names, members=limited, **{"count": 1, **more})


def turns(walk: Walk) -> list[int]:
    """Whose turn it has become by this walk's doing, since last asked."""
    return [event.request for event in walk.dispatch.take_events() if isinstance(event, TurnCame)]


def reasons(walk: Walk) -> list[str]:
    return [str(e.reason) for e in walk.dispatch.trail if isinstance(e, SkipEntry)]


def test_a_freed_place_goes_to_the_first_who_waits() -> None:
    house = stage()
    running, first, second = (house.begin() for _ in range(3))
    running.asks("a")
    first.waits()
    second.waits()
    running.answers()
    assert turns(running) == [first.dispatch.request]
    second.waits()
    newcomer = house.begin()
    newcomer.waits()
    assert reasons(newcomer) == ["queued"]
    first.asks("a")
    assert turns(first) == [second.dispatch.request], "who is next may look whether there is more"
    second.waits()
    first.answers()
    second.asks("a")
    second.answers()
    newcomer.asks("a")


def test_places_that_free_at_once_are_handed_down_the_line() -> None:
    house = stage(concurrency=2)
    running = [house.begin() for _ in range(2)]
    waiting = [house.begin() for _ in range(3)]
    for walk in running:
        walk.asks("a")
    for walk in waiting:
        walk.waits()
    running[0].answers()
    running[1].answers()
    waiting[1].waits()
    waiting[0].asks("a")
    assert turns(waiting[0]) == [waiting[1].dispatch.request]
    waiting[1].asks("a")
    waiting[2].waits()


def test_who_leaves_makes_room_in_the_line() -> None:
    house = stage()
    running, first, second = (house.begin() for _ in range(3))
    running.asks("a")
    first.waits()
    second.waits()
    first.leaves()
    assert turns(first) == [second.dispatch.request]
    running.answers()
    assert turns(running) == [second.dispatch.request]
    second.asks("a")


def test_who_waits_for_one_member_does_not_stand_in_the_way_of_another() -> None:
    house = Stage(
        "ab",
        members={
            "a": {"ceilings": Ceilings(concurrency=1)},
            "b": {"ceilings": Ceilings(concurrency=1), "supports": takes()},
        },
    )
    house.begin().asks("a")
    with_image = house.begin(needs=Asking(takes("images")))
    with_image.waits()
    house.begin().asks("b")


def test_only_the_first_in_line_watches_the_clock() -> None:
    house = Stage("a", members={"a": {"ceilings": Ceilings(requests=1)}}, wait_for_capacity=100)
    walk = house.begin()
    walk.asks("a")
    walk.answers()
    first, second = house.begin(), house.begin()
    assert first.waits().until == house.now + 61
    assert second.waits().until == house.now + 100
    assert second.waits().wakes


def test_a_place_in_flight_is_looked_for_every_second_even_if_nobody_says_it_is_free() -> None:
    house = stage()
    house.begin().asks("a")
    waiting = house.begin()
    for _ in range(5):
        waiting.rests(1.0)


def test_nobody_waits_longer_than_wait_for_capacity() -> None:
    house = stage(wait_for_capacity=3)
    house.begin().asks("a")
    waiting = house.begin()
    for _ in range(3):
        waiting.rests(1.0)
    assert isinstance(waiting.gives_up(), NoBackendAvailable)
    waiting.dispatch.failed(house.now)
    assert len(house.pool.queue) == 0


def test_what_cannot_be_in_time_is_not_waited_for() -> None:
    house = Stage("a", members={"a": {"ceilings": Ceilings(requests=1)}}, wait_for_capacity=60)
    walk = house.begin()
    walk.asks("a")
    walk.answers()
    assert isinstance(house.begin().gives_up(), NoBackendAvailable)


def test_one_more_than_the_queue_holds_fails_at_once() -> None:
    house = stage(routing={"queue_limit": 1})
    running, first, second = (house.begin() for _ in range(3))
    running.asks("a")
    first.waits()
    assert isinstance(second.gives_up(), NoBackendAvailable)
    assert not second.told(WaitingForCapacity)
    first.waits()


def test_who_waits_for_a_bench_is_in_the_same_line() -> None:
    house = Stage("a", count=1)
    house.member("a").bench(house.now, 5.0, 900.0)
    first, second = house.begin(), house.begin()
    assert first.waits().until == house.now + 5
    second.waits()
    house.advance(5)
    second.waits()
    newcomer = house.begin()
    newcomer.waits()
    first.asks("a")
    second.asks("a")
    newcomer.asks("a")


def test_a_settled_probe_is_the_turn_of_the_first() -> None:
    house = Stage("a", count=1)
    house.open("a")
    house.advance(30)
    probe, first, second = (house.begin() for _ in range(3))
    probe.asks("a")
    first.waits()
    second.waits()
    probe.commits()
    assert first.dispatch.request in turns(probe)
    second.waits()
    first.asks("a")


def test_a_place_that_nobody_waits_for_is_announced_to_nobody() -> None:
    house = stage("ab")
    for name, features in {"a": takes(), "b": takes("images")}.items():
        member = house.member(name)
        member.settings = replace(member.settings, facts=Facts(supports=features))
    on_a, on_b = house.begin(), house.begin()
    on_a.asks("a")
    on_b.asks("b")
    house.begin(needs=Asking(takes("images"))).waits()
    on_a.answers()
    assert turns(on_a) == []


def test_each_first_content_of_a_slow_start_makes_room_for_one_more() -> None:
    house = Stage("a", count=1)
    house.open("a")
    house.advance(30)
    probe, second, third = (house.begin() for _ in range(3))
    probe.asks("a")
    probe.commits()
    second.asks("a")
    third.waits()
    second.commits()
    assert turns(second) == [third.dispatch.request]
    third.asks("a")


def test_who_is_turned_away_before_the_first_has_woken_up_hears_that_others_wait() -> None:
    house = stage(routing={"queue_limit": 1})
    running, first, newcomer = (house.begin() for _ in range(3))
    running.asks("a")
    first.waits()
    running.answers()
    error = newcomer.gives_up()
    assert isinstance(error, NoBackendAvailable)
    assert error.skips == (SkipEntry("a", SkipReason.QUEUED, None),)
    assert error.retryable
