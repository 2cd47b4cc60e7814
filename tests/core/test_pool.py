"""The live members of one profile."""

from __future__ import annotations

from tests.core.stage import Stage, member
from understudy.core.breaker import State


def test_a_bench_lasts_as_asked_but_never_longer_than_allowed() -> None:
    benched = member()
    assert benched.bench(1000.0, 5.0, 900.0) == 1005.0
    assert benched.bench(1000.0, 277403.0, 900.0) == 1900.0


def test_a_bench_is_never_shortened() -> None:
    benched = member()
    benched.bench(1000.0, 60.0, 900.0)
    assert benched.bench(1010.0, 5.0, 900.0) == 1060.0
    assert benched.benched_until == 1060.0


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
    stage = Stage("abc", "roundrobin")
    assert repr(stage.pool) == "<Pool company, roundrobin, 3 members>"
    assert repr(stage.member("a")) == "<Member a, <Breaker closed, 0 probes out, 0 failures>, 0 in flight>"
