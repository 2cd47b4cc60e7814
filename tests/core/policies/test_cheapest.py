"""Cheapest: by what the request is expected to cost."""

from __future__ import annotations

from tests.core.policies.builders import demand, members, order
from tests.core.stage import Asking
from understudy.core.demand import ANSWER
from understudy.core.facts import Price
from understudy.core.policies import Cheapest

LONG_READER = Price(1.0, 50.0)  # cheap to read, dear to write
LONG_WRITER = Price(5.0, 10.0)


def test_the_lower_price_comes_first_and_unknown_ones_last() -> None:
    cast = members(price=(None, Price(3, 15), Price(0.5, 1.5)))
    assert order(Cheapest(), cast, demand()) == "cba"


def test_equal_prices_are_as_the_profile_lists_them() -> None:
    assert order(Cheapest(), members(price=(None, Price(1, 1), Price(1, 1))), demand()) == "bca"
    assert order(Cheapest(), members(), demand()) == "abc"


def test_it_is_the_requests_own_tokens_that_are_priced() -> None:
    cast = members("ab", price=(LONG_READER, LONG_WRITER))
    assert order(Cheapest(), cast, demand(Asking(tokens=20_000, answer_limit=100))) == "ab"
    assert order(Cheapest(), cast, demand(Asking(tokens=200, answer_limit=500))) == "ba"


def test_a_limit_beyond_a_usual_answer_is_no_expectation() -> None:
    cast = members("ab", price=(LONG_READER, LONG_WRITER))
    assert ANSWER == 500
    assert order(Cheapest(), cast, demand(Asking(tokens=20_000, answer_limit=100_000))) == "ab"


def test_a_short_retry_after_of_the_cheapest_is_waited_for() -> None:
    assert (Cheapest.name, Cheapest.waits_for_first) == ("cheapest", True)
