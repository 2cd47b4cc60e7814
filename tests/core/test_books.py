"""What breaker, window, metrics and observers are told of a request's attempts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.stage import Stage
from understudy.core.books import Books
from understudy.core.breaker import State
from understudy.core.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    BreakerClosed,
    BreakerOpened,
    ConfigurationWarning,
    FirstContent,
    ProbeSettled,
    RequestEnded,
)
from understudy.core.outcome import Tokens
from understudy.core.settings import Timeouts


class TestEntries:
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


def test_books_show_what_nobody_has_taken_yet() -> None:
    assert repr(Books(Stage("a").pool, 7)) == "<Books of 7, 0 facts>"
