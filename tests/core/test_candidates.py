"""Whom of the members one request may ask, in walks over a stage."""

from __future__ import annotations

import pytest

from tests.core.stage import Asking, Stage, failure, takes
from understudy.core.breaker import State
from understudy.core.candidates import Candidates
from understudy.core.demand import UNKNOWN
from understudy.core.events import (
    BackendBenched,
    BackendSkipped,
)
from understudy.core.settings import Ceilings
from understudy.errors import (
    AllBackendsFailed,
    NoBackendAvailable,
    RequestRejected,
    SkipEntry,
    SkipReason,
)

FLOOR = {name: {"tpm_threshold": 100} for name in "abc"}


class TestRetryAfter:
    """Rule 3."""

    def test_a_short_one_of_the_first_ranked_is_waited_for(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("rate_limited", retry_after=2.0)
        walk.rests(2.0)
        walk.asks("a")

    def test_it_takes_the_place_of_the_back_off(self) -> None:
        stage = Stage("ab", delay=1.0)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error", retry_after=0.25)
        walk.rests(0.25)
        walk.asks("a")

    def test_a_longer_one_moves_on_at_once(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("rate_limited", retry_after=2.001)
        walk.asks("b")
        (skip,) = walk.told(BackendSkipped)
        assert (skip.backend, skip.reason, skip.until) == ("a", SkipReason.BENCHED, stage.now + 2.001)

    def test_so_does_a_short_one_on_a_bench_that_is_longer(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        stage.member("a").bench(stage.now, 60.0, 900.0)
        walk.fails("rate_limited", retry_after=1.0)
        walk.asks("b")

    def test_so_does_one_of_a_member_that_is_not_the_first(self) -> None:
        stage = Stage("abc")
        walk = stage.begin()
        walk.asks_in_turn("a")
        walk.asks("b")
        walk.fails("rate_limited", retry_after=1.0)
        walk.asks("c")

    def test_so_does_one_under_a_policy_without_preference(self) -> None:
        stage = Stage("ab", "roundrobin")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("rate_limited", retry_after=1.0)
        walk.asks("b")

    def test_so_does_one_without_an_attempt_left(self) -> None:
        stage = Stage("ab", count=1)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("rate_limited", retry_after=1.0)
        walk.asks("b")

    def test_every_other_request_skips_it_at_once(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("rate_limited", retry_after=1.0)
        stage.begin().asks("b")

    def test_it_benches_but_does_not_count(self) -> None:
        stage = Stage("a", count=100, breaker={"failure_threshold": 1})
        walk = stage.begin()
        walk.asks("a")
        walk.fails("rate_limited", retry_after=1.0)
        assert stage.state("a") is State.CLOSED
        assert stage.member("a").benched_until == stage.now + 1.0
        assert [event.seconds for event in walk.told(BackendBenched)] == [1.0]

    def test_a_server_error_with_it_counts_and_benches(self) -> None:
        stage = Stage("ab", breaker={"failure_threshold": 1})
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error", retry_after=5.0)
        assert stage.state("a") is State.OPEN
        assert stage.member("a").benched_until == stage.now + 5.0

    def test_no_bench_is_longer_than_allowed(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("rate_limited", retry_after=277403.0)
        assert stage.member("a").benched_until == stage.now + 900.0

    def test_other_kinds_bench_nobody_and_are_backed_off(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("protocol", retry_after=5.0)
        assert stage.member("a").benched_until == 0.0
        walk.rests(0.5)

    def test_a_benched_member_with_attempts_left_is_asked_when_it_is_back(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("rate_limited", retry_after=5.0)
        walk.asks("b")
        walk.fails("timeout", after=5.0)
        walk.asks("a")


class TestNext:
    """Rule 1."""

    def test_switching_never_waits(self) -> None:
        stage = Stage("abc")
        walk = stage.begin()
        walk.asks_in_turn("a", "b", kind="timeout")
        walk.asks("c")

    def test_the_policys_order_is_kept(self) -> None:
        stage = Stage("abc", "roundrobin")
        stage.begin().asks("a")
        walk = stage.begin()
        walk.asks_in_turn("b", "c", "a")
        walk.gives_up()

    def test_what_is_not_eligible_is_skipped_with_its_reason(self) -> None:
        stage = Stage("abcd", problems={"a": SkipReason.NO_KEY})
        stage.open("b")
        stage.member("c").bench(stage.now, 7.0, 900.0)
        walk = stage.begin()
        walk.asks("d")
        assert walk.dispatch.trail[:3] == (
            SkipEntry("a", SkipReason.NO_KEY, None),
            SkipEntry("b", SkipReason.CIRCUIT_OPEN, 30.0),
            SkipEntry("c", SkipReason.BENCHED, 7.0),
        )

    def test_members_behind_the_one_asked_are_not_skipped(self) -> None:
        stage = Stage("ab")
        stage.open("b")
        walk = stage.begin()
        walk.asks("a")
        assert walk.told(BackendSkipped) == []

    def test_a_skip_is_recorded_once_a_reason(self) -> None:
        stage = Stage("abc")
        stage.open("a")
        walk = stage.begin()
        walk.asks_in_turn("b", "c")
        assert stage.member("a").metrics.skips == {SkipReason.CIRCUIT_OPEN: 1}
        assert len(walk.told(BackendSkipped)) == 1

    def test_another_reason_is_another_skip(self) -> None:
        stage = Stage("abc")
        stage.open("a")
        walk = stage.begin()
        walk.asks_in_turn("b")
        stage.member("a").bench(stage.now, 100.0, 900.0)
        walk.asks("c")
        assert [skip.reason for skip in walk.told(BackendSkipped)] == [
            SkipReason.CIRCUIT_OPEN,
            SkipReason.BENCHED,
        ]

    def test_a_connect_failure_moves_on_at_once(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("connect")
        walk.asks("b")

    def test_and_is_asked_again_only_when_no_other_is_left(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("connect")
        walk.asks("b")
        walk.fails("reset")
        walk.rests(0.5)
        walk.asks("b")
        walk.fails("reset")
        walk.asks("a")
        walk.fails("connect")
        walk.gives_up()

    def test_however_long_ago_it_was(self) -> None:
        stage = Stage("abc")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("connect")
        walk.asks("b")
        walk.fails("auth", after=50.0)
        walk.asks("c")
        walk.fails("auth")
        walk.asks("a")

    def test_after_its_back_off(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        for name in "ab":
            walk.asks(name)
            walk.fails("connect")
            stage.advance(0.1)
        walk.rests(0.3)
        walk.asks("a")
        walk.fails("connect")
        walk.rests(0.1)
        walk.asks("b")
        walk.fails("connect")
        walk.gives_up()

    def test_and_with_room_for_what_this_request_asks(self) -> None:
        stage = Stage("a", members={"a": {"ceilings": Ceilings(tokens=2000)}})
        stage.begin(needs=Asking(tokens=300, answer_limit=300)).asks("a")
        walk = stage.begin(needs=Asking(tokens=10, answer_limit=10))
        walk.asks("a")
        walk.fails("connect")
        walk.rests(0.5)
        walk.asks("a")

    def test_the_error_tells_when_somebody_has_room_for_it(self) -> None:
        stage = Stage("ab", members={"b": {"ceilings": Ceilings(takeovers=1)}})
        first, second = stage.begin(), stage.begin()
        for walk in (first, second):
            walk.asks("a")
        for walk in (first, second):
            walk.settle(failure("rate_limited", retry_after=600.0))
        first.asks("b")
        assert second.gives_up().retry_after == pytest.approx(60.0, abs=1.0)  # minutes slide by the second

    def test_of_several_the_one_that_is_ready_first(self) -> None:
        stage = Stage("ab", count=3, breaker={"failure_threshold": 100})
        walk = stage.begin()
        walk.asks("a")
        walk.fails("connect")
        walk.asks("b")
        walk.fails("connect")
        stage.advance(0.5)
        walk.asks("a")
        walk.fails("connect")
        walk.asks("b")
        walk.fails("reset")
        walk.rests(1.0)
        walk.asks("b")
        walk.fails("auth")
        walk.asks("a")

    def test_a_back_off_ending_after_the_deadline_is_not_waited_for(self) -> None:
        stage = Stage("a", request_timeout=10.0)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("connect", after=9.6)
        assert type(walk.gives_up()) is AllBackendsFailed

    def test_meanwhile_a_bench_that_ends_sooner_is_looked_at(self) -> None:
        stage = Stage("ab")
        stage.member("b").bench(stage.now, 0.2, 900.0)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("connect")
        walk.rests(0.2)
        walk.asks("b")

    def test_and_so_is_a_probe_that_settles(self) -> None:
        stage = Stage("ab")
        stage.open("b")
        stage.advance(30)
        probe = stage.begin()
        stage.member("a").bench(stage.now, 0.1, 900.0)
        probe.asks("b")
        stage.advance(0.1)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("connect")
        assert walk.waits().wakes
        probe.commits()
        walk.asks("b")

    def test_a_last_resort_whose_circuit_opened_is_none(self) -> None:
        stage = Stage("a")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("connect")
        stage.open("a")
        walk.gives_up()


class TestFloor:
    def test_a_slow_member_is_skipped_while_another_can_serve(self) -> None:
        stage = Stage("abc", members=FLOOR)
        stage.slow("a", 99)
        walk = stage.begin()
        walk.asks("b")
        (skip,) = walk.told(BackendSkipped)
        assert (skip.backend, skip.reason, skip.rate, skip.threshold, skip.measure) == (
            "a", SkipReason.LOW_TPM, 99.0, 100, "serving",
        )  # fmt: skip

    def test_it_is_the_last_resort_fastest_first(self) -> None:
        stage = Stage("abc", members=FLOOR)
        for name, rate in (("a", 20), ("b", 60), ("c", 40)):
            stage.slow(name, rate)
        walk = stage.begin()
        walk.asks_in_turn("b", "c", "a")
        walk.gives_up()
        assert [skip.backend for skip in walk.told(BackendSkipped)] == ["a", "c"]

    def test_it_comes_before_an_early_probe_or_a_wait(self) -> None:
        stage = Stage("abc", members=FLOOR)
        stage.slow("a", 1)
        stage.open("b")
        stage.member("c").bench(stage.now, 1.0, 900.0)
        stage.advance(20)
        stage.begin().asks("c")
        stage.member("c").bench(stage.now, 1.0, 900.0)
        stage.begin().asks("a")

    def test_it_comes_before_one_that_could_not_be_connected_to(self) -> None:
        stage = Stage("ab", members=FLOOR)
        stage.slow("b", 1)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("connect", after=1.0)
        walk.asks("b")

    def test_a_slow_member_in_its_back_off_is_left_alone(self) -> None:
        stage = Stage("ab", members=FLOOR, request_timeout=10.0)
        stage.slow("a", 50)
        stage.slow("b", 40)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("reset", after=9.6)
        walk.asks("b")

    def test_a_slow_member_that_could_not_be_connected_to_is_still_a_last_resort(self) -> None:
        stage = Stage("a", members=FLOOR)
        stage.slow("a", 50)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("connect")
        walk.rests(0.5)
        walk.asks("a")


class TestContextLength:
    """Rule 4."""

    def stage(self) -> Stage:
        limits = {"a": 8000, "b": 8000, "c": None, "d": 4000, "e": 32_000}
        return Stage("abcde", members={name: {"context_limit": limit} for name, limit in limits.items()})

    def test_only_a_larger_or_unknown_window_is_asked(self) -> None:
        walk = self.stage().begin()
        walk.asks_in_turn("a", "c", "e", kind="context_length")
        error = walk.gives_up()
        assert isinstance(error, RequestRejected)
        assert [skip.backend for skip in walk.told(BackendSkipped)] == ["b", "d"]

    def test_one_of_unknown_window_rules_out_only_itself(self) -> None:
        stage = Stage("abc", members={"b": {"context_limit": 10}})
        walk = stage.begin()
        walk.asks_in_turn("a", kind="context_length")
        walk.asks("b")

    def test_the_largest_window_that_was_too_small_counts(self) -> None:
        stage = Stage("abc", members={"a": {"context_limit": 32}, "c": {"context_limit": 16}})
        walk = stage.begin()
        walk.asks_in_turn("a", "b", kind="context_length")
        walk.gives_up()

    def test_it_is_never_the_breakers_business(self) -> None:
        stage = Stage("a", breaker={"failure_threshold": 1})
        walk = stage.begin()
        walk.asks_in_turn("a", kind="context_length")
        assert stage.state("a") is State.CLOSED
        assert stage.member("a").metrics.refused == 1

    def test_a_smaller_one_is_neither_waited_for_nor_probed(self) -> None:
        stage = Stage("abc", members={name: {"context_limit": 8} for name in "abc"})
        stage.open("c")
        stage.advance(10)
        walk = stage.begin()
        walk.asks("a")
        stage.member("b").bench(stage.now, 1.0, 900.0)
        walk.fails("context_length")
        assert isinstance(walk.gives_up(), RequestRejected)

    def test_nor_is_it_asked_as_a_last_resort(self) -> None:
        stage = Stage("ab", members={"a": {"context_limit": 4}, "b": {"context_limit": 8}})
        walk = stage.begin()
        walk.asks("a")
        walk.fails("connect")
        walk.asks("b")
        walk.fails("context_length")
        walk.gives_up()


class TestFit:
    """Rule 5."""

    def stage(self, names: str = "ab") -> Stage:
        return Stage(names, members={"a": {"supports": takes("tools")}})

    def test_a_member_whose_model_cannot_take_the_request_is_passed_over_with_the_reason(self) -> None:
        stage = self.stage()
        walk = stage.begin(needs=Asking(takes("images", "tools")))
        walk.asks("b")
        walk.answers()
        assert [(skip.backend, skip.reason) for skip in walk.told(BackendSkipped)] == [("a", "no_images")]
        assert walk.dispatch.trail[0] == SkipEntry("a", SkipReason.NO_IMAGES, None)
        assert stage.member("a").metrics.skips == {SkipReason.NO_IMAGES: 1}

    def test_what_it_takes_is_asked_of_it(self) -> None:
        self.stage().begin(needs=Asking(takes("tools"))).asks("a")

    def test_it_is_neither_waited_for_nor_probed(self) -> None:
        stage = self.stage("a")
        stage.open("a")
        stage.advance(29)
        error = stage.begin(needs=Asking(takes("images"))).gives_up()
        assert isinstance(error, NoBackendAvailable)
        assert error.blames_request
        stage.member("a").bench(stage.now, 1.0, 900.0)
        assert isinstance(stage.begin(needs=Asking(takes("images"))).gives_up(), NoBackendAvailable)

    def test_nor_is_it_the_last_resort_below_the_rate_floor(self) -> None:
        stage = Stage("a", members={"a": {"supports": takes(), "tpm_threshold": 100}})
        stage.slow("a", 1)
        stage.begin(needs=Asking(takes("images"))).gives_up()

    def test_a_prompt_that_is_clearly_too_long_goes_to_a_larger_window(self) -> None:
        stage = Stage("ab", members={"a": {"context_limit": 100}, "b": {"context_limit": 1000}})
        walk = stage.begin(needs=Asking(tokens=200))
        walk.asks("b")
        assert walk.told(BackendSkipped)[0].reason is SkipReason.CONTEXT_LENGTH

    def test_after_a_failure_the_reason_still_stands(self) -> None:
        walk = self.stage("abc").begin(needs=Asking(takes("images")))
        walk.asks_in_turn("b", "c")
        walk.gives_up()

    def test_where_nothing_is_known_of_a_model_nothing_is_looked_at(self) -> None:
        asking = Asking(takes("images"), tokens=10**9)
        Stage("ab", members={"a": {"adaptive": False}}).begin(needs=asking).asks("a")
        assert asking.looks == []


def test_candidates_show_how_many_were_asked() -> None:
    pool = Stage("ab").pool
    assert repr(Candidates(pool, UNKNOWN, None, pool.members)) == "<Candidates of company, 0 asked>"
