"""One request's walk: its rules one by one. Any walks at all: `test_walks`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.stage import Asking, Stage, failure, takes
from understudy.core.attempt import Tokens
from understudy.core.breaker import State
from understudy.core.events import (
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    BackendBenched,
    BackendSkipped,
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    ConfigurationWarning,
    FieldsLeftOut,
    FirstContent,
    ProbeSettled,
    RequestEnded,
    WaitingForCapacity,
)
from understudy.core.outcome import Abandoned, Success
from understudy.core.settings import Ceilings, Timeouts
from understudy.errors import (
    AllBackendsFailed,
    AttemptEntry,
    DeadlineExceeded,
    FailureKind,
    NoBackendAvailable,
    RequestRejected,
    SkipEntry,
    SkipReason,
    StreamInterrupted,
)


class TestFirstStep:
    """Rule 1."""

    def test_the_deadline_ends_the_walk(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("auth", after=599.9)
        stage.advance(0.1)
        error = walk.gives_up()
        assert type(error) is DeadlineExceeded
        assert [cause.backend for cause in error.causes] == ["a"]
        assert len(error.trail) == 1

    def test_a_verdict_stands_even_after_the_deadline(self) -> None:
        stage = Stage("ab", on_network_errors=False)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("reset")
        stage.advance(1000)
        assert type(walk.gives_up()) is AllBackendsFailed

    def test_an_attempt_that_was_cut_short_ends_the_walk(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.is_abandoned()
        assert type(walk.gives_up()) is DeadlineExceeded

    def test_the_deadline_is_the_requests_own(self) -> None:
        stage = Stage("a", request_timeout=5.0)
        walk = stage.begin()
        stage.set(request_timeout=100.0)
        stage.advance(5.0)
        assert "within 5000 ms" in str(walk.gives_up())


class TestAgain:
    """Rule 2, and what each kind allows."""

    @pytest.mark.parametrize("kind", ["reset", "server_error", "protocol", "rate_limited", "empty"])
    def test_a_passing_failure_is_asked_again_after_the_back_off(self, kind: str) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        assert walk.asks("a").number == 1
        walk.fails(kind)
        walk.rests(0.5)
        assert walk.asks("a").number == 2
        walk.fails(kind)
        walk.asks("b")

    @pytest.mark.parametrize("kind", ["timeout", "quota", "auth", "model_not_found"])
    def test_a_lasting_failure_or_silence_is_not(self, kind: str) -> None:
        stage = Stage("ab", count=5)
        walk = stage.begin()
        walk.asks("a")
        walk.fails(kind)
        walk.asks("b")
        walk.fails(kind)
        assert type(walk.gives_up()) is AllBackendsFailed

    def test_the_back_off_doubles_and_has_jitter(self) -> None:
        stage = Stage("a", count=5, breaker={"failure_threshold": 100})
        walk = stage.begin()
        for seconds in (0.5, 1.0, 2.0):
            walk.asks("a")
            walk.fails("reset")
            walk.rests(seconds)
        stage.jitter = 0.5
        walk.asks("a")
        walk.fails("reset")
        walk.rests(4.2)
        walk.asks("a")
        walk.fails("reset")
        walk.gives_up()

    def test_a_wait_can_be_asked_about_again(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("reset")
        assert walk.waits() == walk.waits()
        assert not walk.waits().wakes

    def test_attempts_are_counted_per_backend_and_request(self) -> None:
        stage = Stage("ab", count=1)
        for _ in range(2):
            walk = stage.begin()
            walk.asks("a")
            walk.fails("reset")
            walk.asks("b")
            walk.fails("reset")
            walk.gives_up()

    def test_a_live_change_of_the_count_holds_from_the_next_decision_on(self) -> None:
        stage = Stage("ab", count=5)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("reset")
        walk.rests(0.5)
        walk.asks("a")
        stage.set(count=2)
        walk.fails("reset")
        walk.asks("b")

    def test_also_for_a_walk_in_its_back_off(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("reset")
        walk.waits()
        stage.set(count=1)
        walk.asks("b")

    def test_an_empty_answer_is_asked_for_once_more(self) -> None:
        stage = Stage("ab", count=5)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("empty")
        walk.rests(0.5)
        walk.asks("a")
        walk.fails("empty")
        walk.asks("b")

    def test_whatever_failed_before_it(self) -> None:
        stage = Stage("ab", count=5)
        walk = stage.begin()
        for kind, pause in (("server_error", 0.5), ("empty", 1.0)):
            walk.asks("a")
            walk.fails(kind)
            walk.rests(pause)
        walk.asks("a")
        walk.fails("empty")
        walk.asks("b")

    def test_the_walk_moves_on_when_the_circuit_has_opened_meanwhile(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("reset")
        walk.waits()
        stage.open("a")
        walk.asks("b")

    def test_the_walk_moves_on_when_its_own_failure_opened_the_circuit(self) -> None:
        stage = Stage("ab", breaker={"failure_threshold": 1})
        walk = stage.begin()
        walk.asks("a")
        walk.fails("reset")
        walk.asks("b")
        assert [skip.reason for skip in walk.told(BackendSkipped)] == [SkipReason.CIRCUIT_OPEN]

    def test_the_walk_moves_on_when_it_has_been_benched_for_longer(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("reset")
        walk.waits()
        stage.member("a").bench(stage.now, 5.0, 900.0)
        walk.asks("b")

    def test_a_bench_that_ends_before_the_back_off_does_not_matter(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        stage.member("a").bench(stage.now, 0.4, 900.0)
        walk.fails("reset")
        walk.rests(0.5)
        walk.asks("a")

    def test_the_walk_moves_on_when_the_deadline_comes_first(self) -> None:
        stage = Stage("ab", request_timeout=10.0)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("reset", after=9.6)
        walk.asks("b")

    def test_a_back_off_is_never_cut_short(self) -> None:
        stage = Stage("ab", request_timeout=10.0)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("reset", after=9.6)
        walk.asks("b")
        walk.fails("auth")
        assert type(walk.gives_up()) is AllBackendsFailed

    def test_nor_by_a_circuit_that_opened_and_recovered(self) -> None:
        stage = Stage("ab", breaker={"recovery_timeout": 0.1, "failure_threshold": 1})
        walk = stage.begin()
        walk.asks("a")
        walk.fails("reset")
        walk.asks("b")
        walk.fails("auth", after=0.2)
        assert stage.state("a") is State.HALF_OPEN
        walk.rests(0.3)
        walk.asks("a")


class TestRetryAfter:
    """Rules 2 and 9."""

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
    """Rule 3."""

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


FLOOR = {name: {"tpm_threshold": 100} for name in "abc"}


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


class TestEarlyProbe:
    """Rule 4."""

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
    """Rules 5 and 6."""

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


class TestNetworkErrors:
    """Rule 7."""

    @pytest.mark.parametrize("kind", ["connect", "reset", "timeout"])
    def test_switched_off_they_end_the_walk_and_still_count(self, kind: str) -> None:
        stage = Stage("ab", on_network_errors=False, breaker={"failure_threshold": 1})
        walk = stage.begin()
        walk.asks("a")
        walk.fails(kind)
        error = walk.gives_up()
        assert type(error) is AllBackendsFailed
        assert [cause.kind for cause in error.causes] == [FailureKind(kind)]
        assert stage.state("a") is State.OPEN

    def test_other_failures_go_on(self) -> None:
        stage = Stage("ab", on_network_errors=False)
        walk = stage.begin()
        walk.asks_in_turn("a")
        walk.asks("b")


class TestStatusCodes:
    """Rule 8."""

    def test_a_listed_status_asks_the_next_whatever_its_kind(self) -> None:
        stage = Stage("ab", status_codes=frozenset({400}))
        walk = stage.begin()
        walk.asks("a")
        walk.fails("invalid_request", status=400)
        walk.asks("b")

    def test_an_unlisted_one_does_not(self) -> None:
        stage = Stage("ab", status_codes=frozenset({500}))
        walk = stage.begin()
        walk.asks("a")
        walk.fails("auth", status=401)
        assert type(walk.gives_up()) is AllBackendsFailed

    def test_asking_the_same_again_stays_the_kinds(self) -> None:
        stage = Stage("ab", status_codes=frozenset({401}))
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error", status=503)
        walk.rests(0.5)
        walk.asks("a")
        walk.fails("server_error", status=503)
        walk.gives_up()

    def test_the_latest_failure_decides(self) -> None:
        stage = Stage("ab", status_codes=frozenset({502}))
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error", status=503)
        walk.rests(0.5)
        walk.asks("a")
        walk.fails("server_error", status=502)
        walk.asks("b")

    def test_an_error_inside_a_stream_uses_its_classs_status(self) -> None:
        stage = Stage("ab", status_codes=frozenset({429}))
        walk = stage.begin()
        walk.asks("a")
        walk.fails("rate_limited", status=200, in_stream=True, retry_after=60.0)
        walk.asks("b")

    def test_a_failure_without_a_status_goes_by_its_kind(self) -> None:
        stage = Stage("ab", status_codes=frozenset())
        walk = stage.begin()
        walk.asks("a")
        walk.fails("timeout")
        walk.asks("b")

    def test_so_does_one_whose_status_no_list_can_name(self) -> None:
        stage = Stage("ab", status_codes=frozenset({500}), count=1)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("protocol", status=302)
        walk.asks("b")

    def test_an_empty_list_is_a_list(self) -> None:
        stage = Stage("ab", status_codes=frozenset(), count=1)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error", status=500)
        walk.gives_up()


class TestKindsThatBlameTheRequest:
    def test_an_invalid_request_goes_to_the_caller_from_the_first_asked(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("invalid_request", status=422, body=b"no such field")
        error = walk.gives_up()
        assert isinstance(error, RequestRejected)
        assert (error.status, error.body) == (422, b"no such field")

    def test_even_on_its_second_attempt(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error")
        walk.rests(0.5)
        walk.asks("a")
        walk.fails("invalid_request")
        assert type(walk.gives_up()) is AllBackendsFailed

    def test_from_a_later_one_it_is_recorded_and_the_next_is_asked(self) -> None:
        stage = Stage("abc")
        walk = stage.begin()
        walk.asks_in_turn("a", kind="quota")
        walk.asks("b")
        walk.fails("invalid_request")
        walk.asks("c")
        walk.fails("auth")
        error = walk.gives_up()
        assert type(error) is AllBackendsFailed
        assert [cause.kind for cause in error.causes] == ["quota", "invalid_request", "auth"]

    def test_a_content_filter_ends_the_walk_wherever_it_comes_from(self) -> None:
        stage = Stage("abc")
        walk = stage.begin()
        walk.asks_in_turn("a")
        walk.asks("b")
        walk.fails("content_filter")
        walk.gives_up()

    def test_a_bug_of_ours_ends_it_too(self) -> None:
        stage = Stage("ab", breaker={"failure_threshold": 1})
        walk = stage.begin()
        walk.asks("a")
        walk.fails("internal")
        walk.gives_up()
        assert stage.state("a") is State.CLOSED
        assert stage.member("a").metrics.failures == 1


class TestContextLength:
    """Rule 11."""

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
    """Rule 13."""

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
        Stage("ab").begin(needs=asking).asks("a")
        assert asking.looks == []


class TestLeftOut:
    def test_what_a_backend_was_not_told_is_a_fact_and_in_the_trail(self) -> None:
        walk = Stage("ab").begin()
        attempt = walk.asks("a")
        attempt.left_out = ("seed",)
        walk.answers()
        assert [(fact.backend, fact.fields) for fact in walk.told(FieldsLeftOut)] == [("a", ("seed",))]
        entry = walk.dispatch.trail[0]
        assert isinstance(entry, AttemptEntry)
        assert entry.left_out == ("seed",)

    def test_where_there_is_nothing_there_is_no_fact(self) -> None:
        walk = Stage("ab").begin()
        walk.asks("a")
        walk.answers()
        assert walk.told(FieldsLeftOut) == []


class TestAfterContent:
    """Rule 12."""

    def test_nobody_else_is_asked(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.commits()
        walk.fails("server_error", in_stream=True)
        error = walk.gives_up()
        assert type(error) is StreamInterrupted
        assert [cause.kind for cause in error.causes] == [FailureKind.SERVER_ERROR]


class TestEmpty:
    """Rule 10."""

    def test_if_everybody_ended_empty_but_properly_the_last_is_the_answer(self) -> None:
        stage = Stage("ab", count=1)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("empty", terminal=True)
        last = walk.asks("b")
        walk.fails("empty", terminal=True)
        assert walk.accepts_empty() is last
        assert stage.pool.metrics.answered == 1
        assert [entry.outcome for entry in walk.dispatch.trail if isinstance(entry, AttemptEntry)] == [
            "empty",
            "refused",
        ]

    def test_what_a_member_said_before_does_not_matter(self) -> None:
        stage = Stage("a")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error")
        walk.rests(0.5)
        walk.asks("a")
        walk.fails("empty", terminal=True)
        walk.accepts_empty()

    @pytest.mark.parametrize("first", [("auth", {}), ("empty", {"terminal": False})])
    def test_one_that_ended_otherwise_makes_it_a_failure(self, first: tuple[str, dict[str, bool]]) -> None:
        kind, more = first
        stage = Stage("ab", count=1)
        walk = stage.begin()
        walk.asks("a")
        walk.fails(kind, **more)
        walk.asks("b")
        walk.fails("empty", terminal=True)
        assert type(walk.gives_up()) is AllBackendsFailed

    def test_it_is_a_refusal_and_not_counted(self) -> None:
        stage = Stage("ab", breaker={"failure_threshold": 1})
        walk = stage.begin()
        walk.asks("a")
        walk.fails("empty", terminal=True)
        assert stage.state("a") is State.CLOSED
        assert stage.member("a").metrics.refused == 1


class TestCommitAndSettle:
    def test_first_content_closes_a_probed_circuit(self) -> None:
        stage = Stage("a")
        stage.open("a")
        stage.advance(30)
        walk = stage.begin()
        walk.asks("a")
        assert stage.pool.quiet_since == stage.now
        walk.commits()
        assert stage.state("a") is State.CLOSED
        assert len(walk.told(BreakerClosed)) == len(walk.told(ProbeSettled)) == 1

    def test_the_closer_failing_later_opens_again(self) -> None:
        stage = Stage("a")
        stage.open("a")
        stage.advance(30)
        walk = stage.begin()
        walk.asks("a")
        walk.commits()
        walk.fails("truncated")
        assert stage.state("a") is State.OPEN
        assert len(walk.told(BreakerOpened)) == len(walk.told(ProbeSettled)) == 1

    def test_a_failed_probe_opens_again_and_wakes_the_waiters(self) -> None:
        stage = Stage("ab")
        stage.open("a")
        stage.advance(30)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("timeout", after=60)
        (opened,) = walk.told(BreakerOpened)
        assert (opened.failures, opened.recovery) == (1, 240.0)
        assert stage.pool.quiet_since == stage.now
        assert len(walk.told(ProbeSettled)) == 1

    @pytest.mark.parametrize("ends", ["abandoned", "left", "refused"])
    def test_a_probe_without_blame_hands_its_permit_back(self, ends: str) -> None:
        stage = Stage("a")
        stage.open("a")
        stage.advance(30)
        walk = stage.begin()
        walk.asks("a")
        if ends == "abandoned":
            walk.is_abandoned()
        elif ends == "left":
            walk.leaves()
        else:
            walk.fails("invalid_request")
        assert len(walk.told(ProbeSettled)) == 1
        assert stage.state("a") is State.HALF_OPEN
        stage.begin().asks("a")

    def test_switching_the_breaker_off_closes_at_the_next_attempt(self) -> None:
        stage = Stage("a")
        stage.open("a")
        stage.set(breaker={"enabled": False})
        walk = stage.begin()
        walk.asks("a")
        assert len(walk.told(BreakerClosed)) == 1

    def test_a_failure_after_content_belongs_to_the_endings(self) -> None:
        stage = Stage("a")
        for _ in range(20):
            stage.begin().asks("a")
        for _ in range(3):
            walk = stage.begin()
            walk.asks("a")
            walk.commits()
            walk.fails("truncated")
        assert stage.state("a") is State.OPEN

    def test_the_end_of_a_unary_answer_is_no_ending(self) -> None:
        stage = Stage("a")
        for _ in range(20):
            walk = stage.begin(stream=False)
            walk.asks("a")
            walk.answers()
        for _ in range(3):
            walk = stage.begin()
            walk.asks("a")
            walk.commits()
            walk.fails("stall")
        assert stage.state("a") is State.OPEN

    def test_the_end_of_a_stream_is_one(self) -> None:
        stage = Stage("a")
        for _ in range(20):
            walk = stage.begin()
            walk.asks("a")
            walk.answers()
        for _ in range(3):
            walk = stage.begin()
            walk.asks("a")
            walk.commits()
            walk.fails("stall")
        assert stage.state("a") is State.CLOSED

    def test_an_attempt_is_settled_once(self) -> None:
        stage = Stage("a")
        walk = stage.begin()
        walk.asks("a")
        walk.answers()
        walk.settle(failure("reset"))
        walk.settle(Abandoned())
        metrics = stage.member("a").metrics
        assert (metrics.successes, metrics.failures, metrics.cancelled) == (1, 0, 0)

    def test_leaving_settles_what_is_left_and_may_be_done_twice(self) -> None:
        stage = Stage("a")
        walk = stage.begin()
        walk.asks("a")
        walk.leaves()
        walk.leaves()
        metrics = stage.member("a").metrics
        assert (metrics.cancelled, metrics.in_flight) == (1, 0)
        assert (stage.pool.metrics.cancelled, stage.pool.metrics.in_flight) == (1, 0)
        (abandoned,) = walk.told(AttemptAbandoned)
        assert abandoned.message == "the caller left"

    def test_a_request_ends_once(self) -> None:
        stage = Stage("a")
        walk = stage.begin()
        walk.asks("a")
        walk.answers()
        walk.dispatch.answered(stage.now)
        walk.dispatch.failed(stage.now)
        walk.leaves()
        metrics = stage.pool.metrics
        assert (metrics.answered, metrics.failed, metrics.cancelled) == (1, 0, 0)
        assert len(walk.told(RequestEnded)) == 1

    def test_a_failed_request_is_failed(self) -> None:
        stage = Stage("a")
        walk = stage.begin()
        walk.asks_in_turn("a")
        walk.dispatch.failed(stage.now)
        walk.dispatch.answered(stage.now)
        walk.leaves()
        metrics = stage.pool.metrics
        assert (metrics.answered, metrics.failed, metrics.cancelled) == (0, 1, 0)

    def test_an_answer_from_another_member_has_failed_over(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks_in_turn("a")
        walk.asks("b")
        walk.answers()
        assert stage.pool.metrics.failed_over == 1
        (ended,) = walk.told(RequestEnded)
        assert (ended.result, ended.backend, ended.attempts, ended.failed_over) == ("answered", "b", 2, True)

    def test_an_answer_at_the_second_attempt_has_not(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("reset")
        walk.rests(0.5)
        walk.asks("a")
        walk.answers()
        assert stage.pool.metrics.failed_over == 0

    def test_tokens_go_to_metrics_and_window(self) -> None:
        stage = Stage("a")
        walk = stage.begin()
        walk.asks("a")
        walk.answers(Tokens(100, 50, True))
        a = stage.member("a")
        assert (a.metrics.input_tokens, a.metrics.output_tokens, a.metrics.estimated_tokens) == (100, 50, 150)
        assert a.window.tpm(stage.now) == 150

    def test_visible_tokens_correct_a_streams_evidence(self) -> None:
        stage = Stage("a")
        walk = stage.begin()
        attempt = walk.asks("a")
        walk.commits()
        stage.advance(10)
        assert attempt.evidence is not None
        attempt.evidence.content(stage.now, 100)
        walk.answers(Tokens(1, 900, False, visible=500))
        assert stage.member("a").window.serving_rate(stage.now) == 3000

    def test_without_a_count_of_them_the_estimate_stays(self) -> None:
        stage = Stage("a")
        walk = stage.begin()
        attempt = walk.asks("a")
        walk.commits()
        stage.advance(10)
        assert attempt.evidence is not None
        attempt.evidence.content(stage.now, 500)
        walk.answers(Tokens(1, 900, True))
        assert stage.member("a").window.serving_rate(stage.now) == 3000

    def test_a_unary_answer_is_no_evidence(self) -> None:
        stage = Stage("a")
        walk = stage.begin(stream=False)
        attempt = walk.asks("a")
        stage.advance(60)
        walk.commits()
        assert attempt.evidence is None
        walk.answers(Tokens(100, 9000, False, visible=9000))
        assert stage.member("a").window.serving_rate(stage.now) is None

    def test_malformed_events_are_counted(self) -> None:
        stage = Stage("a")
        walk = stage.begin()
        walk.asks("a").malformed_events = 2
        walk.answers()
        assert stage.member("a").metrics.malformed_events == 2

    def test_the_failures_status_is_the_attempts_unless_one_came_before(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        first = walk.asks("a")
        walk.fails("auth", status=401)
        second = walk.asks("b")
        second.status = 200
        walk.fails("auth", status=401)
        assert (first.status, second.status) == (401, 200)


class TestFacts:
    def test_one_request_is_told_in_order(self) -> None:
        stage = Stage("ab", members={"b": {"timeouts": replace(Timeouts(), first_content=5.0)}})
        walk = stage.begin()
        walk.asks_in_turn("a")
        walk.asks("b")
        walk.commits()
        walk.answers()
        events = walk.dispatch.take_events()
        assert [type(event) for event in events] == [
            AttemptStarted,
            AttemptFailed,
            ConfigurationWarning,
            AttemptStarted,
            FirstContent,
            AttemptSucceeded,
            RequestEnded,
        ]
        assert {(event.at, event.request) for event in events} == {(stage.now, 1)}
        assert walk.dispatch.take_events() == []

    def test_a_start_says_which_attempt_of_how_many_it_is(self) -> None:
        stage = Stage("a", "roundrobin", count=3)
        walk = stage.begin()
        walk.asks("a")
        (started,) = walk.told(AttemptStarted)
        assert (started.attempt, started.allowed, started.policy, started.probe) == (
            1,
            3,
            "roundrobin",
            False,
        )

    def test_a_failure_tells_the_limit_it_ran_under(self) -> None:
        stage = Stage("a", members={"a": {"timeouts": replace(Timeouts(), first_content=5.0)}})
        walk = stage.begin()
        walk.asks("a")
        walk.fails("timeout", after=5.003)
        (failed,) = walk.told(AttemptFailed)
        assert (failed.limit, round(failed.duration, 3), failed.allowed) == (5.0, 5.003, 2)

    @pytest.mark.parametrize(("kind", "warns"), [("auth", 1), ("model_not_found", 1), ("quota", 0)])
    def test_what_only_an_operator_can_mend_is_a_warning(self, kind: str, warns: int) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks_in_turn("a", kind=kind)
        assert len(walk.told(ConfigurationWarning)) == warns

    def test_a_success_tells_the_rate_where_a_floor_is_set(self) -> None:
        stage = Stage("ab", members={"a": {"tpm_threshold": 10}})
        for name in "ab":
            stage.slow(name, 60)
        walk = stage.begin()
        walk.asks("a")
        walk.answers()
        stage.member("a").bench(stage.now, 5, 900.0)
        other = stage.begin()
        other.asks("b")
        other.answers()
        assert [event.rate for event in walk.told(AttemptSucceeded)] == [60.0]
        assert [event.rate for event in other.told(AttemptSucceeded)] == [None]

    def test_an_opening_tells_how_many_failures_and_for_how_long(self) -> None:
        stage = Stage("a", count=3)
        walk = stage.begin()
        for pause in (0.5, 1.0):
            walk.asks("a")
            walk.fails("reset")
            walk.rests(pause)
        walk.asks("a")
        walk.fails("reset")
        (opened,) = walk.told(BreakerOpened)
        assert (opened.backend, opened.failures, opened.recovery) == ("a", 3, 30.0)


def test_the_trail_has_every_attempt_and_every_skip_in_order() -> None:
    stage = Stage("abc")
    stage.open("a")
    stage.advance(1)
    walk = stage.begin()
    walk.asks("b")
    walk.fails("auth", after=2.0, status=401)
    walk.asks("c")
    stage.advance(0.25)
    walk.commits()
    assert walk.dispatch.trail == (
        SkipEntry("a", SkipReason.CIRCUIT_OPEN, 29.0),
        AttemptEntry("b", 1, "auth", 401, 0.0, 2.0, None, message="says auth"),
        AttemptEntry("c", 1, "running", None, 2.0, None, 0.25),
    )
    assert [cause.backend for cause in walk.dispatch.causes] == ["b"]


def test_errors_carry_the_trail() -> None:
    stage = Stage("a")
    walk = stage.begin()
    walk.asks_in_turn("a")
    assert walk.gives_up().trail == walk.dispatch.trail
    stage.open("a")
    unavailable = stage.begin().gives_up()
    assert [entry.backend for entry in unavailable.trail] == ["a"]


def test_a_settled_success_needs_no_next_step() -> None:
    stage = Stage("a")
    walk = stage.begin()
    attempt = walk.asks("a")
    walk.answers()
    assert attempt.outcome == Success()
    assert repr(walk.dispatch) == "<Dispatch 1 of company, 1 attempts>"


def test_a_unary_answer_leaves_no_ending_to_be_waited_for() -> None:
    stage = Stage("a")
    for _ in range(20):
        walk = stage.begin(stream=False)
        walk.asks("a")
        walk.answers()
    for _ in range(3):
        walk = stage.begin()
        walk.asks("a")
        walk.commits()
        walk.fails("truncated")
    assert stage.state("a") is State.OPEN


class TestOperators:
    def test_a_drained_member_is_asked_by_nobody_not_even_as_a_probe(self) -> None:
        stage = Stage("ab")
        stage.open("a")
        stage.advance(29)
        stage.member("a").health.drained = True
        stage.member("b").problem = SkipReason.NO_KEY
        error = stage.begin().gives_up()
        assert isinstance(error, NoBackendAvailable)
        assert [skip.reason for skip in error.skips] == [SkipReason.DRAINED, SkipReason.NO_KEY]

    def test_one_that_is_drained_during_its_back_off_is_not_asked_again(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error")
        stage.member("a").health.drained = True
        walk.asks("b")
        walk.answers()

    def test_a_circuit_forced_open_is_neither_waited_for_nor_probed_early(self) -> None:
        stage = Stage("ab")
        stage.member("a").breaker.force(State.OPEN, stage.now)
        stage.member("b").benched_until = stage.now + 5
        walk = stage.begin()
        walk.rests(5.0)
        walk.asks("b")
        stage.member("b").breaker.force(State.OPEN, stage.now)
        walk.fails("auth")
        assert isinstance(walk.gives_up(), AllBackendsFailed)
        stage.advance(1e6)
        assert stage.begin().gives_up().retry_after is None

    def test_time_asking_is_from_each_start_to_its_first_content_or_end(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        assert walk.dispatch.attempts == 0
        walk.asks("a")
        walk.fails("auth", after=2.0)
        walk.asks("b")
        stage.advance(3.0)
        assert walk.dispatch.time_asking(stage.now) == 5.0
        walk.commits()
        stage.advance(4.0)
        assert walk.dispatch.time_asking(stage.now) == 5.0
        assert walk.dispatch.attempts == 2


class TestUnfit:
    """A member whose wire format cannot say the request has not been asked."""

    def test_the_next_is_asked_and_is_the_first_that_was(self) -> None:
        walk = Stage("abc").begin()
        walk.asks("a")
        walk.fails("unfit")
        walk.asks("b")
        walk.fails("invalid_request", status=400)
        error = walk.gives_up()
        assert isinstance(error, RequestRejected)
        assert (error.blamed.backend, error.status) == ("b", 400)

    def test_what_failed_after_it_is_no_fault_of_the_request(self) -> None:
        walk = Stage("ab").begin()
        walk.asks("a")
        walk.fails("unfit")
        walk.asks("b")
        walk.fails("auth", status=401)
        error = walk.gives_up()
        assert type(error) is AllBackendsFailed
        assert [cause.kind for cause in error.causes] == ["unfit", "auth"]

    @pytest.mark.parametrize("said", [{"status": 400}, {"in_stream": True}])
    def test_who_was_sent_it_and_found_it_unfit_was_the_first_that_was_asked(
        self, said: dict[str, Any]
    ) -> None:
        walk = Stage("abc").begin()
        walk.asks("a")
        walk.fails("unfit", **said)
        walk.asks("b")
        walk.fails("invalid_request", status=400)
        walk.asks("c")

    def test_if_nobody_can_say_it_the_request_is_rejected(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks_in_turn("a", "b", kind="unfit")
        error = walk.gives_up()
        assert isinstance(error, RequestRejected)
        assert (error.blamed.backend, error.status, error.body) == ("a", None, None)
        assert stage.member("a").metrics.refused == 1
        assert stage.member("a").breaker.failures(stage.now, stage.pool.settings.breaker) == 0
