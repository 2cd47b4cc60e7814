"""Failover: the profile's order is the preference; the next one is asked when one can't go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from understudy.core.policies.base import AnyCandidate, Indifferent

if TYPE_CHECKING:
    from understudy.core.demand import Demand


class Failover(Indifferent):
    """Ranks the members as the profile lists them."""

    name = "failover"
    waits_for_first = True

    def rank(self, candidates: Sequence[AnyCandidate], now: float, demand: Demand) -> Sequence[AnyCandidate]:
        return candidates
