"""A bench that measures less than it says is worse than none."""

from __future__ import annotations

import pytest

from benches import core


def test_a_decision_is_a_whole_request() -> None:
    pool = core.make_pool("roundrobin", 3)
    decide = core.decision(pool)
    for number in range(6):
        decide(1000.0 + number)
    assert (pool.metrics.requests, pool.metrics.answered, pool.metrics.in_flight) == (6, 6, 0)
    for member in pool.members:
        assert (member.metrics.requests, member.metrics.successes) == (2, 2)
        assert member.metrics.latency.count == member.metrics.first_content.count == 2
        assert member.window.tpm(1006.0) == pytest.approx(2 * 630)


def test_a_streamed_decision_has_a_stream() -> None:
    pool = core.make_pool("failover", 3)
    core.decision(pool, stream=True)(1000.0)
    assert pool.members[0].window.tpm(1001.0) == 630


def test_in_the_worst_case_everybody_else_is_looked_at() -> None:
    pool = core.make_pool("failover", 10)
    core.last_one_left(pool)(1000.0)
    assert [member.metrics.requests for member in pool.members] == [0] * 9 + [1]
    assert [sum(member.metrics.skips.values()) for member in pool.members] == [1] * 9 + [0]


@pytest.mark.parametrize("engine", core.ENGINES)
def test_every_column_can_be_measured(engine: str) -> None:
    assert core.microseconds(core.ENGINES[engine](3), count=50, repeats=1) > 0
