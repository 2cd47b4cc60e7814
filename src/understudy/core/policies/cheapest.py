"""Cheapest: by what the request is expected to cost at each member's prices. Unknown prices come last."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from understudy.core.policies.base import AnyCandidate, Indifferent

if TYPE_CHECKING:
    from understudy.core.demand import Demand


class Cheapest(Indifferent):
    """Ranks the members by price, equal ones as the profile lists them."""

    name = "cheapest"
    waits_for_first = True

    def rank(self, candidates: Sequence[AnyCandidate], now: float, demand: Demand) -> Sequence[AnyCandidate]:
        def cost(candidate: AnyCandidate) -> float:
            price = demand.price(candidate.facts)
            return inf if price is None else price

        return sorted(candidates, key=cost)
