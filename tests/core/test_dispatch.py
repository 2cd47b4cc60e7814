"""One request's walk: its rules one by one. Any walks at all: `test_walks`."""

from __future__ import annotations

import pytest

from tests.core.stage import Stage, failure
from understudy.core.breaker import State
from understudy.core.events import (
    AttemptAbandoned,
    BackendSkipped,
    FieldsLeftOut,
    RequestEnded,
)
from understudy.core.outcome import Abandoned, Success
from understudy.errors import (
    AllBackendsFailed,
    AttemptEntry,
    DeadlineExceeded,
    NoBackendAvailable,
    SkipEntry,
    SkipReason,
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


class TestEmpty:
    """Rule 5."""

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
