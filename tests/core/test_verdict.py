"""The errors a walk can end in."""

from __future__ import annotations

import pytest

from tests.core.stage import Asking, Stage, takes
from understudy.core import verdict
from understudy.core.fit import Fit
from understudy.core.verdict import ALL_UNHEALTHY
from understudy.errors import (
    AllBackendsFailed,
    Cause,
    DeadlineExceeded,
    FailureKind,
    NoBackendAvailable,
    RequestRejected,
    SkipEntry,
    SkipReason,
)


def cause(kind: str, backend: str = "a", status: int | None = None, body: bytes | None = None) -> Cause:
    return Cause(backend, FailureKind(kind), status, f"says {kind}", body)


def failed(*causes: Cause, stage: Stage | None = None) -> AllBackendsFailed:
    stage = stage or Stage()
    return verdict.failed(stage.pool, None, causes, (), stage.now)


class TestFailed:
    def test_names_every_cause_in_order(self) -> None:
        error = failed(cause("auth", "a", 401), cause("server_error", "b", 503))
        assert str(error) == "All backends failed: a: says auth; b: says server_error"
        assert [c.backend for c in error.causes] == ["a", "b"]
        assert type(error) is AllBackendsFailed

    def test_is_caused_by_the_first(self) -> None:
        error = failed(cause("auth"), cause("reset", "b"))
        assert str(error.__cause__) == "a: auth (says auth)"

    @pytest.mark.parametrize(
        ("kinds", "retryable"),
        [(["auth", "reset"], True), (["auth", "quota"], False), (["server_error"], True)],
    )
    def test_is_retryable_if_any_cause_is_transient(self, kinds: list[str], retryable: bool) -> None:
        assert failed(*map(cause, kinds)).retryable is retryable

    @pytest.mark.parametrize("kind", ["invalid_request", "context_length", "content_filter"])
    def test_the_request_is_rejected_where_the_first_cause_blames_it(self, kind: str) -> None:
        error = failed(cause(kind, status=422, body=b"why"))
        assert isinstance(error, RequestRejected)
        assert (error.status, error.body) == (422, b"why")
        assert str(error) == f"The request was rejected: a: says {kind}"
        assert not error.retryable
        assert error.retry_after is None

    def test_only_the_first_cause_decides_that(self) -> None:
        assert type(failed(cause("reset"), cause("invalid_request", "b"))) is AllBackendsFailed

    def test_a_rejected_request_may_succeed_where_a_later_backend_was_only_down(self) -> None:
        error = failed(cause("context_length"), cause("server_error", "b"))
        assert isinstance(error, RequestRejected)
        assert error.retryable

    def test_retry_after_is_the_soonest_return(self) -> None:
        stage = Stage()
        stage.open("a")
        stage.member("b").benched_until = stage.now + 12
        assert failed(cause("reset"), stage=stage).retry_after == 12
        assert failed(cause("auth"), stage=stage).retry_after == 12
        assert failed(cause("context_length"), cause("reset"), stage=stage).retry_after == 12
        assert failed(cause("context_length"), stage=stage).retry_after is None


class TestUnavailable:
    def unavailable(self, stage: Stage, waited: float = 0.0) -> NoBackendAvailable:
        return verdict.unavailable(stage.pool, None, stage.now - waited, (), stage.now)

    def test_open_circuits_have_words_of_their_own(self) -> None:
        stage = Stage()
        stage.open("a")
        stage.advance(10)
        stage.open("b")
        error = self.unavailable(stage)
        assert str(error) == (
            "All backends are currently unhealthy (circuit breakers open). "
            "Please wait for recovery or check backend configurations. "
            "a: circuit_open, back in 20.0 s; b: circuit_open, back in 30.0 s"
        )
        assert error.retryable
        assert error.retry_after == 20

    def test_a_probe_in_flight_is_an_open_circuit_to_the_caller(self) -> None:
        stage = Stage("a")
        stage.open("a")
        stage.advance(30)
        stage.begin().asks("a")
        assert str(self.unavailable(stage)).startswith(ALL_UNHEALTHY)

    def test_each_member_has_its_reason_and_when_it_returns(self) -> None:
        stage = Stage("abc", problems={"a": SkipReason.NO_KEY})
        stage.member("b").benched_until = stage.now + 40
        stage.open("c")
        error = self.unavailable(stage)
        assert str(error) == (
            "No backend is available. a: no_key; b: benched, back in 40.0 s; c: circuit_open, back in 30.0 s"
        )
        assert error.skips == (
            SkipEntry("a", SkipReason.NO_KEY, None),
            SkipEntry("b", SkipReason.BENCHED, 40.0),
            SkipEntry("c", SkipReason.CIRCUIT_OPEN, 30.0),
        )
        assert error.retry_after == 30

    def test_after_a_wait_the_words_count_from_now_and_the_entries_from_the_request(self) -> None:
        stage = Stage("a")
        stage.member("a").benched_until = stage.now + 40
        error = self.unavailable(stage, waited=15.0)
        assert str(error) == "No backend is available. a: benched, back in 40.0 s"
        assert error.skips == (SkipEntry("a", SkipReason.BENCHED, 55.0),)

    def test_what_only_an_operator_can_mend_is_not_retryable(self) -> None:
        stage = Stage("a", problems={"a": SkipReason.MISSING})
        error = self.unavailable(stage)
        assert not error.retryable
        assert error.retry_after is None


def nobody(stage: Stage, asking: Asking) -> NoBackendAvailable:
    fit = Fit(asking, stage.pool.members)
    return verdict.unavailable(stage.pool, fit, stage.now, (), stage.now)


class TestUnfit:
    def test_a_request_that_no_model_takes_is_told_so(self) -> None:
        stage = Stage("ab", members={"a": {"supports": takes()}, "b": {"context_limit": 10}})
        error = nobody(stage, Asking(takes("images"), tokens=100))
        assert str(error) == "No backend can take this request. a: no_images; b: context_length"
        assert not error.retryable
        assert error.retry_after is None
        assert error.blames_request

    def test_a_prompt_that_is_too_long_for_all_is_told_so(self) -> None:
        stage = Stage("ab", members={"a": {"context_limit": 10}}, problems={"b": SkipReason.NO_KEY})
        error = nobody(stage, Asking(tokens=100))
        assert str(error) == "The prompt is too long for every backend. a: context_length; b: no_key"

    def test_an_unfit_member_is_not_expected_back(self) -> None:
        stage = Stage("ab", members={"a": {"supports": takes()}})
        stage.open("b")
        error = nobody(stage, Asking(takes("images")))
        assert str(error) == "No backend is available. a: no_images; b: circuit_open, back in 30.0 s"
        assert (error.retryable, error.retry_after, error.blames_request) == (True, 30, False)

    def test_neither_after_a_failure(self) -> None:
        stage = Stage("ab", members={"a": {"supports": takes()}})
        stage.open("b")
        fit = Fit(Asking(takes("images")), stage.pool.members)
        assert verdict.failed(stage.pool, fit, [cause("reset", "b")], (), stage.now).retry_after == 30


class TestSoonestReturn:
    def test_is_none_while_a_member_can_be_asked(self) -> None:
        stage = Stage()
        stage.open("a")
        assert verdict.soonest_return(stage.pool, None, stage.now) is None

    def test_is_none_while_a_slow_member_can_be_asked(self) -> None:
        stage = Stage(members={"b": {"tpm_threshold": 100}})
        stage.open("a")
        stage.slow("b", 1)
        assert verdict.soonest_return(stage.pool, None, stage.now) is None

    def test_looks_only_at_usable_members(self) -> None:
        stage = Stage(problems={"a": SkipReason.MISSING})
        stage.open("b")
        assert verdict.soonest_return(stage.pool, None, stage.now) == 30

    def test_is_none_without_a_usable_member(self) -> None:
        stage = Stage("a", problems={"a": SkipReason.MISSING})
        assert verdict.soonest_return(stage.pool, None, stage.now) is None


def test_too_late_names_the_limit_and_the_causes() -> None:
    error = verdict.too_late(600.0, [cause("reset")], ())
    assert type(error) is DeadlineExceeded
    assert str(error) == "No answer began within 600000 ms (request_timeout_ms); a: says reset"
    assert error.retryable
    assert str(verdict.too_late(0.5, [], ())) == "No answer began within 500 ms (request_timeout_ms)"
