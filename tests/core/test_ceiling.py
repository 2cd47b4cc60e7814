"""An operator's ceilings, and what each attempt takes of them (F70)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.stage import Asking, Stage, Walk, failure
from understudy.core.outcome import Abandoned, Tokens
from understudy.core.settings import Ceilings
from understudy.errors import NoBackendAvailable, SkipEntry, SkipReason


def stage(names: str = "ab", policy: str = "failover", **limits: int) -> Stage:
    """The first member has these ceilings."""
    limited = {names[0]: {"ceilings": Ceilings(**limits)}}
    return Stage(names, policy, members=limited, count=1, delay=0.0)


def asking(tokens: int, limit: int = 0) -> Any:
    return Asking(tokens=tokens, answer_limit=limit)


def passed_over(walk: Walk) -> list[tuple[str, float | None]]:
    return [(str(e.reason), e.until) for e in walk.dispatch.trail if isinstance(e, SkipEntry)]


class TestConcurrency:
    def test_one_more_than_the_ceiling_goes_elsewhere(self) -> None:
        house = stage(concurrency=2)
        first = house.begin()
        first.asks("a")
        house.begin().asks("a")
        third = house.begin()
        third.asks("b")
        assert passed_over(third) == [("concurrency", None)]
        first.answers()
        house.begin().asks("a")

    @pytest.mark.parametrize("outcome", ["fails", "is_abandoned"])
    def test_every_end_gives_the_place_back(self, outcome: str) -> None:
        house = stage(concurrency=1)
        walk = house.begin()
        walk.asks("a")
        if outcome == "fails":
            walk.fails("server_error")
        else:
            walk.is_abandoned()
        house.begin().asks("a")

    def test_an_early_probe_keeps_to_it(self) -> None:
        house = Stage("a", members={"a": {"ceilings": Ceilings(concurrency=1)}})
        running, other = house.begin(), house.begin()
        running.asks("a")
        house.open("a")
        house.advance(5.0)
        other.gives_up()
        running.fails("auth")
        assert house.begin().asks("a").permit.probe

    def test_a_retry_does_not_pass_it_either(self) -> None:
        house = Stage("ab", members={"a": {"ceilings": Ceilings(concurrency=1)}}, delay=1.0)
        walk = house.begin()
        walk.asks("a")
        walk.fails("server_error")
        house.begin().asks("a")
        walk.asks("b")


class TestRequests:
    def test_they_are_counted_over_the_last_minute(self) -> None:
        house = stage(requests=2)
        for _ in range(2):
            walk = house.begin()
            walk.asks("a")
            walk.answers()
        third = house.begin()
        third.asks("b")
        assert passed_over(third) == [("rpm_limit", 61.0)]
        house.advance(61)
        house.begin().asks("a")

    def test_failed_attempts_were_attempts(self) -> None:
        house = stage(requests=1)
        house.begin().asks_in_turn("a", kind="server_error")
        house.begin().asks("b")

    def test_what_was_never_sent_was_none(self) -> None:
        house = stage(requests=1)
        house.begin().asks_in_turn("a", kind="connect")
        house.begin().asks("a")


class TestTokens:
    def test_the_prompt_and_the_most_of_an_answer_are_reserved(self) -> None:
        house = stage(tokens=1000)
        house.begin(needs=asking(300, 400)).asks("a")
        other = house.begin(needs=asking(200, 101))
        other.asks("b")
        assert passed_over(other) == [("tpm_limit", 61.0)]
        house.begin(needs=asking(200, 100)).asks("a")

    def test_what_was_not_used_is_given_back_at_the_end(self) -> None:
        house = stage(tokens=1000)
        walk = house.begin(needs=asking(300, 700))
        walk.asks("a")
        house.begin(needs=asking(1)).asks("b")
        walk.answers(Tokens(310, 90, False, 90))
        house.begin(needs=asking(500, 101)).asks("b")
        house.begin(needs=asking(500, 100)).asks("a")

    def test_what_was_used_beyond_it_counts_too(self) -> None:
        house = stage(tokens=1000)
        walk = house.begin(needs=asking(100, 100))
        walk.asks("a")
        walk.answers(Tokens(100, 850, False, 850))
        assert house.member("a").health.tokens.total(house.now) == 950

    @pytest.mark.parametrize(
        ("kind", "kept"),
        [("server_error", 0), ("rate_limited", 0), ("connect", 0), ("timeout", 300), ("reset", 0)],
    )
    def test_a_failure_keeps_no_more_than_the_backend_may_have_read(self, kind: str, kept: int) -> None:
        house = stage(tokens=1000)
        walk = house.begin(needs=asking(300, 400))
        walk.asks("a")
        walk.settle(failure(kind))
        assert house.member("a").health.tokens.total(house.now) == kept

    def test_a_caller_who_left_keeps_the_prompt_or_what_had_come(self) -> None:
        house = stage(tokens=1000)
        for tokens, kept in ((None, 300), (Tokens(310, 20, True), 330)):
            walk = house.begin(needs=asking(300, 400))
            walk.asks("a")
            walk.settle(Abandoned(), tokens)
            assert house.member("a").health.tokens.total(house.now) == kept
            house.advance(61)

    def test_a_request_larger_than_the_ceiling_goes_when_nothing_else_does(self) -> None:
        house = stage(tokens=1000)
        house.begin(needs=asking(5000)).asks("a")
        house.begin(needs=asking(1)).asks("b")
        house.advance(61)
        house.begin(needs=asking(5000)).asks("a")

    def test_fifty_at_once_overshoot_by_nothing(self) -> None:
        house = stage(tokens=10_000)
        asked = []
        for _ in range(50):
            walk = house.begin(needs=asking(300, 200))
            asked.append(walk.dispatch.next_step(house.now).member.name)  # type: ignore[union-attr]
        assert asked.count("a") == 20

    def test_a_long_stream_settles_after_its_reservation_has_left(self) -> None:
        house = stage(tokens=1000)
        walk = house.begin(needs=asking(300, 400))
        walk.asks("a")
        walk.commits()
        house.advance(100)
        walk.answers(Tokens(300, 100, False, 100))
        assert house.member("a").health.tokens.total(house.now) == 0

    def test_what_a_long_stream_used_beyond_it_counts_from_its_end(self) -> None:
        house = stage(tokens=1000)
        walk = house.begin(needs=asking(300, 400))
        walk.asks("a")
        walk.commits()
        house.advance(100)
        walk.answers(Tokens(300, 900, False, 900))
        assert house.member("a").health.tokens.total(house.now) == 500


class TestTakeovers:
    def house(self) -> Stage:
        return Stage("ab", members={"b": {"ceilings": Ceilings(takeovers=2)}}, count=1, wait_for_capacity=0)

    def test_only_so_many_a_minute_are_taken_over_from_a_member_that_failed(self) -> None:
        house = self.house()
        for _ in range(2):
            walk = house.begin()
            walk.asks_in_turn("a", kind="reset")
            walk.asks("b")
            walk.answers()
        third = house.begin()
        third.asks_in_turn("a", kind="reset")
        assert passed_over(third) == []
        error = third.gives_up()
        assert error.retry_after is None or error.retry_after <= 61
        assert passed_over(third) == [("failover_budget", 61.0)]
        house.advance(61)
        walk = house.begin()
        walk.asks_in_turn("a", kind="reset")
        walk.asks("b")

    @pytest.mark.parametrize("ill", ["open", "benched", "probing"])
    def test_nor_from_one_that_is_passed_over_for_its_health(self, ill: str) -> None:
        house = self.house()
        if ill == "benched":
            house.member("a").bench(house.now, 500.0, 900.0)
        else:
            house.open("a")
            house.advance(31 if ill == "probing" else 0)
        if ill == "probing":
            house.begin().asks("a")
        for _ in range(2):
            walk = house.begin()
            walk.asks("b")
            walk.answers()
        third = house.begin()
        error = third.gives_up()
        assert isinstance(error, NoBackendAvailable)
        assert error.retryable
        assert ("failover_budget", 61.0) in passed_over(third)

    def test_its_own_requests_are_none(self) -> None:
        house = Stage("ba", members={"b": {"ceilings": Ceilings(takeovers=1)}})
        for _ in range(5):
            walk = house.begin()
            walk.asks("b")
            walk.answers()

    def test_nor_does_a_budget_that_is_used_up_stand_in_their_way(self) -> None:
        house = Stage("ab", "roundrobin", members={"b": {"ceilings": Ceilings(takeovers=1)}}, count=1)
        walk = house.begin()
        walk.asks_in_turn("a", kind="reset")
        walk.asks("b")
        walk.answers()
        house.begin().asks("a")
        house.begin().asks("b")

    def test_a_member_at_its_ceiling_is_no_sick_one(self) -> None:
        limits = {"a": {"ceilings": Ceilings(requests=1)}, "b": {"ceilings": Ceilings(takeovers=1)}}
        house = Stage("ab", members=limits)
        for expected in "abbb":
            walk = house.begin()
            walk.asks(expected)
            walk.answers()


def test_without_ceilings_nothing_is_counted() -> None:
    house = Stage("a")
    walk = house.begin()
    assert walk.asks("a").reservation is None
    walk.answers(Tokens(10, 10, False))
    assert house.member("a").health.tokens.total(house.now) == 0
    assert house.member("a").health.asked.total(house.now) == 0


def test_when_all_are_at_their_ceilings_the_error_says_until_when() -> None:
    house = Stage("a", members={"a": {"ceilings": Ceilings(requests=1)}}, wait_for_capacity=20)
    walk = house.begin()
    walk.asks("a")
    walk.answers()
    error = house.begin().gives_up()
    assert isinstance(error, NoBackendAvailable)
    assert error.skips == (SkipEntry("a", SkipReason.RPM_LIMIT, 61.0),)
    assert error.retry_after == 61.0
    assert error.retryable
