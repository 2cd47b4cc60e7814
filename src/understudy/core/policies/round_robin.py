"""Round robin: each request begins with the member after the one that was asked last.

The turn moves with every attempt, not with every request: when a member is skipped or fails, the one
that stands in for it has had its turn, so it does not carry the absent member's load on top of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from understudy.core.policies.base import AnyCandidate, Candidate, Indifferent

if TYPE_CHECKING:
    from understudy.core.demand import Demand


class RoundRobin(Indifferent):
    """Ranks the members in the profile's order, beginning with the one whose turn it is."""

    name = "roundrobin"
    waits_for_first = False

    def __init__(self) -> None:
        self._turn = 0

    def __repr__(self) -> str:
        return f"<RoundRobin, turn of {self._turn}>"

    def rank(self, candidates: Sequence[AnyCandidate], now: float, demand: Demand) -> Sequence[AnyCandidate]:
        turn = self._turn % len(candidates) if candidates else 0
        return [*candidates[turn:], *candidates[:turn]]

    def picked(
        self, candidate: Candidate, candidates: Sequence[Candidate], now: float, demand: Demand
    ) -> None:
        self._turn = candidate.index + 1
