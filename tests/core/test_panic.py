"""When nobody else is left, who answers some requests is asked in spite of its circuit."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.evening import Evening, Law, Turn
from tests.core.stage import Stage
from understudy.core.breaker import FAILED_IN_A_ROW, State
from understudy.core.events import BreakerHalfOpened, Panicked
from understudy.core.settings import Ceilings
from understudy.core.slow_start import SlowStart
from understudy.errors import AllBackendsFailed, NoBackendAvailable


def brown(stage: Stage, names: str) -> None:
    """Open circuits of members that answered in between."""
    settings = stage.pool.settings.breaker
    for name in names:
        breaker = stage.member(name).breaker
        for good in (False, True, False, False):
            permit = breaker.try_acquire(stage.now, settings)
            assert permit is not None
            if good:
                breaker.record_opening(permit, stage.now, settings)
            else:
                breaker.record_failure(permit, stage.now, settings, after_content=False)
        assert stage.state(name) is State.OPEN
        stage.pool.quiet_since = stage.now


def stage(names: str = "ab", browned: str | None = None, **more: Any) -> Stage:
    made = Stage(names, **{"count": 1, **more})
    brown(made, names if browned is None else browned)
    return made


class TestWho:
    def test_who_answers_some_is_asked_in_the_policys_order_and_the_fact_is_told(self) -> None:
        set_up = stage("ab")
        walk = set_up.begin()
        attempt = walk.asks("a")
        assert not attempt.permit.probe
        assert [event.backend for event in walk.told(Panicked)] == ["a"]
        walk.fails("server_error")
        walk.asks("b")
        walk.fails("server_error")
        assert isinstance(walk.gives_up(), AllBackendsFailed)
        assert set_up.pool.metrics.panicked == 1, "one request"
        assert [set_up.state(name) for name in "ab"] == [State.OPEN, State.OPEN]

    def test_not_while_anybody_else_can_be_asked(self) -> None:
        set_up = stage("ab", browned="a")
        walk = set_up.begin()
        walk.asks("b")
        walk.fails("server_error")
        walk.asks("a")

    def test_not_who_is_down(self) -> None:
        set_up = Stage("ab", count=1)
        set_up.open("a")
        set_up.open("b")
        assert isinstance(set_up.begin().gives_up(), NoBackendAvailable)
        assert set_up.pool.metrics.panicked == 0

    def test_not_if_it_is_switched_off(self) -> None:
        assert isinstance(stage("ab", breaker={"panic": False}).begin().gives_up(), NoBackendAvailable)

    def test_until_ten_in_a_row_have_failed_so_that_a_pool_that_dies_fails_at_once(self) -> None:
        set_up = stage("ab")
        for _ in range(FAILED_IN_A_ROW - 2):  # two were needed to open it
            walk = set_up.begin()
            for name in "ab":
                walk.asks(name)
                walk.fails("server_error")
            walk.leaves()
        assert isinstance(set_up.begin().gives_up(), NoBackendAvailable)

    def test_a_bench_holds(self) -> None:
        set_up = stage("ab", wait_for_capacity=0.0)
        set_up.member("a").bench(set_up.now, 5.0, 900.0)
        set_up.begin().asks("b")

    def test_a_ceiling_holds(self) -> None:
        set_up = stage("ab", members={"a": {"ceilings": Ceilings(concurrency=1)}})
        set_up.begin().asks("a")
        set_up.begin().asks("b")

    def test_and_so_does_the_line_before_a_ceiling(self) -> None:
        limited = {"a": {"ceilings": Ceilings(concurrency=1)}}
        set_up = stage("a", browned="", members=limited)
        running = set_up.begin()
        running.asks("a")
        first = set_up.begin()
        first.waits()
        running.answers()
        brown(set_up, "a")
        assert isinstance(set_up.begin().gives_up(), NoBackendAvailable)
        first.asks("a")

    def test_a_slow_start_does_not_and_the_breaker_learns_of_it(self) -> None:
        set_up = stage("a")
        set_up.member("a").health.slow_start = SlowStart(set_up.now, 30.0, 0)
        set_up.member("a").metrics.started()  # one is in flight, and more are not allowed
        set_up.begin().asks("a")
        breaker, settings = set_up.member("a").breaker, set_up.pool.settings.breaker
        breaker.reset()
        walk = set_up.begin()
        walk.asks("a")
        assert walk.told(Panicked) == [], "its circuit is closed"
        for _ in range(3):
            walk.fails("server_error")
            walk.leaves()
            walk = set_up.begin()
            walk.asks("a")
        assert breaker.state(set_up.now, settings) is State.OPEN


class TestHow:
    def test_where_an_early_probe_is_due_it_is_that(self) -> None:
        set_up = stage("ab")
        set_up.advance(5.0)
        walk = set_up.begin()
        assert walk.asks("a").permit.probe
        (event,) = walk.told(BreakerHalfOpened)
        assert event.early
        assert walk.told(Panicked) == []
        assert not set_up.begin().asks("a").permit.probe, "one probe is enough"

    def test_each_is_asked_again_after_its_back_off_within_the_budget(self) -> None:
        set_up = stage("ab", count=2)
        walk = set_up.begin()
        for name in "ab":
            walk.asks(name)
            walk.fails("server_error")
        walk.rests(0.5)
        walk.asks("a")
        walk.fails("server_error")
        walk.asks("b")
        walk.fails("server_error")
        assert isinstance(walk.gives_up(), AllBackendsFailed)

    def test_who_could_not_be_connected_to_comes_last(self) -> None:
        set_up = stage("ab", count=2)
        walk = set_up.begin()
        walk.asks("a")
        walk.fails("connect")
        walk.asks("b")
        walk.fails("auth")
        walk.rests(0.5)
        walk.asks("a")


def halves() -> Law:
    """Every other attempt fails, at once."""
    asked = {"times": 0}

    def law(now: float, in_flight: int) -> Turn:
        asked["times"] += 1
        return Turn(0.005, fails="server_error") if asked["times"] % 2 else Turn(0.3)

    return law


@pytest.mark.parametrize(("panic", "least", "most"), [(True, 0.95, 1.0), (False, 0.0, 0.6)])
def test_a_pool_that_fails_half_of_everything_answers_nearly_all(
    panic: bool, least: float, most: float
) -> None:
    house = Stage("abc", breaker={"panic": panic})
    show = Evening(house, {name: halves() for name in "abc"})
    show.arrivals(rate=10, seconds=120)
    show.run()
    answered = sum(by != "failed" for _, by in show.ends) / len(show.ends)
    assert least <= answered <= most


def test_a_pool_that_is_down_is_left_to_its_probes_though_it_was_brown_before() -> None:
    house = Stage("abc")
    before, begin = {name: halves() for name in "abc"}, house.now

    def law(name: str) -> Law:
        return lambda now, busy: before[name](now, busy) if now < begin + 60 else Turn(0.005, fails="reset")

    show = Evening(house, {name: law(name) for name in "abc"})
    show.arrivals(rate=10, seconds=180)
    show.run()
    late = [name for now, name in show.asked if now > begin + 75]
    assert len(late) <= 2 * 105 / 5 + 10, "an early probe each five seconds, and its repeats"
