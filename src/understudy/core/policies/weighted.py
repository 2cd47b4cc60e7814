"""Weighted: turns in proportion to `weight`, evenly mixed (`turns`). Weight 0 stands in only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from understudy.core.policies.base import AnyCandidate, Candidate, Indifferent
from understudy.core.policies.turns import Turns

if TYPE_CHECKING:
    from understudy.core.demand import Demand


class Weighted(Indifferent):
    """Ranks the members by how much this turn is theirs."""

    name = "weighted"
    waits_for_first = False

    def __init__(self) -> None:
        self._turns = Turns()

    def __repr__(self) -> str:
        return f"<Weighted, {self._turns!r}>"

    def rank(self, candidates: Sequence[AnyCandidate], now: float, demand: Demand) -> Sequence[AnyCandidate]:
        claim = self._turns.claim
        return sorted(candidates, key=lambda candidate: claim(candidate, now), reverse=True)

    def picked(
        self, candidate: Candidate, candidates: Sequence[Candidate], now: float, demand: Demand
    ) -> None:
        self._turns.take(candidate, candidates, now, demand.settings)
