"""What each failure kind permits: one row a kind, and the exceptions that a failure itself knows."""

from __future__ import annotations

import pytest

from tests.core.stage import failure
from understudy.core.outcome import RULES, Abandoned, Again, Next
from understudy.errors import FailureKind

# kind: again on the same backend, next backend, breaker, may the request succeed later
TABLE = """
    connect           LAST_RESORT  YES             counts  transient
    reset             YES          YES             counts  transient
    timeout           NO           YES             counts  transient
    stall             LAST_RESORT  YES             counts  transient
    truncated         YES          YES             counts  transient
    server_error      YES          YES             counts  transient
    protocol          YES          YES             counts  transient
    empty             ONCE         YES             counts  transient
    rate_limited      YES          YES             counts  transient
    quota             NO           YES             counts  lasting
    auth              NO           YES             counts  lasting
    model_not_found   NO           YES             counts  lasting
    context_length    NO           LARGER_WINDOW   spares  lasting
    content_filter    NO           NO              spares  lasting
    invalid_request   NO           NOT_FROM_FIRST  spares  lasting
    unfit             NO           YES             spares  lasting
    mismatch          NO           YES             spares  transient
    cancelled         NO           NO              spares  lasting
    internal          NO           NO              spares  lasting
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize(("kind", "again", "following", "breaker", "later"), ROWS)
def test_a_kind_permits_what_its_row_says(
    kind: str, again: str, following: str, breaker: str, later: str
) -> None:
    rule = RULES[FailureKind(kind)]
    assert rule.again is Again[again]
    assert rule.next is Next[following]
    assert rule.counts is (breaker == "counts")
    assert rule.transient is (later == "transient")
    assert failure(kind).counts is rule.counts
    assert failure(kind).transient is rule.transient


def test_every_kind_has_a_row() -> None:
    assert {FailureKind(row[0]) for row in ROWS} == set(FailureKind) == set(RULES)


def test_a_rate_limit_with_retry_after_is_benched_instead_of_counted() -> None:
    assert failure("rate_limited").counts
    assert not failure("rate_limited", retry_after=1.0).counts
    assert failure("server_error", retry_after=1.0).counts


def test_an_empty_answer_with_a_terminal_marker_is_not_counted() -> None:
    assert failure("empty").counts
    assert not failure("empty", terminal=True).counts
    assert failure("server_error", terminal=True).counts


class TestDecidingStatus:
    """The status that `failover_status_codes` judges."""

    def test_is_the_http_status(self) -> None:
        assert failure("server_error", status=503).deciding_status() == 503

    def test_is_its_class_for_an_error_inside_a_stream(self) -> None:
        assert failure("server_error", status=200, in_stream=True).deciding_status() == 500
        assert failure("rate_limited", status=200, in_stream=True).deciding_status() == 429

    def test_is_its_class_where_no_status_came(self) -> None:
        assert failure("auth").deciding_status() == 401
        assert failure("connect").deciding_status() is None

    @pytest.mark.parametrize("status", [200, 204, 302, 399])
    def test_is_none_for_what_no_list_can_name(self, status: int) -> None:
        assert failure("protocol", status=status).deciding_status() is None

    def test_begins_at_400(self) -> None:
        assert failure("invalid_request", status=400).deciding_status() == 400


def test_the_caller_leaving_is_the_usual_way_to_abandon() -> None:
    assert Abandoned().message == "the caller left"
