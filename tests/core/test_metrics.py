"""What is counted. Two identities hold at all times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.core.stage import failure
from understudy.core.metrics import MemberMetrics, PoolMetrics
from understudy.core.outcome import Tokens
from understudy.errors import FailureKind, SkipReason


def test_what_has_begun_and_not_ended_is_in_flight() -> None:
    metrics = MemberMetrics()
    for _ in range(7):
        metrics.started()
    metrics.succeeded(1.0)
    metrics.failed(failure("reset"), 1.0)
    metrics.failed(failure("context_length"), 1.0)
    metrics.abandoned(lost=True)
    assert (metrics.in_flight, metrics.cancelled, metrics.lost) == (3, 1, 1)


@given(st.lists(st.sampled_from(sorted(FailureKind))), st.integers(0, 5), st.integers(0, 5))
def test_every_attempt_is_counted_once(kinds: list[FailureKind], successes: int, cancelled: int) -> None:
    metrics = MemberMetrics()
    for _ in range(len(kinds) + successes + cancelled):
        metrics.started()
    for kind in kinds:
        metrics.failed(failure(kind), 1.0)
    for _ in range(successes):
        metrics.succeeded(1.0)
    for _ in range(cancelled):
        metrics.abandoned(lost=False)
    assert metrics.in_flight == 0
    assert metrics.requests == metrics.successes + metrics.failures + metrics.refused + metrics.cancelled
    assert sum(metrics.by_kind.values()) == len(kinds) == metrics.failures + metrics.refused
    assert sum(metrics.refused_by_kind.values()) == metrics.refused
    assert metrics.latency.count == metrics.successes + metrics.failures


def test_a_failure_without_blame_is_refused_and_says_nothing_about_speed() -> None:
    metrics = MemberMetrics()
    metrics.failed(failure("rate_limited", retry_after=2.0), 1.0)
    assert (metrics.failures, metrics.refused) == (0, 1)
    assert metrics.by_kind == metrics.refused_by_kind == {FailureKind.RATE_LIMITED: 1}
    assert metrics.latency.count == 0
    assert metrics.success_rate is None


def test_a_counted_failure_is_a_failure_and_takes_part_in_latency() -> None:
    metrics = MemberMetrics()
    metrics.failed(failure("rate_limited"), 3.0)
    assert (metrics.failures, metrics.refused) == (1, 0)
    assert metrics.latency.total == 3.0
    assert metrics.refused_by_kind == {}


def test_a_bug_of_ours_is_a_failure_here() -> None:
    metrics = MemberMetrics()
    metrics.failed(failure("internal"), 1.0)
    assert (metrics.failures, metrics.refused, metrics.by_kind) == (1, 0, {FailureKind.INTERNAL: 1})


def test_only_timeouts_are_timeouts() -> None:
    metrics = MemberMetrics()
    metrics.failed(failure("timeout"), 1.0)
    metrics.failed(failure("connect"), 1.0)
    metrics.failed(failure("stall"), 1.0)
    assert metrics.timeouts == 1


def test_the_success_rate_is_over_successes_and_failures() -> None:
    metrics = MemberMetrics()
    assert metrics.success_rate is None
    for _ in range(3):
        metrics.succeeded(1.0)
    metrics.failed(failure("reset"), 1.0)
    metrics.failed(failure("invalid_request"), 1.0)
    assert metrics.success_rate == 0.75


def test_skips_are_counted_by_reason() -> None:
    metrics = MemberMetrics()
    for reason in (SkipReason.BENCHED, SkipReason.LOW_TPM, SkipReason.BENCHED):
        metrics.skipped(reason)
    assert metrics.skips == {SkipReason.BENCHED: 2, SkipReason.LOW_TPM: 1}


def test_estimated_tokens_are_marked() -> None:
    metrics = MemberMetrics()
    metrics.tokens(Tokens(10, 20, False))
    metrics.tokens(Tokens(1, 2, True))
    assert (metrics.input_tokens, metrics.output_tokens, metrics.estimated_tokens) == (11, 22, 3)


def test_a_pools_requests_are_in_flight_until_they_end() -> None:
    metrics = PoolMetrics()
    metrics.requests, metrics.answered, metrics.failed, metrics.cancelled = 9, 4, 2, 1
    assert metrics.in_flight == 2
