"""Failover: the profile's order is the preference."""

from __future__ import annotations

from tests.core.stage import member
from understudy.core.demand import UNKNOWN
from understudy.core.policies import Failover


def test_the_order_is_always_the_profiles() -> None:
    members = [member(name, index) for index, name in enumerate("abc")]
    policy = Failover()
    for picked in members:
        policy.picked(picked, members, 0.0, UNKNOWN)
        assert [candidate.name for candidate in policy.rank(members, 0.0, UNKNOWN)] == ["a", "b", "c"]


def test_a_short_retry_after_of_the_first_is_waited_for() -> None:
    assert Failover().waits_for_first
    assert Failover().name == "failover"
