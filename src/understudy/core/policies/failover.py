"""Failover: the profile's order is the preference; the next one is asked when one can't go on."""

from __future__ import annotations

from collections.abc import Sequence

from understudy.core.policies.base import AnyCandidate, Candidate


class Failover:
    """Ranks the members as the profile lists them."""

    name = "failover"
    waits_for_first = True

    def rank(self, candidates: Sequence[AnyCandidate], now: float) -> Sequence[AnyCandidate]:
        return candidates

    def picked(self, candidate: Candidate) -> None:
        """Nothing to remember: the order never changes."""
