"""What one request brings along, as far as it is known."""

from __future__ import annotations

from tests.core.stage import Asking
from understudy.core.demand import ANSWER, PROMPT, UNKNOWN, Demand
from understudy.core.facts import Facts, Price
from understudy.core.settings import PoolSettings


def of(asking: Asking) -> Demand:
    return Demand(asking, PoolSettings(), float)


def test_what_is_not_known_is_guessed() -> None:
    assert (UNKNOWN.prompt(Facts()), UNKNOWN.answer(Facts())) == (PROMPT, ANSWER)
    assert (UNKNOWN.size, UNKNOWN.affinity) == (PROMPT, 0)
    assert repr(UNKNOWN) == "<Demand of None>"


def test_what_the_request_says_is_taken() -> None:
    asked = of(Asking(tokens=300, bytes=2000, answer_limit=4096, affinity=9))
    assert (asked.prompt(Facts()), asked.answer(Facts())) == (300, 4096)
    assert (asked.size, asked.affinity) == (500, 9)


def test_an_answer_is_no_longer_than_the_model_gives() -> None:
    asked = of(Asking(answer_limit=4096))
    assert asked.answer(Facts(max_output=1000)) == 1000
    assert of(Asking()).answer(Facts(max_output=100)) == ANSWER, "a guess is a guess"


def test_a_price_is_for_the_prompt_and_a_usual_answer() -> None:
    asked = of(Asking(tokens=1000, answer_limit=200))
    assert asked.price(Facts()) is None
    assert asked.price(Facts(price=Price(2.0, 10.0))) == 1000 * 2.0 + 200 * 10.0
    assert of(Asking(tokens=0, answer_limit=9000)).price(Facts(price=Price(2.0, 10.0))) == ANSWER * 10.0
