"""What attempts cost: tokens by price, bills by member and pool, and what of them was for nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.stage import Asking, Stage, Walk, failure
from understudy.core import cost
from understudy.core.cost import Bill, dollars, of_tokens
from understudy.core.events import RequestEnded
from understudy.core.facts import Price
from understudy.core.outcome import Abandoned, Outcome, Success, Tokens
from understudy.errors import AttemptEntry, FailureKind, SkipEntry, SkipReason

PRICE = Price(2.0, 10.0, cached_input=0.2, cache_write=2.5, reasoning=20.0)
PLAIN = Price(2.0, 10.0)
MILLION = 1_000_000


def tokens(asked: int, answered: int, **more: int) -> Tokens:
    return Tokens(asked, answered, estimated=False, **more)


class TestPrices:
    @pytest.mark.parametrize(
        ("price", "used", "usd"),
        [
            (PRICE, tokens(MILLION, 0), 2.0),
            (PRICE, tokens(0, MILLION), 10.0),
            (PRICE, tokens(MILLION, 0, cached=MILLION), 0.2),
            (PRICE, tokens(MILLION, 0, cache_write=MILLION), 2.5),
            (PRICE, tokens(0, MILLION, reasoning=MILLION), 20.0),
            (PRICE, tokens(1000, 500, cached=600, cache_write=300, reasoning=100), 0.00707),
            (PLAIN, tokens(1000, 500, cached=600, cache_write=300, reasoning=100), 0.007),
            (Price(0, 0), tokens(1000, 500), 0.0),
        ],
    )
    def test_each_kind_of_token_has_its_own_or_costs_what_the_others_do(
        self, price: Price, used: Tokens, usd: float
    ) -> None:
        assert of_tokens(price, used) == pytest.approx(usd)

    def test_a_price_of_nothing_is_a_price(self) -> None:
        """What is free is not what nobody knows."""
        price = Price(2.0, 10.0, cached_input=0, cache_write=0, reasoning=0)
        assert of_tokens(price, tokens(900, 100, cached=600, cache_write=300, reasoning=100)) == 0

    def test_a_part_is_never_more_than_the_whole(self) -> None:
        used = tokens(10, 10, cached=25, cache_write=5, reasoning=99)
        assert of_tokens(PRICE, used) == of_tokens(PRICE, tokens(10, 10, cached=10, reasoning=10))
        both = tokens(10, 0, cached=6, cache_write=9)
        assert of_tokens(PRICE, both) == of_tokens(PRICE, tokens(10, 0, cached=6, cache_write=4))


def priced(*names: str, price: Price = PRICE, **more: Any) -> Stage:
    return Stage("ab", members={name: {"price": price} for name in names}, **more)


def ended(outcome: Outcome, used: Tokens | None = None, stage: Stage | None = None) -> AttemptEntry:
    """The entry of an attempt with a prompt of 400 tokens that ended so."""
    walk = (stage or priced("a")).begin(needs=Asking(tokens=400))
    walk.asks("a")
    walk.settle(outcome, used)
    [entry] = walk.dispatch.trail
    assert isinstance(entry, AttemptEntry)
    return entry


class TestAnAttempt:
    def test_costs_what_its_backend_counted(self) -> None:
        entry = ended(Success(), tokens(1000, 500))
        assert entry.cost_usd == pytest.approx(0.007)
        assert not entry.cost_estimated

    def test_of_estimated_tokens_is_an_estimate(self) -> None:
        entry = ended(Success(), Tokens(1000, 500, estimated=True))
        assert entry.cost_usd == pytest.approx(0.007)
        assert entry.cost_estimated

    @pytest.mark.parametrize(
        "outcome",
        [
            failure("timeout"),
            failure("stall"),
            failure("truncated"),
            Abandoned(),
            Abandoned(lost=True),
            Success(),
        ],
    )
    def test_without_an_account_has_cost_its_prompt_if_that_was_read(self, outcome: Outcome) -> None:
        entry = ended(outcome)
        assert entry.cost_usd == pytest.approx(0.0008)
        assert entry.cost_estimated

    @pytest.mark.parametrize("kind", ["empty", "protocol", "reset"])
    @pytest.mark.parametrize(
        ("status", "usd"), [(None, 0.0), (199, 0.0), (200, 0.0008), (299, 0.0008), (300, 0.0)]
    )
    def test_has_cost_its_prompt_if_its_answer_began_well(
        self, kind: str, status: int | None, usd: float
    ) -> None:
        walk = priced("a").begin(needs=Asking(tokens=400))
        walk.asks("a").status = status
        walk.fails(kind)
        [entry] = walk.dispatch.trail
        assert isinstance(entry, AttemptEntry)
        assert entry.cost_usd == pytest.approx(usd)

    def test_has_cost_nothing_if_an_error_came_instead_of_an_answer(self) -> None:
        assert ended(failure("server_error", status=200, in_stream=True)).cost_usd == 0

    @pytest.mark.parametrize("kind", ["connect", "rate_limited", "server_error", "auth", "unfit"])
    def test_that_was_refused_has_cost_nothing(self, kind: str) -> None:
        entry = ended(failure(kind))
        assert (entry.cost_usd, entry.cost_estimated) == (0.0, False)

    @pytest.mark.parametrize("used", [None, tokens(1000, 500)])
    def test_of_unknown_price_has_no_cost_and_not_none_at_all(self, used: Tokens | None) -> None:
        entry = ended(failure("timeout"), used, Stage("a"))
        assert (entry.cost_usd, entry.cost_estimated) == (None, False)
        assert "cost_usd" not in entry.to_dict()

    def test_has_no_cost_while_it_runs(self) -> None:
        walk = priced("a").begin()
        assert walk.asks("a").entry(0.0).cost_usd is None

    def test_is_told_in_a_trail(self) -> None:
        assert ended(Success(), tokens(1000, 500)).to_dict()["cost_usd"] == 0.007
        told = ended(failure("timeout")).to_dict()
        assert (told["cost_usd"], told["cost_estimated"]) == (0.0008, True)


def play(stage: Stage, outcome: Outcome, used: Tokens | None = None) -> Walk:
    walk = stage.begin(needs=Asking(tokens=400))
    walk.asks("a")
    walk.settle(outcome, used)
    walk.leaves()
    return walk


def amounts(bill: Bill) -> Any:
    return bill.usd, bill.wasted, bill.estimated, bill.unpriced


def bill(stage: Stage, name: str = "a") -> Bill:
    return cost.of_member(stage.member(name))


class TestABill:
    def test_is_nothing_before_the_first_attempt_if_the_price_is_known(self) -> None:
        assert bill(priced("a")) == Bill(0.0, 0.0, 0.0)

    def test_is_unknown_if_the_price_is(self) -> None:
        stage = Stage("a")
        assert bill(stage) == Bill()
        play(stage, Success(), tokens(10, 10))
        assert bill(stage) == Bill(unpriced=1)
        assert bill(stage).is_partial

    @pytest.mark.parametrize(
        ("outcome", "end", "is_waste"),
        [
            (Success(), "success", False),
            (failure("truncated"), "failure", True),
            (failure("context_length"), "refused", True),
            (failure("internal"), "failure", True),
            (Abandoned(), "cancelled", False),
            (Abandoned(lost=True), "lost", True),
        ],
    )
    def test_tells_apart_how_attempts_ended_and_what_was_wasted(
        self, outcome: Outcome, end: str, is_waste: bool
    ) -> None:
        stage = priced("a")
        play(stage, outcome, tokens(1000, 500))
        by_end = stage.member("a").metrics.costs
        assert {word for word, usd in by_end.items() if usd} == {end}
        assert amounts(bill(stage)) == pytest.approx((0.007, 0.007 * is_waste, 0.0, 0))

    def test_knows_how_much_of_it_is_estimated(self) -> None:
        stage = priced("a")
        play(stage, Success(), tokens(1000, 500))
        play(stage, failure("timeout"))
        assert amounts(bill(stage)) == pytest.approx((0.0078, 0.0008, 0.0008, 0))

    def test_keeps_what_was_spent_at_a_price_that_is_not_known_any_more(self) -> None:
        stage = priced("a")
        play(stage, Success(), tokens(1000, 500))
        member = stage.member("a")
        member.settings = Stage("a").member("a").settings
        play(stage, Success(), tokens(1000, 500))
        assert amounts(bill(stage)) == pytest.approx((0.007, 0.0, 0.0, 1))

    def test_of_a_pool_is_what_is_known_and_says_if_that_is_not_all(self) -> None:
        stage = priced("a")
        play(stage, Success(), tokens(1000, 500))
        bills = [bill(stage, name) for name in "ab"]
        assert amounts(cost.in_all(bills)) == pytest.approx((0.007, 0.0, 0.0, 0))
        assert not cost.in_all(bills).is_partial
        asked = cost.in_all([*bills, Bill(unpriced=2)])
        assert amounts(asked) == pytest.approx((0.007, 0.0, 0.0, 2))
        assert asked.is_partial
        assert cost.in_all([Bill(), Bill()]) == Bill()

    def test_of_a_request_is_partial_while_something_runs(self) -> None:
        stage = priced("a", "b")
        walk = stage.begin(needs=Asking(tokens=400))
        walk.asks_in_turn("a", kind="model_not_found")
        walk.asks("b")
        assert walk.dispatch.bill == cost.of_trail(walk.dispatch.trail) == Bill(0.0, unpriced=1)
        walk.answers(tokens(1000, 500))
        assert walk.dispatch.bill == cost.of_trail(walk.dispatch.trail)
        assert walk.dispatch.bill.usd == pytest.approx(0.007)
        [end] = walk.told(RequestEnded)
        assert (end.cost_usd, end.cost_partial) == (walk.dispatch.bill.usd, False)

    def test_of_a_request_says_if_someone_without_a_price_was_asked(self) -> None:
        walk = priced("b").begin(needs=Asking(tokens=400))
        walk.asks_in_turn("a")
        walk.asks("b")
        walk.answers(tokens(1000, 500))
        [end] = walk.told(RequestEnded)
        assert end.cost_usd == pytest.approx(0.007)
        assert end.cost_partial

    def test_of_a_request_has_nothing_for_who_was_skipped(self) -> None:
        assert cost.of_trail([SkipEntry("a", SkipReason.BENCHED, None)]) == Bill()

    def test_counts_the_tokens_that_have_prices_of_their_own(self) -> None:
        stage = Stage("a")
        play(stage, Success(), tokens(9, 9, cached=1, cache_write=2, reasoning=3))
        play(stage, failure("truncated"), tokens(9, 9, cached=10, cache_write=20, reasoning=30))
        metrics = stage.member("a").metrics
        assert (metrics.cached_tokens, metrics.cache_write_tokens, metrics.reasoning_tokens) == (
            11,
            22,
            33,
        )

    def test_as_json_is_in_billionths(self) -> None:
        assert Bill(1 / 3, 0.0, None, 2).to_dict() == {
            "cost_usd": 0.333333333,
            "cost_partial": True,
            "wasted_usd": 0.0,
            "estimated_usd": None,
            "unpriced": 2,
        }


ACCOUNTS = st.none() | st.builds(
    Tokens,
    st.integers(0, 10**6),
    st.integers(0, 10**5),
    st.booleans(),
    st.none(),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**5),
)
OUTCOMES = st.one_of(
    st.just(Success()),
    st.builds(Abandoned, lost=st.booleans()),
    st.sampled_from(sorted(set(FailureKind) - {FailureKind.CANCELLED})).map(failure),
)


@given(st.lists(st.tuples(OUTCOMES, ACCOUNTS, st.booleans()), max_size=12), st.sets(st.sampled_from("ab")))
def test_the_sum_over_attempts_is_the_members_and_the_pools(
    ends: list[tuple[Outcome, Tokens | None, bool]], known: set[str]
) -> None:
    stage = priced(*known, breaker={"enabled": False})
    trails: dict[str, list[AttemptEntry]] = {"a": [], "b": []}
    for outcome, used, second in ends:
        name = "ab"[second]
        stage.member("a").health.drained = second
        walk = stage.begin(needs=Asking(tokens=400))
        walk.asks(name)
        walk.settle(outcome, used)
        walk.leaves()
        trails[name] += [one for one in walk.dispatch.trail if isinstance(one, AttemptEntry)]
    for name, trail in trails.items():
        told, by_trail = bill(stage, name), cost.of_trail(trail)
        assert told.unpriced == by_trail.unpriced == (0 if name in known else len(trail))
        if trail and name in known:
            assert told.usd == pytest.approx(by_trail.usd)
            assert told.wasted == pytest.approx(sum(usd_of(entry) for entry in trail if is_waste(entry)))
            assert told.estimated == pytest.approx(sum(map(usd_of, filter(is_estimate, trail))))
    everything = cost.of_trail([*trails["a"], *trails["b"]])
    pools = cost.in_all(bill(stage, name) for name in "ab")
    assert pools.unpriced == everything.unpriced
    assert (pools.usd or 0.0) == pytest.approx(everything.usd or 0.0)


def usd_of(entry: AttemptEntry) -> float:
    return entry.cost_usd or 0.0


def is_waste(entry: AttemptEntry) -> bool:
    return entry.lost or entry.outcome not in ("success", "cancelled")


def is_estimate(entry: AttemptEntry) -> bool:
    return entry.cost_estimated


def test_for_people_cents_are_enough_from_a_dollar_on() -> None:
    assert [dollars(usd) for usd in (0.0, 0.0000125, 0.9, 1.0, 12.345)] == [
        "$0.000000", "$0.000013", "$0.900000", "$1.00", "$12.35"
    ]  # fmt: skip
