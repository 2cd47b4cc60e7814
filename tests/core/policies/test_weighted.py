"""Weighted: turns in proportion to the weights, evenly mixed."""

from __future__ import annotations

from tests.core.policies.builders import NOW, bench, demand, members, order, shares, takes_turns
from understudy.core.policies import Weighted
from understudy.core.slow_start import SlowStart


def test_turns_are_evenly_mixed_as_nginx_shows_them() -> None:
    assert takes_turns(Weighted(), members(weight=(5, 1, 1)), demand(), 14) == "aabacaa" * 2


def test_the_shares_are_the_weights() -> None:
    taken = takes_turns(Weighted(), members(weight=(6, 3, 1)), demand(), 100)
    assert shares(taken) == {"a": 60, "b": 30, "c": 10}


def test_ranking_changes_nothing() -> None:
    policy, cast = Weighted(), members(weight=(2, 1, 1))
    takes_turns(policy, cast, demand(), 3)
    before = repr(policy)
    assert order(policy, cast, demand()) == order(policy, cast, demand())
    assert repr(policy) == before
    assert before.startswith("<Weighted, <Turns {0: ")


def test_weight_nought_is_behind_all_others() -> None:
    policy, cast = Weighted(), members(weight=(0, 1, 1))
    assert shares(takes_turns(policy, cast, demand(), 10)) == {"b": 5, "c": 5}
    assert order(policy, cast, demand())[-1] == "a"
    bench(cast[1])
    bench(cast[2])
    assert takes_turns(policy, cast, demand(), 2) == "aa"


def test_who_was_away_comes_back_without_a_debt_to_collect() -> None:
    policy, cast = Weighted(), members(weight=(1, 1, 8))
    bench(cast[2])
    assert shares(takes_turns(policy, cast, demand(), 100)) == {"a": 50, "b": 50}
    cast[2].benched_until = NOW
    assert shares(takes_turns(policy, cast, demand(), 20)) == {"a": 2, "b": 2, "c": 16}


def test_the_proportion_of_those_left_holds_while_one_is_away() -> None:
    policy, cast = Weighted(), members(weight=(3, 1, 12))
    bench(cast[2])
    assert shares(takes_turns(policy, cast, demand(), 40)) == {"a": 30, "b": 10}


def test_a_member_that_is_eased_in_has_less() -> None:
    policy, cast = Weighted(), members("ab", weight=(1, 1))
    cast[0].health.slow_start = SlowStart(NOW - 7.5, 30.0, 1)  # a quarter of the time has passed
    assert shares(takes_turns(policy, cast, demand(), 50)) == {"a": 10, "b": 40}


def test_no_first_is_preferred_so_none_is_waited_for() -> None:
    assert (Weighted.name, Weighted.waits_for_first) == ("weighted", False)


def test_whoever_is_asked_though_it_is_not_up_has_had_a_turn() -> None:
    policy, cast = Weighted(), members("ab", weight=(1, 1))
    bench(cast[0])
    policy.picked(cast[0], cast, NOW, demand())
    assert order(policy, cast, demand()) == "ba"
