"""May this member be asked now? The reason shown is the one that lasts longest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.stage import Asking, Stage, takes
from understudy.core import eligibility
from understudy.core.breaker import State
from understudy.core.eligibility import Skip
from understudy.core.fit import Fit
from understudy.errors import SkipReason


def check(
    stage: Stage, name: str = "a", larger_than: int | None = None, fit: Fit | None = None
) -> Skip | None:
    return eligibility.check(stage.member(name), stage.now, stage.pool.settings, larger_than, fit)


def test_a_healthy_member_may_be_asked() -> None:
    assert check(Stage()) is None


def everything_wrong() -> Stage:
    """One member, with every reason at once."""
    stage = Stage(
        "a",
        problems={"a": SkipReason.NO_KEY},
        members={"a": {"context_limit": 8000, "tpm_threshold": 100, "supports": takes()}},
    )
    stage.open("a")
    stage.slow("a", 50)
    stage.member("a").benched_until = stage.now + 10
    return stage


def test_the_reasons_come_in_the_order_of_how_long_they_last() -> None:
    stage = everything_wrong()
    member, now = stage.member("a"), stage.now
    assert check(stage, larger_than=8000) == Skip(SkipReason.NO_KEY)
    member.problem = None
    fit = Fit(Asking(takes("images")), stage.pool.members)
    assert check(stage, larger_than=8000, fit=fit) == Skip(SkipReason.NO_IMAGES)
    assert check(stage, larger_than=8000) == Skip(SkipReason.CONTEXT_LENGTH)
    assert check(stage) == Skip(SkipReason.BENCHED, now + 30)
    member.benched_until = now
    assert check(stage) == Skip(SkipReason.CIRCUIT_OPEN, now + 30)
    stage.set(breaker={"enabled": False})
    member.exhaust(now, 60.0)
    assert check(stage) == Skip(SkipReason.PROVIDER_LIMIT, now + 60)
    member.exhaust(now, 0.0)
    member.health.silence.until = now + 5
    assert check(stage) == Skip(SkipReason.SILENT, now + 5)
    member.health.silence.forget()
    assert check(stage) == Skip(SkipReason.LOW_TPM, None, 50.0)


def test_the_limit_that_a_member_sets_itself_needs_its_place_in_the_window() -> None:
    stage = Stage("a", members={"a": {"context_limit": 850}})
    member = stage.member("a")
    fit = Fit(Asking(tokens=900), stage.pool.members)
    assert check(stage, fit=fit) is None
    member.settings = replace(member.settings, answer_limit=86)
    assert check(stage, fit=fit) == Skip(SkipReason.CONTEXT_LENGTH)


@pytest.mark.parametrize("problem", [SkipReason.MISSING, SkipReason.NO_KEY])
def test_an_unusable_member_is_passed_over_with_its_reason(problem: SkipReason) -> None:
    assert check(Stage("a", problems={"a": problem})) == Skip(problem)


@pytest.mark.parametrize(
    ("limit", "larger_than", "fits"),
    [(8001, 8000, True), (8000, 8000, False), (7999, 8000, False), (None, 8000, True), (1, 0, True)],
)
def test_only_a_larger_or_unknown_window_fits(limit: int | None, larger_than: int, fits: bool) -> None:
    stage = Stage("a", members={"a": {"context_limit": limit}})
    assert eligibility.is_larger(limit, larger_than) is fits
    assert (check(stage, larger_than=larger_than) is None) is fits


def test_a_bench_ends_at_its_instant() -> None:
    stage = Stage("a")
    stage.member("a").bench(stage.now, 5.0, 900.0)
    assert check(stage) == Skip(SkipReason.BENCHED, stage.now + 5.0)
    stage.advance(5.0)
    assert check(stage) is None


def test_a_benched_member_returns_when_both_bench_and_circuit_let_it() -> None:
    stage = Stage("a")
    stage.open("a")
    stage.member("a").bench(stage.now, 100.0, 900.0)
    assert check(stage) == Skip(SkipReason.BENCHED, stage.now + 100.0)


def test_half_open_with_every_probe_out_is_a_reason_of_its_own() -> None:
    stage = Stage("a")
    stage.open("a")
    stage.advance(30)
    assert check(stage) is None
    stage.begin().asks("a")
    assert check(stage) == Skip(SkipReason.PROBE_IN_FLIGHT, stage.now + 30)


FLOOR = {"a": {"tpm_threshold": 100}}


class TestFloor:
    def test_a_rate_below_it_is_a_reason(self) -> None:
        stage = Stage("a", members=FLOOR)
        stage.slow("a", 99)
        assert check(stage) == Skip(SkipReason.LOW_TPM, None, 99.0)

    def test_a_rate_that_reaches_it_is_none(self) -> None:
        stage = Stage("a", members=FLOOR)
        stage.slow("a", 100)
        assert check(stage) is None

    def test_no_evidence_is_none(self) -> None:
        assert check(Stage("a", members=FLOOR)) is None

    def test_no_floor_is_none(self) -> None:
        stage = Stage("a")
        stage.slow("a", 1)
        assert check(stage) is None

    def test_the_window_measure_judges_all_tokens(self) -> None:
        stage = Stage("a", members=FLOOR, tpm_measure="window")
        stage.slow("a", 10_000)
        stage.member("a").window.add(stage.now, 99)
        assert check(stage) == Skip(SkipReason.LOW_TPM, None, 99.0)

    def test_the_window_measure_never_skips_a_member_without_tokens(self) -> None:
        stage = Stage("a", members=FLOOR, tpm_measure="window")
        stage.slow("a", 1)
        assert check(stage) is None

    def test_a_member_below_it_can_still_serve(self) -> None:
        stage = Stage("ab", members={"a": {"tpm_threshold": 100, "context_limit": 8}})
        a, settings = stage.member("a"), stage.pool.settings
        stage.slow("a", 50)
        assert eligibility.can_serve(a, stage.now, settings)
        assert eligibility.can_serve(stage.member("b"), stage.now, settings)
        assert not eligibility.can_serve(a, stage.now, settings, larger_than=8)
        a.benched_until = stage.now + 1
        assert not eligibility.can_serve(a, stage.now, settings)


def test_a_member_that_nothing_holds_back_does_not_return() -> None:
    stage = Stage("a")
    assert eligibility.returns_at(stage.member("a"), stage.now, stage.pool.settings) is None
    stage.open("a")
    stage.advance(31)
    assert eligibility.returns_at(stage.member("a"), stage.now, stage.pool.settings) is None


def test_a_drained_member_is_passed_over() -> None:
    stage = Stage("a")
    stage.member("a").health.drained = True
    assert check(stage) == Skip(SkipReason.DRAINED)
    assert not eligibility.can_serve(stage.member("a"), stage.now, stage.pool.settings)


def test_a_circuit_forced_open_has_no_end_that_anybody_knows() -> None:
    stage = Stage("a")
    stage.member("a").breaker.force(State.OPEN, stage.now)
    assert check(stage) == Skip(SkipReason.CIRCUIT_OPEN, None)
    assert eligibility.returns_at(stage.member("a"), stage.now, stage.pool.settings) is None
