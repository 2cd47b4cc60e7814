"""Least busy: the member with the fewest attempts in flight for its size; among equals, turns by weight.

A member's size is its weight. Where every member has a `max_concurrency`, it is that times the weight:
then each is as full as the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING

from understudy.core.policies.base import AnyCandidate, Candidate, Indifferent
from understudy.core.policies.turns import Turns

if TYPE_CHECKING:
    from understudy.core.demand import Demand


_LIMIT = attrgetter("max_concurrency")


class LeastBusy(Indifferent):
    """Ranks the members by attempts in flight."""

    name = "least_busy"
    waits_for_first = False

    def __init__(self) -> None:
        self._turns = Turns()

    def __repr__(self) -> str:
        return f"<LeastBusy, {self._turns!r}>"

    def rank(self, candidates: Sequence[AnyCandidate], now: float, demand: Demand) -> Sequence[AnyCandidate]:
        credit = self._turns.credit
        by_limit = None not in map(_LIMIT, candidates)

        def order(candidate: AnyCandidate) -> tuple[float, float]:
            share = size = candidate.share(now)
            if by_limit:
                size *= candidate.max_concurrency or 1
            busy = candidate.metrics.in_flight / size if size else inf
            return busy, -share - credit.get(candidate.index, 0.0)

        return sorted(candidates, key=order)

    def picked(
        self, candidate: Candidate, candidates: Sequence[Candidate], now: float, demand: Demand
    ) -> None:
        self._turns.take(candidate, candidates, now, demand.settings)
