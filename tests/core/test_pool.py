"""The live members of one profile."""

from __future__ import annotations

from tests.core.stage import Stage
from understudy.core.breaker import State


def test_every_dispatch_is_a_request_with_a_number() -> None:
    stage = Stage()
    first, second = stage.begin(), stage.begin()
    assert (first.dispatch.request, second.dispatch.request) == (1, 2)
    assert stage.pool.metrics.requests == stage.pool.metrics.in_flight == 2


def test_members_are_not_shared_between_pools() -> None:
    one, other = Stage(), Stage()
    one.open("a")
    assert one.state("a") is State.OPEN
    assert other.state("a") is State.CLOSED


def test_a_successor_goes_on_counting_and_taking_turns() -> None:
    before = Stage("ab", "roundrobin")
    before.begin().asks("a")
    before.pool.quiet_since = 990.0
    after = Stage("ab", "roundrobin", now=before.now)
    after.pool.succeed(before.pool)
    walk = after.begin()
    assert walk.dispatch.request == 2
    assert after.pool.metrics is before.pool.metrics
    assert after.pool.quiet_since == 990.0
    walk.asks("b")


def test_a_successor_of_another_policy_keeps_its_own() -> None:
    after = Stage("ab", "failover")
    after.pool.succeed(Stage("ab", "roundrobin").pool)
    assert after.pool.policy.name == "failover"


def test_repr_shows_members_and_policy() -> None:
    assert repr(Stage("abc", "roundrobin").pool) == "<Pool company, roundrobin, 3 members>"
