"""An answer that breaks off after it was shown, and how the walk goes on with it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.stage import Stage, Text, Walk, takes
from understudy.core.breaker import State
from understudy.core.broken_answer import BrokenAnswer
from understudy.core.events import Recovered, RecoveryStarted
from understudy.core.recovery import Way
from understudy.errors import (
    AllBackendsFailed,
    AttemptEntry,
    Cause,
    FailureKind,
    RequestError,
    StreamInterrupted,
)

M = {"model": "m"}


def house(names: str = "ab", **options: Any) -> Stage:
    """All of one model."""
    members = options.pop("members", {})
    recovery = {"scope": "same_model", **options.pop("recovery", {})}
    every = {name: {**M, **members.get(name, {})} for name in names}
    return Stage(names, members=every, recovery=recovery, **{"delay": 1.0, **options})


def broken(stage: Stage, kind: str = "truncated", **more: Any) -> Walk:
    """A walk whose first answer, of ``a``, has just broken off."""
    walk = stage.begin()
    walk.asks("a")
    walk.commits()
    walk.fails(kind, **more)
    return walk


def interrupted(walk: Walk) -> RequestError:
    error = walk.gives_up()
    assert isinstance(error, StreamInterrupted)
    return error


class TestAfterContent:
    """Rule 1, where recovery is off."""

    def test_nobody_else_is_asked(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.commits()
        walk.fails("server_error", in_stream=True)
        error = walk.gives_up()
        assert type(error) is StreamInterrupted
        assert [cause.kind for cause in error.causes] == [FailureKind.SERVER_ERROR]


class TestBreak:
    @pytest.mark.parametrize("kind", ["truncated", "stall", "protocol", "server_error", "rate_limited"])
    def test_another_of_the_same_model_goes_on_at_once(self, kind: str) -> None:
        stage = house("abc", members={"b": {"model": "other"}})
        walk = broken(stage, kind, after=5.0)
        assert walk.asks("c").way is Way.REPLAY
        stage.advance(2.0)
        walk.resumes()
        walk.answers()
        (started,) = walk.told(RecoveryStarted)
        assert (started.broken, started.tokens, started.backend, started.way) == ("a", 40, "c", "replay")
        (recovered,) = walk.told(Recovered)
        assert (recovered.backend, recovered.after) == ("c", 2.0)
        assert stage.pool.metrics.recovered == stage.pool.metrics.failed_over == 1
        entries = [entry for entry in walk.dispatch.trail if isinstance(entry, AttemptEntry)]
        assert [entry.recovery for entry in entries] == ["", "replay"]
        assert [stage.member(name).metrics.recovered for name in "abc"] == [0, 0, 1]

    def test_any_goes_on_if_that_is_allowed(self) -> None:
        walk = broken(house(members={"b": {"model": "other"}}, recovery={"scope": "any"}))
        walk.asks("b")

    def test_the_same_member_goes_on_after_its_back_off_if_there_is_no_other(self) -> None:
        stage = house("ab", members={"b": {"model": "other"}})
        walk = broken(stage, "stall")
        walk.rests(1.0)
        assert walk.asks("a").number == 2

    def test_also_without_a_back_off_the_one_that_broke_it_off_comes_last(self) -> None:
        walk = broken(house("ab", delay=0.0))
        walk.asks("b")
        walk.fails("auth")
        walk.asks("a")

    def test_off_nobody_does(self) -> None:
        error = interrupted(broken(house(recovery={"scope": "off"})))
        assert error.message == "a broke off after its first content: says truncated"
        assert str(error.__cause__) == "a: truncated (says truncated)"
        assert error.retryable

    @pytest.mark.parametrize("kind", ["content_filter", "invalid_request", "internal", "cancelled"])
    def test_nobody_does_where_the_kind_allows_no_other(self, kind: str) -> None:
        interrupted(broken(house(), kind))

    def test_nobody_does_where_the_operator_allows_no_other(self) -> None:
        interrupted(broken(house(status_codes=frozenset({503})), "server_error", in_stream=True))
        interrupted(broken(house(on_network_errors=False), "stall"))
        interrupted(broken(house(on_network_errors=False), "truncated"))
        broken(house(on_network_errors=False), "server_error").asks("b")

    def test_nobody_does_where_it_can_not_be_matched(self) -> None:
        walk = house().begin()
        attempt = walk.asks("a")
        walk.arrives()
        walk.dispatch.show(attempt, Text(can_be_matched=False))
        walk.fails("truncated")
        interrupted(walk)

    def test_what_is_not_shown_yet_begins_anew(self) -> None:
        stage = house(members={"b": {"model": "other"}}, recovery={"scope": "off"})
        walk = stage.begin()
        walk.asks("a")
        walk.arrives()
        walk.fails("stall")
        assert walk.asks("b").way is None
        walk.arrives()
        walk.fails("truncated")
        walk.rests(1.0)
        walk.asks("b")
        walk.fails("auth")
        walk.asks("a")  # a stall makes it the last resort
        walk.fails("auth")
        assert isinstance(walk.gives_up(), AllBackendsFailed)


class TestTries:
    def test_each_member_has_its_attempts_once_more_and_those_that_failed_come_last(self) -> None:
        stage = house("ab", breaker={"enabled": False})
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error")
        walk.rests(1.0)
        walk.asks("a")
        walk.commits()
        walk.fails("truncated")
        walk.asks("b")
        walk.fails("reset")
        walk.rests(1.0)
        walk.asks("b")
        walk.fails("reset")
        walk.rests(1.0)
        walk.asks("a")
        walk.fails("reset")
        walk.rests(4.0)
        assert walk.asks("a").number == 4
        walk.fails("reset")
        error = interrupted(walk)
        assert [cause.backend for cause in error.causes] == ["a", "a", "b", "b", "a", "a"]
        assert error.message == "a broke off after its first content: says truncated" + "".join(
            f"; {name} could not go on: says reset" for name in "bbaa"
        )

    def test_a_second_break_is_no_new_grant_but_a_new_clock(self) -> None:
        stage = house("ab", breaker={"enabled": False}, recovery={"timeout": 30.0})
        walk = broken(stage)
        assert walk.dispatch.deadline.at == stage.now + 30
        walk.asks("b")
        walk.resumes()
        walk.fails("truncated", after=100.0)
        assert walk.dispatch.deadline.at == stage.now + 30
        walk.asks("a")
        walk.fails("reset", after=8.0)
        walk.asks("b")
        walk.fails("reset")
        walk.rests(2.0)
        assert walk.asks("a").number == 3
        walk.fails("reset")
        interrupted(walk)

    def test_the_error_tells_the_last_break_and_what_came_after_it(self) -> None:
        walk = broken(house("ab"), "truncated")
        walk.asks("b")
        walk.resumes()
        walk.fails("content_filter", in_stream=True)
        error = interrupted(walk)
        assert error.message == "b broke off after its first content: says content_filter"

    def test_a_mismatch_blames_nobody_and_lets_another_try(self) -> None:
        stage = house("abc")
        walk = broken(stage)
        walk.asks("b")
        walk.arrives()
        walk.fails("mismatch")
        assert stage.member("b").metrics.refused == 1
        walk.asks("c")
        walk.fails("mismatch")
        walk.rests(1.0)
        walk.asks("a")
        walk.fails("mismatch")
        interrupted(walk)

    def test_a_benched_member_is_waited_for(self) -> None:
        stage = house("ab")
        walk = broken(stage)
        walk.asks("b")
        walk.fails("rate_limited", retry_after=5.0)
        stage.member("a").bench(stage.now, 10, 900)
        walk.rests(5.0)
        walk.asks("b")

    def test_unhealthy_members_are_passed_over(self) -> None:
        stage = house("abc")
        stage.open("b")
        broken(stage).asks("c")


class TestCircuit:
    """A pool whose every circuit is open by the time of a break."""

    def opened(self, names: str = "a", **options: Any) -> tuple[Stage, Walk]:
        stage = house(names, **options)
        walk = stage.begin()
        walk.asks("a")
        walk.commits()
        for name in names:
            stage.open(name)
        walk.fails("truncated")
        return stage, walk

    def test_its_early_probe_is_waited_for_and_goes_on(self) -> None:
        stage, walk = self.opened()
        assert stage.state("a") is State.OPEN
        walk.rests(5.0)
        attempt = walk.asks("a")
        assert (attempt.permit.probe, attempt.way) == (True, Way.REPLAY)
        walk.resumes()
        walk.answers()
        assert stage.state("a") is State.CLOSED

    def test_of_several_the_first_is_probed(self) -> None:
        _, walk = self.opened("ab")
        walk.rests(5.0)
        assert walk.asks("b").permit.probe, "the one that broke it off comes last"

    def test_another_request_may_find_out_meanwhile(self) -> None:
        stage, walk = self.opened()
        walk.rests(5.0)
        other = stage.begin()
        other.asks("a")
        walk.waits()
        other.commits()
        walk.asks("a")

    def test_who_comes_back_too_late_is_not_waited_for(self) -> None:
        stage, walk = self.opened(recovery={"timeout": 4.9})
        assert interrupted(walk).retry_after == stage.pool.settings.breaker.recovery_timeout
        stage, walk = self.opened(wait_for_capacity=4.9)
        interrupted(walk)

    def test_nor_who_is_kept_open_by_an_operator(self) -> None:
        stage = house("a")
        walk = stage.begin()
        walk.asks("a")
        walk.commits()
        stage.member("a").breaker.force(State.OPEN, stage.now)
        walk.fails("truncated")
        assert interrupted(walk).retry_after is None

    def test_a_first_attempt_does_not_wait_for_it(self) -> None:
        stage = house("a")
        stage.open("a")
        stage.begin().gives_up()


class TestDeadline:
    def test_it_is_the_breaks_own(self) -> None:
        stage = house("ab", request_timeout=10.0, recovery={"timeout": 3.0})
        walk = stage.begin()
        walk.asks("a")
        walk.commits()
        walk.fails("truncated", after=100.0)
        walk.asks("b")
        walk.fails("reset", after=2.9)
        deadline = walk.dispatch.deadline
        assert (deadline.at, deadline.setting) == (1103.0, "recovery_timeout_ms")
        stage.advance(0.1)
        interrupted(walk)

    def test_an_attempt_that_it_cuts_short_ends_the_walk(self) -> None:
        walk = broken(house())
        walk.asks("b")
        walk.is_abandoned()
        interrupted(walk)


class TestPrefill:
    def refused(self, kind: str = "invalid_request") -> tuple[Stage, Walk]:
        stage = house("ab", members={"b": {"supports": takes("prefill")}}, count=1)
        walk = broken(stage)
        assert walk.asks("b").way is Way.CONTINUATION
        walk.fails(kind, status=400)
        return stage, walk

    @pytest.mark.parametrize("kind", ["invalid_request", "unfit"])
    def test_who_refuses_one_is_asked_for_a_replay_at_once(self, kind: str) -> None:
        stage, walk = self.refused(kind)
        assert walk.asks("b").way is Way.REPLAY
        walk.resumes()
        walk.answers()
        assert stage.member("b").health.refuses_prefill

    def test_the_refusal_is_not_the_root_cause(self) -> None:
        _, walk = self.refused()
        walk.asks("b")
        walk.fails("auth")
        walk.rests(1.0)
        walk.asks("a")
        walk.fails("auth")
        error = interrupted(walk)
        assert error.causes[0].backend == "a"
        assert error.message.startswith("a broke off")

    def test_another_failure_is_no_refusal(self) -> None:
        stage, walk = self.refused("server_error")
        assert not stage.member("b").health.refuses_prefill
        walk.rests(1.0)
        walk.asks("a")
        walk.fails("auth")
        interrupted(walk)


class TestMaxAttempts:
    def test_no_more_are_made_whoever_is_left(self) -> None:
        stage = Stage("abc", max_attempts=2)
        walk = stage.begin()
        walk.asks_in_turn("a", "b")
        error = walk.gives_up()
        assert isinstance(error, AllBackendsFailed)
        assert error.retry_after == 0.5

    def test_nor_by_recovery(self) -> None:
        interrupted(broken(house(max_attempts=1)))


class TestRetryBudget:
    def spent(self, names: str = "ab", **retry: Any) -> Stage:
        stage = Stage(names, breaker={"enabled": False}, delay=0.5, **retry)
        for _ in range(10):
            stage.pool.retries.spend(stage.now)
        return stage

    def test_exhausted_the_walk_moves_on(self) -> None:
        stage = self.spent(budget=0.0001)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error")
        walk.asks("b")
        walk.fails("server_error")
        error = walk.gives_up()
        assert error.retry_after == 10.0
        assert stage.pool.metrics.unretried == 1

    def test_a_last_resort_that_was_not_needed_is_not_missed(self) -> None:
        stage = self.spent(budget=0.0001)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("connect")
        walk.asks("b")
        walk.answers()
        assert stage.pool.metrics.unretried == 0
        walk = stage.begin()
        walk.asks_in_turn("a", "b", kind="connect")
        walk.gives_up()
        assert stage.pool.metrics.unretried == 1

    def test_nor_is_one_that_has_had_all_its_attempts(self) -> None:
        stage = self.spent(budget=0.0001, count=1)
        walk = stage.begin()
        walk.asks_in_turn("a", "b", kind="server_error")
        walk.gives_up()
        assert stage.pool.metrics.unretried == 0

    def test_of_a_broken_answer_the_caller_hears_when_to_come_back(self) -> None:
        stage = house("a", breaker={"enabled": False}, budget=0.0001)
        for _ in range(10):
            stage.pool.retries.spend(stage.now)
        error = interrupted(broken(stage))
        assert error.retry_after == 10.0
        assert stage.pool.metrics.unretried == 1

    def test_a_retry_spends_of_it(self) -> None:
        stage = Stage("a", breaker={"enabled": False}, budget=0.0001, delay=0.0)
        for _ in range(10):
            walk = stage.begin()
            walk.asks("a")
            walk.fails("server_error")
            walk.asks("a")
            walk.answers()
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error")
        assert isinstance(walk.gives_up(), AllBackendsFailed)

    def test_with_room_again_it_is_given_again(self) -> None:
        stage = self.spent("a", budget=0.0001)
        stage.advance(10.0)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error")
        walk.rests(0.5)
        walk.asks("a")

    def test_it_grows_with_the_requests(self) -> None:
        stage = self.spent("a", budget=0.2)
        for _ in range(4):
            stage.begin().leaves()
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error")
        walk.rests(0.5)

    def test_other_failures_do_not_make_the_caller_stay_away(self) -> None:
        stage = self.spent()
        walk = stage.begin()
        walk.asks_in_turn("a", "b")
        assert walk.gives_up().retry_after is None


def test_a_broken_answer_shows_whose_it_was() -> None:
    broken = BrokenAnswer(Cause("a", FailureKind.RESET, None, "reset"), 1, 1000.0)
    assert repr(broken) == "<BrokenAnswer by a>"
