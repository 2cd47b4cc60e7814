"""What attempts cost, in US dollars.

1. Tokens are priced by the member's own price. Those read from a cache, written to one, or thought have
   prices of their own, where the model has them; else they cost what other input and output does.
2. Without a price the cost is not known: None, never 0. Sums leave such attempts out, count them, and are
   partial then.
3. An attempt without an account of its tokens has cost its prompt, by estimate, if the backend will have read
   it: it was answered, cut off or given up (`outcome.prompt_was_read`), or its answer began well and came to
   nothing. Else it has cost nothing.
4. Every attempt is in its member's bill, whatever became of it. Wasted is what those cost that failed, were
   refused, or were slower than another: what the same answers would not have cost without trouble. Of a
   caller who left nobody knows.
5. What is based on estimated tokens is an estimate. Sums say how much of them is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from understudy.core.outcome import Failure, Outcome, Success, Tokens, prompt_was_read
from understudy.errors import AttemptEntry, FailureKind, TrailEntry

if TYPE_CHECKING:
    from understudy.core.attempt import Attempt
    from understudy.core.demand import Demand
    from understudy.core.facts import Price
    from understudy.core.member import Member

ENDS = ("success", "failure", "refused", "cancelled", "lost")
"""How an attempt may end. Unlike elsewhere, what was lost to a faster one is not among the cancelled."""
WASTED = ("failure", "refused", "lost")

_NO_ANSWER = frozenset((FailureKind.EMPTY, FailureKind.PROTOCOL, FailureKind.RESET))
_MILLION = 1_000_000


class Cost(NamedTuple):
    """Of one attempt."""

    usd: float
    estimated: bool


class Bill(NamedTuple):
    """A sum, None where nothing of it is known (rule 2). `wasted` and `estimated` are part of `usd`."""

    usd: float | None = None
    wasted: float | None = None
    estimated: float | None = None
    unpriced: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "cost_usd": _rounded(self.usd),
            "cost_partial": self.is_partial,
            "wasted_usd": _rounded(self.wasted),
            "estimated_usd": _rounded(self.estimated),
            "unpriced": self.unpriced,
        }

    @property
    def is_partial(self) -> bool:
        """Are there attempts that nobody knows the cost of?"""
        return self.unpriced > 0


NOTHING_KNOWN = Bill()


def ended(attempt: Attempt, outcome: Outcome, tokens: Tokens | None, demand: Demand) -> None:
    """The attempt has ended: it is told its cost, so are its member's metrics (rule 4)."""
    price = attempt.settings.facts.price
    if price is not None:
        attempt.cost = _of_attempt(attempt, price, outcome, tokens, demand)
        usd, estimated = attempt.cost
        attempt.member.metrics.charged(_end(outcome), usd, estimated=estimated)


def of_tokens(price: Price, tokens: Tokens) -> float:
    """Rule 1. No part of an account can be more than the whole."""
    if not (tokens.cached or tokens.cache_write or tokens.reasoning):
        return (tokens.input * price.input + tokens.output * price.output) / _MILLION
    cached = min(tokens.cached, tokens.input)
    written = min(tokens.cache_write, tokens.input - cached)
    thought = min(tokens.reasoning, tokens.output)
    millionths = (
        (tokens.input - cached - written) * price.input
        + cached * _or(price.cached_input, price.input)
        + written * _or(price.cache_write, price.input)
        + (tokens.output - thought) * price.output
        + thought * _or(price.reasoning, price.output)
    )
    return millionths / _MILLION


def of_member(member: Member) -> Bill:
    """Known from the start, if the price is."""
    metrics = member.metrics
    if not metrics.priced and member.settings.facts.price is None:
        return Bill(unpriced=metrics.unpriced)
    return Bill(
        sum(metrics.costs.values()),
        sum(metrics.costs.get(end, 0.0) for end in WASTED),
        metrics.estimated_cost,
        metrics.unpriced,
    )


def in_all(bills: Iterable[Bill]) -> Bill:
    """What is known of them."""
    bills = list(bills)
    return Bill(
        _sum(bill.usd for bill in bills),
        _sum(bill.wasted for bill in bills),
        _sum(bill.estimated for bill in bills),
        sum(bill.unpriced for bill in bills),
    )


def of_attempts(attempts: Iterable[Attempt]) -> tuple[float | None, int]:
    """What those of one request cost that have a price, None if none has; how many run yet or have none."""
    usd: float | None = None
    unpriced = 0
    for attempt in attempts:
        if attempt.cost is None:
            unpriced += 1
        else:
            usd = attempt.cost.usd + (usd or 0.0)
    return usd, unpriced


def of_trail(trail: Iterable[TrailEntry]) -> Bill:
    """The same, as it has been kept."""
    costs = [entry.cost_usd for entry in trail if isinstance(entry, AttemptEntry)]
    return Bill(_sum(costs), None, None, costs.count(None))


def dollars(usd: float) -> str:
    """For people."""
    return f"${usd:.2f}" if usd >= 1 else f"${usd:.6f}"


def _of_attempt(
    attempt: Attempt, price: Price, outcome: Outcome, tokens: Tokens | None, demand: Demand
) -> Cost:
    if tokens is not None:
        return Cost(of_tokens(price, tokens), tokens.estimated)
    if prompt_was_read(outcome) or _began_well(attempt, outcome):
        return Cost(demand.prompt(attempt.settings.facts) * price.input / _MILLION, estimated=True)
    return Cost(0.0, estimated=False)


def _began_well(attempt: Attempt, outcome: Outcome) -> bool:
    is_none = isinstance(outcome, Failure) and outcome.kind in _NO_ANSWER
    return is_none and attempt.status is not None and 200 <= attempt.status < 300


def _end(outcome: Outcome) -> str:
    match outcome:
        case Success():
            return "success"
        case Failure():
            return "refused" if outcome.is_refusal else "failure"
        case _:
            return "lost" if outcome.lost else "cancelled"


def _rounded(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 9)


def _or(price: float | None, other: float) -> float:
    return other if price is None else price


def _sum(amounts: Iterable[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None
