"""Waiting for capacity: first come, first served, bounded, and only for what can be in time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.stage import Asking, Stage, Walk, takes
from understudy.core.candidates import Candidates
from understudy.core.demand import UNKNOWN
from understudy.core.events import (
    BreakerHalfOpened,
    ProbeSettled,
    TurnCame,
    WaitingForCapacity,
)
from understudy.core.facts import Facts
from understudy.core.settings import Ceilings
from understudy.core.waiting import Waiting
from understudy.errors import (
    AllBackendsFailed,
    DeadlineExceeded,
    NoBackendAvailable,
    SkipEntry,
    SkipReason,
)


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


class TestEarlyProbe:
    """Rule 2."""

    def all_open(self, names: str = "ab") -> Stage:
        stage = Stage(names)
        for name in names:
            stage.open(name)
        return stage

    def test_an_open_one_is_probed_after_a_sixth_of_its_recovery_time(self) -> None:
        stage = self.all_open()
        stage.advance(4.9)
        assert type(stage.begin().gives_up()) is NoBackendAvailable
        stage.advance(0.1)
        walk = stage.begin()
        attempt = walk.asks("a")
        assert attempt.permit.probe
        assert [event.early for event in walk.told(BreakerHalfOpened)] == [True]

    def test_not_while_another_is_eligible(self) -> None:
        stage = Stage("abc")
        stage.open("a")
        stage.open("b")
        stage.advance(29)
        walk = stage.begin()
        walk.asks("c")
        walk.fails("auth")
        walk.asks("a")

    def test_not_sooner_after_the_pools_last_opening(self) -> None:
        stage = self.all_open("a")
        stage.advance(4)
        other = Stage("ab")
        other.open("a")
        other.advance(4)
        walk = other.begin()
        walk.asks("b")
        for _ in range(2):
            other.begin().asks("b")
        walk.fails("auth")
        assert type(walk.gives_up()) is AllBackendsFailed
        other.open("b")
        other.advance(2)
        assert other.begin().gives_up()
        other.advance(3)
        other.begin().asks("a")

    def test_nor_after_the_last_probe_began(self) -> None:
        stage = self.all_open()
        stage.advance(5)
        stage.begin().asks("a")
        stage.advance(4.9)
        walk = stage.begin()
        walk.waits()
        stage.advance(0.1)
        walk.asks("b")

    def test_an_opening_that_the_walk_itself_sees_keeps_its_distance_too(self) -> None:
        stage = Stage("ab", breaker={"failure_threshold": 1})
        stage.open("a")
        stage.advance(10)
        walk = stage.begin()
        walk.asks("b")
        walk.fails("reset")
        assert type(walk.gives_up()) is AllBackendsFailed

    def test_a_silent_backend_is_probed_in_proportion_to_its_silence(self) -> None:
        """A sixth of the 240 s that a probe of 60 s has earned."""
        stage = self.all_open("a")
        stage.advance(30)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("timeout", after=60)
        stage.advance(39)
        assert stage.begin().gives_up()
        stage.advance(1)
        stage.begin().asks("a")

    def test_a_benched_one_is_not_probed(self) -> None:
        stage = self.all_open()
        stage.advance(5)
        stage.member("a").bench(stage.now, 100.0, 900.0)
        stage.begin().asks("b")

    def test_nor_one_in_its_back_off(self) -> None:
        stage = Stage("a", breaker={"failure_threshold": 1, "recovery_timeout": 1.2})
        walk = stage.begin()
        walk.asks("a")
        walk.fails("reset")
        stage.advance(0.3)
        walk.gives_up()
        stage.advance(0.2)
        walk.asks("a")

    def test_one_that_could_not_be_connected_to_is_probed_last(self) -> None:
        stage = Stage("ab", breaker={"failure_threshold": 1})
        walk = stage.begin()
        walk.asks("a")
        walk.fails("connect")
        walk.asks("b")
        walk.fails("reset")
        stage.advance(5)
        walk.asks("b")


class TestWait:
    """Rule 3."""

    def test_a_bench_that_ends_in_time_is_waited_for(self) -> None:
        stage = Stage("ab")
        stage.member("a").bench(stage.now, 20.0, 900.0)
        stage.member("b").bench(stage.now, 7.0, 900.0)
        walk = stage.begin()
        assert walk.waits().wakes
        walk.rests(7.0)
        walk.asks("b")
        assert [event.until - event.at for event in walk.told(WaitingForCapacity)] == [7.0, 7.0]

    def test_one_that_does_not_is_not(self) -> None:
        stage = Stage("a")
        stage.member("a").bench(stage.now, 20.001, 900.0)
        error = stage.begin().gives_up()
        assert type(error) is NoBackendAvailable
        assert error.retry_after == pytest.approx(20.001)

    def test_nor_one_that_ends_after_the_deadline(self) -> None:
        stage = Stage("a", request_timeout=5.0)
        stage.member("a").bench(stage.now, 6.0, 900.0)
        assert type(stage.begin().gives_up()) is NoBackendAvailable

    def test_a_probe_in_flight_is_waited_for(self) -> None:
        stage = Stage("a")
        stage.open("a")
        stage.advance(30)
        probe = stage.begin()
        probe.asks("a")
        walk = stage.begin()
        walk.rests(20.0)
        assert type(walk.gives_up()) is NoBackendAvailable

    def test_its_settling_lets_the_waiters_look_again(self) -> None:
        stage = Stage("a")
        stage.open("a")
        stage.advance(30)
        probe, walk = stage.begin(), stage.begin()
        probe.asks("a")
        walk.waits()
        stage.advance(3)
        probe.commits()
        assert [event.backend for event in probe.told(ProbeSettled)] == ["a"]
        walk.asks("a")

    def test_its_lease_running_out_is_waited_for(self) -> None:
        stage = Stage("a", breaker={"recovery_timeout": 10.0})
        stage.open("a")
        stage.advance(10)
        stage.begin().asks("a")
        walk = stage.begin()
        walk.rests(10.0)
        walk.asks("a")

    def test_open_circuits_alone_are_not_waited_for(self) -> None:
        stage = Stage("ab", wait_for_capacity=100.0)
        stage.open("a")
        stage.open("b")
        error = stage.begin().gives_up()
        assert str(error).startswith("All backends are currently unhealthy")

    def test_a_bench_on_an_open_circuit_is_no_reason_to_wait(self) -> None:
        stage = Stage("a", wait_for_capacity=100.0)
        stage.open("a")
        stage.member("a").bench(stage.now, 1.0, 900.0)
        stage.begin().gives_up()

    def test_while_waiting_anyway_a_circuit_that_recovers_is_looked_at(self) -> None:
        stage = Stage("abc")
        stage.open("a")
        stage.advance(28)
        stage.open("c")
        stage.member("b").bench(stage.now, 10.0, 900.0)
        walk = stage.begin()
        walk.rests(2.0)
        walk.asks("a")
        assert [event.early for event in walk.told(BreakerHalfOpened)] == [False]

    def test_a_due_early_probe_is_looked_at_while_waiting(self) -> None:
        stage = Stage("ab")
        stage.open("a")
        stage.member("b").bench(stage.now, 10.0, 900.0)
        walk = stage.begin()
        walk.rests(5.0)
        assert walk.asks("a").permit.probe

    def test_a_bench_out_of_reach_does_not_keep_a_probe_from_being_waited_for(self) -> None:
        stage = Stage("ab")
        stage.open("a")
        stage.member("b").bench(stage.now, 500.0, 900.0)
        stage.advance(30)
        stage.begin().asks("a")
        stage.begin().rests(20.0)

    @pytest.mark.parametrize(("seconds", "waits"), [(5.0, True), (5.1, False)])
    def test_the_waits_of_a_request_are_limited_in_all(self, seconds: float, waits: bool) -> None:
        stage = Stage("a")
        stage.member("a").bench(stage.now, 15.0, 900.0)
        walk = stage.begin()
        walk.rests(15.0)
        walk.asks("a")
        walk.fails("rate_limited", retry_after=seconds)
        if waits:
            walk.rests(seconds)
        else:
            assert type(walk.gives_up()) is AllBackendsFailed

    def test_time_in_attempts_and_back_offs_is_not_waiting(self) -> None:
        stage = Stage("a")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("reset", after=100)
        walk.rests(0.5)
        walk.asks("a")
        stage.set(count=4)
        walk.fails("rate_limited", retry_after=15.0, after=50)
        walk.rests(15.0)
        walk.asks("a")
        walk.fails("rate_limited", retry_after=5.0, after=50)
        walk.rests(5.0)
        walk.asks("a")

    def test_no_waiting_at_all_if_so_configured(self) -> None:
        stage = Stage("a", wait_for_capacity=0.0)
        stage.member("a").bench(stage.now, 0.1, 900.0)
        stage.begin().gives_up()

    def test_a_member_resting_beyond_the_deadline_is_not_worth_a_look(self) -> None:
        """It would be worth one at this very instant, over and over."""
        stage = Stage("ab", "roundrobin", request_timeout=10.0, delay=100.0)
        stage.open("b")
        stage.advance(30)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("reset")
        stage.begin().asks("b")
        walk.rests(10.0)
        assert type(walk.gives_up()) is DeadlineExceeded

    def test_nor_is_a_probe_before_the_end_of_the_back_off(self) -> None:
        stage = Stage("ab", delay=10.0)
        stage.member("b").bench(stage.now, 8.0, 900.0)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("connect")
        stage.open("a")
        walk.rests(8.0)
        walk.asks("b")

    def test_members_that_are_out_for_this_request_are_not_waited_for(self) -> None:
        stage = Stage("ab", problems={"b": SkipReason.NO_KEY})
        walk = stage.begin()
        walk.asks("a")
        walk.fails("auth")
        stage.member("a").bench(stage.now, 1.0, 900.0)
        stage.member("b").bench(stage.now, 1.0, 900.0)
        walk.gives_up()

    def test_the_reasons_given_are_those_at_the_end_of_the_wait(self) -> None:
        stage = Stage("ab", problems={"b": SkipReason.NO_KEY}, wait_for_capacity=5.0)
        stage.member("a").bench(stage.now, 4.0, 900.0)
        walk = stage.begin()
        walk.rests(4.0)
        stage.open("a")
        assert str(walk.gives_up()).endswith("a: circuit_open, back in 30.0 s; b: no_key")


def test_a_waiting_shows_its_seconds() -> None:
    pool = Stage("a").pool
    candidates = Candidates(pool, UNKNOWN, None, pool.members)
    waiting = Waiting(candidates, 7)
    waiting.since = 1000.0
    waiting.end(1001.5)
    assert repr(waiting) == "<Waiting of 7, 1.5 s so far>"
