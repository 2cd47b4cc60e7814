"""Least busy: the fewest attempts in flight for the member's size."""

from __future__ import annotations

from tests.core.policies.builders import NOW, busy, demand, members, order, shares, takes_turns
from understudy.core.policies import LeastBusy
from understudy.core.settings import Ceilings
from understudy.core.slow_start import SlowStart


def test_the_fewest_in_flight_comes_first() -> None:
    cast = members()
    for candidate, attempts in zip(cast, (3, 1, 2), strict=True):
        busy(candidate, attempts)
    assert order(LeastBusy(), cast, demand()) == "bca"


def test_attempts_are_counted_for_the_weight() -> None:
    cast = members(weight=(4, 1, 0))
    busy(cast[0], 3)
    busy(cast[1], 1)
    assert order(LeastBusy(), cast, demand()) == "abc"
    busy(cast[0], 2)
    assert order(LeastBusy(), cast, demand()) == "bac"


def test_where_all_have_a_limit_each_is_as_full_as_the_others() -> None:
    cast = members(ceilings=(Ceilings(concurrency=10), Ceilings(concurrency=2), Ceilings(concurrency=4)))
    for candidate, attempts in zip(cast, (4, 1, 1), strict=True):
        busy(candidate, attempts)
    assert order(LeastBusy(), cast, demand()) == "cab"


def test_where_one_has_none_the_limits_say_nothing_of_size() -> None:
    cast = members("ab", ceilings=(Ceilings(concurrency=10), None))
    busy(cast[0], 2)
    busy(cast[1], 1)
    assert order(LeastBusy(), cast, demand()) == "ba"


def test_equals_take_turns_by_weight() -> None:
    cast = members(weight=(2, 1, 1))
    assert shares(takes_turns(LeastBusy(), cast, demand(), 8)) == {"a": 4, "b": 2, "c": 2}
    assert takes_turns(LeastBusy(), members(), demand(), 6) == "abcabc"


def test_attempts_that_last_spread_by_weight() -> None:
    policy, cast = LeastBusy(), members(weight=(3, 2, 1))
    for _ in range(60):
        taken = takes_turns(policy, cast, demand(), 1)
        busy(cast["abc".index(taken)], 1)
    assert [candidate.in_flight for candidate in cast] == [30, 20, 10]


def test_a_member_that_is_eased_in_counts_as_smaller() -> None:
    cast = members("ab")
    cast[0].health.slow_start = SlowStart(NOW - 15, 30.0, 1)
    busy(cast[0], 1)
    busy(cast[1], 1)
    assert order(LeastBusy(), cast, demand()) == "ba"


def test_no_first_is_preferred_so_none_is_waited_for() -> None:
    assert (LeastBusy.name, LeastBusy.waits_for_first) == ("least_busy", False)
    assert repr(LeastBusy()) == "<LeastBusy, <Turns {}>>"
