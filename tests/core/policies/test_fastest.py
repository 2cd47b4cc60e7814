"""Fastest: of two members drawn by lot, the one expected to begin sooner."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tests.core.policies.builders import NOW, bench, busy, demand, members, order
from understudy.core.demand import UNKNOWN
from understudy.core.member import Member
from understudy.core.policies import Fastest


def measured(names: str = "abc", *seconds: float, **settings: tuple[int, ...]) -> list[Member]:
    cast = members(names, **settings)
    for candidate, took in zip(cast, seconds, strict=True):
        Fastest().began(candidate, NOW, took, UNKNOWN)
    return cast


def lots(*numbers: float) -> Iterator[float]:
    return iter(numbers)


def test_of_two_the_sooner_one_comes_first() -> None:
    assert order(Fastest(), measured("ab", 2.0, 1.0), demand()) == "ba"


def test_of_more_two_are_drawn_and_the_sooner_of_them_comes_first() -> None:
    cast = measured("abcd", 1.0, 1.2, 1.5, 1.9)
    drawn = {
        order(Fastest(), cast, demand(chance=lots(first, second).__next__))[0]
        for first in (0.0, 0.25, 0.5, 0.75)
        for second in (0.0, 0.34, 0.67)
    }
    assert drawn == {"a", "b", "c"}, "any two may be drawn, so only the slowest is never the sooner one"
    assert order(Fastest(), cast, demand(chance=lots(0.5, 0.99).__next__)) == "cabd"


def test_the_two_are_never_the_same() -> None:
    cast = measured("abc", 1.0, 1.5, 2.0)
    firsts = [order(Fastest(), cast, demand(chance=Random(seed).random))[0] for seed in range(300)]
    assert firsts.count("c") == 0
    assert 170 < firsts.count("a") < 230  # two of three pairs hold a


def test_who_is_far_behind_the_soonest_is_not_drawn() -> None:
    cast = measured("abcd", 1.0, 1.9, 2.1, 60.0)
    firsts = {order(Fastest(), cast, demand(chance=Random(seed).random)) for seed in range(60)}
    assert firsts == {"abcd"}
    cast = measured("abcd", 1.0, 1.9, 2.0, 60.0)
    firsts = {order(Fastest(), cast, demand(chance=Random(seed).random))[0] for seed in range(60)}
    assert firsts == {"a", "b"}


def test_what_is_known_against_a_slow_one_decays_until_it_is_drawn_again() -> None:
    cast = measured("abc", 1.0, 1.5, 10.0)
    later = NOW + 80.0
    for candidate in cast[:2]:
        Fastest().began(candidate, later, 1.0, UNKNOWN)
    firsts = {order(Fastest(), cast, demand(chance=Random(seed).random), later)[0] for seed in range(60)}
    assert "c" in firsts


def test_whole_answers_are_told_from_streams() -> None:
    cast = measured("ab", 0.3, 0.5)
    for candidate, took in zip(cast, (9.0, 4.0), strict=True):
        Fastest().began(candidate, NOW, took, demand(stream=False))
    assert order(Fastest(), cast, demand()) == "ab"
    assert order(Fastest(), cast, demand(stream=False)) == "ba"


def test_a_whole_answer_comes_no_sooner_than_a_stream_begins() -> None:
    cast, whole = measured("ab", 6.0, 0.5), demand(stream=False)
    assert order(Fastest(), cast, whole) == "ba", "nothing else is known yet"
    for candidate in cast:
        Fastest().began(candidate, NOW, 4.0 if candidate is cast[0] else 5.0, whole)
    assert order(Fastest(), cast, whole) == "ba"
    assert order(Fastest(), measured("ab", 0.5, 0.6) + members("xxc")[2:], whole)[0] == "c", "as ever"


def test_who_has_given_whole_answers_alone_is_tried_for_a_stream() -> None:
    cast = measured("ab", 0.5, 0.6) + members("xxc")[2:]
    Fastest().began(cast[2], NOW, 9.0, demand(stream=False))
    assert order(Fastest(), cast, demand())[0] == "c"
    busy(cast[2], 1)
    assert order(Fastest(), cast, demand()) == "abc", "by one at a time"
    assert order(Fastest(), cast, demand(stream=False)) == "abc"
    cold = members("ab")
    busy(cold[0], 1)
    assert order(Fastest(), cold, demand(stream=False)) == "ba"


def test_a_failure_counts_for_both() -> None:
    policy, cast = Fastest(), measured("ab", 0.3, 0.5)
    for candidate, took in zip(cast, (4.0, 5.0), strict=True):
        policy.began(candidate, NOW, took, demand(stream=False))
    policy.failed(cast[0], NOW, 0.001, 60.0)
    assert order(policy, cast, demand()) == order(policy, cast, demand(stream=False)) == "ba"


def test_attempts_in_flight_count_with_it() -> None:
    cast = measured("ab", 1.0, 1.8)
    busy(cast[0], 1)
    assert order(Fastest(), cast, demand()) == "ba"
    busy(cast[1], 1)
    assert order(Fastest(), cast, demand()) == "ab"


def test_a_larger_share_counts_too() -> None:
    assert order(Fastest(), measured("ab", 1.0, 3.0, weight=(1, 4)), demand()) == "ba"


def test_who_was_never_measured_is_tried_but_by_one_at_a_time() -> None:
    cast = measured("a", 0.2) + members("xb")[1:]
    assert order(Fastest(), cast, demand()) == "ba"
    busy(cast[1], 1)
    assert order(Fastest(), cast, demand()) == "ab"


def test_lots_are_drawn_among_those_that_are_up() -> None:
    cast = measured("abcd", 1.0, 2.0, 3.0, 3.9)
    bench(cast[0])
    ranked = {order(Fastest(), cast, demand(chance=Random(seed).random)) for seed in range(50)}
    assert {names[-1] for names in ranked} == {"a"}
    assert {names[0] for names in ranked} == {"b", "c"}


def test_weight_nought_only_stands_in() -> None:
    cast = measured("abcd", 1.0, 2.0, 3.0, 4.0, weight=(0, 1, 1, 1))
    for seed in range(20):
        assert order(Fastest(), cast, demand(chance=Random(seed).random))[-1] == "a"


def test_quick_refusals_attract_nobody() -> None:
    policy, cast = Fastest(), measured("ab", 0.3, 4.0)
    for _ in range(4):
        policy.failed(cast[0], NOW, 0.001, 60.0)
    assert order(policy, cast, demand()) == "ba"


def test_an_attempt_given_up_late_counts_as_that_long() -> None:
    policy, cast = Fastest(), measured("ab", 0.3, 1.0)
    policy.gave_up(cast[0], NOW, 0.1, stream=True)
    assert order(policy, cast, demand()) == "ab"
    policy.gave_up(cast[0], NOW, 5.0, stream=False)
    assert order(policy, cast, demand()) == "ab", "a whole answer takes longer"
    policy.gave_up(cast[0], NOW, 5.0, stream=True)
    assert order(policy, cast, demand()) == "ba"


def test_no_first_is_preferred_so_none_is_waited_for() -> None:
    assert (Fastest.name, Fastest.waits_for_first) == ("fastest", False)
    assert repr(Fastest()) == "<Fastest>"


def test_who_stands_in_comes_before_who_is_not_up() -> None:
    cast = measured("abc", 1.0, 1.0, 1.0, weight=(1, 0, 1))
    bench(cast[0])
    assert order(Fastest(), cast, demand()) == "cba"
