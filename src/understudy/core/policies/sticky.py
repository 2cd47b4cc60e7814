"""Sticky: requests of the same session, or of the same beginning, meet the same member.

So that what a provider has cached of a prompt is found again. Each member draws a number from the request's
key and its own name, and the highest is asked (rendezvous hashing: Thaler, Ravishankar, "Using name-based
mappings to increase hit rates", 1998; weights after Schindelhauer, Schomaker, 2005). Nothing is remembered:

1. Every process comes to the same order, whatever the members' positions.
2. While a member can't be asked, each of its sessions goes to the second of its own order, so that they
   spread over all others; when it can again, they return. Nobody else's session moves.
3. A member that joins or leaves takes or gives no more than its share.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING

from understudy.core.policies.base import AnyCandidate, Indifferent

if TYPE_CHECKING:
    from understudy.core.demand import Demand

_BITS = (1 << 64) - 1


class Sticky(Indifferent):
    """Ranks the members by what they draw for the request's key."""

    name = "sticky"
    waits_for_first = True

    def rank(self, candidates: Sequence[AnyCandidate], now: float, demand: Demand) -> Sequence[AnyCandidate]:
        key = demand.affinity

        def drawn(candidate: AnyCandidate) -> float:
            return candidate.settings.weight / log(_fraction(key ^ candidate.seed))

        return sorted(candidates, key=drawn)


def _fraction(number: int) -> float:
    """Between 0 and 1, and neither; each of its bits depends on all of the number's 64.

    They are mixed by splitmix64's last step (Steele et al., 2014); as many are kept as a float can tell apart
    from its neighbours.
    """
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _BITS
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _BITS
    return (((number ^ number >> 31) >> 12) + 0.5) / (1 << 52)
