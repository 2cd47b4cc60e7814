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


def test_repr_shows_members_and_policy() -> None:
    assert repr(Stage("abc", "roundrobin").pool) == "<Pool company, roundrobin, 3 members>"
