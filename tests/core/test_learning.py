"""What a member's health and the policy learn of an attempt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.stage import Asking, Stage, takes
from understudy.core.attempt import Attempt
from understudy.core.facts import Facts
from understudy.core.latency import bucket_of
from understudy.core.outcome import Success
from understudy.core.patience import Patience
from understudy.core.settings import Ceilings, Timeouts

PACE = 30


def adaptive(names: str = "ab", **more: Any) -> Stage:
    settings = {"adaptive": True, "timeouts": Timeouts(first_content=60.0)}
    return Stage(names, members={name: dict(settings) for name in names}, **{"count": 1, **more})


def known(house: Stage, *names: str) -> None:
    """Members that have begun within half a second so far."""
    for name in names:
        for _ in range(PACE):
            patience(house, name).of(house.now, 1000).began(house.now, bucket_of(0.5))


def patience(house: Stage, name: str) -> Patience:
    return house.member(name).health.patience


def eased_in(**routing: float) -> Stage:
    """A member whose circuit has just been closed by a probe."""
    house = Stage("ab", count=1, routing=routing)
    house.open("a")
    house.advance(30)
    probe = house.begin()
    probe.asks("a")
    probe.answers()
    return house


class TestSlowStart:
    def test_a_probe_that_closes_the_circuit_begins_one(self) -> None:
        house = eased_in()
        start = house.member("a").health.slow_start
        assert start is not None
        assert start.ends_at == house.now + 30

    def test_not_if_it_is_switched_off(self) -> None:
        assert eased_in(slow_start=0.0).member("a").health.slow_start is None

    def test_first_contents_ease_it_and_end_it_when_its_time_is_over(self) -> None:
        house = eased_in()
        for passed, cap in ((1, 3.0), (28, 4.0)):
            house.advance(passed)
            walk = house.begin()
            walk.asks("a")
            walk.answers()
            start = house.member("a").health.slow_start
            assert start is not None
            assert start.cap == cap
        house.advance(1)
        walk = house.begin()
        walk.asks("a")
        walk.answers()
        assert house.member("a").health.slow_start is None

    @pytest.mark.parametrize(
        ("kind", "more", "narrower"),
        [
            ("server_error", {}, True),
            ("rate_limited", {}, True),
            ("rate_limited", {"retry_after": 3.0}, True),
            ("content_filter", {}, False),
        ],
    )
    def test_only_a_failure_of_the_backends_makes_it_narrower(
        self, kind: str, more: dict[str, float], narrower: bool
    ) -> None:
        house = eased_in()
        walk = house.begin()
        walk.asks("a")
        walk.fails(kind, **more)
        start = house.member("a").health.slow_start
        assert start is not None
        assert (start.cap < 2) is narrower


def reconsidered(house: Stage, needs: Asking | None = None) -> Attempt:
    """Of a new request the first attempt, whose limit has passed."""
    walk = house.begin(needs=needs)
    attempt = walk.asks("a")
    walk.dispatch.reconsider(attempt, attempt.limit_at)
    return attempt


class TestPatience:
    def test_a_cut_is_remembered_as_one_and_strains_the_member(self) -> None:
        house = adaptive(breaker={"enabled": False})
        known(house, "a")
        before = patience(house, "a").of(house.now, 1000).limit(house.now)
        for _ in range(5):
            walk = house.begin()
            limit = walk.asks("a").limit
            walk.fails("timeout", after=limit)
            walk.asks("b")
            walk.answers()
        assert before is not None
        assert (patience(house, "a").of(house.now, 1000).limit(house.now) or 0) >= 2 * before
        assert repr(house.pool.strain) == "<Strain of [0]>"

    def test_content_ends_the_strain(self) -> None:
        house = adaptive()
        known(house, "a")
        walk = house.begin()
        walk.fails("timeout", after=walk.asks("a").limit)
        walk.leaves()
        walk = house.begin()
        walk.asks("a")
        walk.answers()
        assert repr(house.pool.strain) == "<Strain of []>"

    def test_a_timeout_by_the_setting_strains_nobody(self) -> None:
        house = adaptive()
        walk = house.begin()
        walk.asks("a")
        walk.fails("timeout", after=60)
        assert repr(house.pool.strain) == "<Strain of []>"

    def test_while_everything_is_slow_settings_are_the_limits(self) -> None:
        house = adaptive("abc")
        known(house, "a", "b", "c")
        house.pool.strain.cut(0, house.now)
        assert reconsidered(house).limit < 60
        house.pool.strain.cut(1, house.now)
        assert house.begin().asks("a").limit == 60

    @pytest.mark.parametrize("end", ["is_abandoned", "timeout", "server_error"])
    def test_what_was_given_up_before_content_is_a_cut_and_a_refusal_is_none(self, end: str) -> None:
        house = adaptive()
        for _ in range(20):
            walk = house.begin()
            walk.asks("a")
            house.advance(0.1)
            if end == "is_abandoned":
                walk.is_abandoned()
            else:
                walk.fails(end)
                house.member("a").breaker.reset()
            walk.leaves()
        seen = patience(house, "a")._classes.get(0)
        cuts = 0 if seen is None else sum(seen._new.cut.values())
        assert cuts == (0 if end == "server_error" else 20)

    def test_after_content_nothing_is_cut(self) -> None:
        house = adaptive()
        walk = house.begin()
        walk.asks("a")
        walk.commits()
        walk.is_abandoned()
        seen = patience(house, "a")._classes[0]
        assert (sum(seen._new.began.values()), sum(seen._new.cut.values())) == (1, 0)

    def test_it_holds_only_if_another_could_take_over_when_it_has_passed(self) -> None:
        house = adaptive("abc")
        known(house, "a")
        house.member("b").bench(house.now, 60.0, 900.0)
        assert reconsidered(house).limit < 60, "c could"
        house.open("c")
        relaxed = reconsidered(house)
        assert (relaxed.limit, relaxed.patience) == (60, None)
        house.member("b").benched_until = 0.0
        house.member("b").settings = replace(house.member("b").settings, facts=Facts(supports=takes()))
        assert reconsidered(house, Asking(tokens=1000, bytes=4000)).limit < 60
        with_image = Asking(takes("images"), tokens=1000, bytes=4000)
        assert reconsidered(house, with_image).limit == 60, "b can't take this one"

    def test_nor_could_who_was_asked_already(self) -> None:
        house = adaptive("ab")
        known(house, "a", "b")
        walk = house.begin()
        walk.asks("a")
        walk.fails("auth")
        attempt = walk.asks("b")
        assert attempt.limit < 60
        walk.dispatch.reconsider(attempt, attempt.limit_at)
        assert attempt.limit == 60

    def test_nor_could_who_has_taken_over_as_often_as_it_may(self) -> None:
        house = adaptive("ab")
        known(house, "a")
        b = house.member("b")
        b.settings = replace(b.settings, ceilings=Ceilings(takeovers=1))
        assert reconsidered(house).limit < 60
        b.health.taken_over.add(house.now, 1)
        assert reconsidered(house).limit == 60

    def test_it_does_not_hold_if_everything_has_become_slow_meanwhile(self) -> None:
        house = adaptive("ab")
        known(house, "a")
        walk = house.begin()
        attempt = walk.asks("a")
        assert attempt.limit < 60
        for index in (0, 1):
            house.pool.strain.cut(index, house.now)
        walk.dispatch.reconsider(attempt, attempt.limit_at)
        assert (attempt.limit, attempt.patience) == (60, None)

    def test_who_is_only_put_behind_could_take_over_too(self) -> None:
        house = adaptive()
        known(house, "a")
        house.member("b").exhaust(house.now, 60.0)
        assert reconsidered(house).limit < 60

    @pytest.mark.parametrize("how", ["fixed", "unary"])
    def test_a_fixed_clock_and_a_unary_answer_teach_nothing(self, how: str) -> None:
        fixed = {"a": {"adaptive": False}}
        house = adaptive() if how == "unary" else Stage("ab", count=1, members=fixed)
        for end in ("answers", "is_abandoned", "fails"):
            walk = house.begin(stream=how != "unary")
            walk.asks("a")
            walk.fails("timeout") if end == "fails" else getattr(walk, end)()
            walk.leaves()
        assert repr(patience(house, "a")) == "<Patience with 0 sizes of prompts>"


class TestPolicy:
    def test_it_hears_of_contents_failures_and_what_was_given_up(self) -> None:
        house = Stage("a", "fastest", count=1)
        load = house.member("a").load
        walk = house.begin()
        walk.asks("a")
        house.advance(0.5)
        walk.answers()
        assert load.seconds(house.now) == 0.5
        walk = house.begin()
        walk.asks("a")
        house.advance(3.0)
        walk.is_abandoned()
        assert load.seconds(house.now) == 3.0
        walk = house.begin()
        walk.asks("a")
        walk.fails("server_error")
        assert load.seconds(house.now) == 6.0

    def test_whole_answers_are_told_from_streams(self) -> None:
        house = Stage("a", "fastest", count=1)
        member = house.member("a")
        for seconds, ends in ((5.0, "answers"), (9.0, "is_abandoned")):
            walk = house.begin(stream=False)
            walk.asks("a")
            house.advance(seconds)
            getattr(walk, ends)()
            assert member.whole_load.seconds(house.now) == seconds
            assert member.load.is_cold

    def test_each_kind_of_request_is_ranked_by_its_own(self) -> None:
        house = Stage("ab", "fastest", count=1)
        for name, streams, whole in (("a", 0.3, 9.0), ("b", 0.5, 4.0)):
            house.member(name).load.began(house.now, streams)
            house.member(name).whole_load.began(house.now, whole)
        house.begin().asks("a")
        house.begin(stream=False).asks("b")

    def test_what_is_not_the_backends_fault_is_not_held_against_it(self) -> None:
        house = Stage("a", "fastest", count=1)
        walk = house.begin()
        walk.asks("a")
        walk.fails("content_filter")
        assert house.member("a").load.is_cold
        walk = house.begin()
        walk.asks("a")
        walk.commits()
        seconds = house.member("a").load.seconds(house.now)
        house.advance(0.1)
        walk.is_abandoned()
        assert house.member("a").load.seconds(house.now) <= seconds


def test_an_answer_is_no_attempt_given_up() -> None:
    house = Stage("ab", "fastest")
    walk = house.begin(stream=False)
    attempt = walk.asks("a")
    house.advance(5.0)
    walk.settle(Success())
    assert attempt.member.load.is_cold, "nobody reported a first content"
