"""Failover that stays: after a failover the pool keeps to who answered, and goes back in its own time.

1. The order is the profile's, but for one member in front of it: who answered last after another had failed.
   Before the first failover that is nobody, and the order is the profile's.
2. It goes back to a better member once nothing has spoken against that one for `failback_after_ms`: no bench,
   no open circuit, no failure. An open circuit speaks against it until it would be probed. The first request
   after that is the probe; if it fails, the time begins anew, and the pool stays where it is.
3. A request that a member can't take, or has no room for, moves nothing.
4. Others that share the pool may move it; that speaks against all better members, as their failure would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from understudy.core.policies.base import AnyCandidate, Candidate, Indifferent

if TYPE_CHECKING:
    from understudy.core.demand import Demand


class FailoverSticky(Indifferent):
    """Ranks the members as the profile lists them, after the one that the pool keeps to.

    `stays` is that one's position, None if it is the first.
    """

    name = "failover_sticky"
    waits_for_first = True

    def __init__(self) -> None:
        self.stays: int | None = None
        self._moved_at = 0.0
        self._is_in_doubt = False

    def __repr__(self) -> str:
        return f"<FailoverSticky, {'nowhere' if self.stays is None else f'at {self.stays}'}>"

    def rank(self, candidates: Sequence[AnyCandidate], now: float, demand: Demand) -> Sequence[AnyCandidate]:
        first = self._first(candidates, now, demand)
        if first is None or first is candidates[0]:
            return candidates
        return [first, *(candidate for candidate in candidates if candidate is not first)]

    def began(self, candidate: Candidate, now: float, seconds: float, demand: Demand) -> None:
        stays = self.stays or 0
        goes_back = candidate.index < stays and self._is_due(candidate, now - seconds, demand)
        if self._is_in_doubt or goes_back:
            self.stays = candidate.index or None
        self._is_in_doubt = False

    def failed(self, candidate: Candidate, now: float, seconds: float, longest: float) -> None:
        self._is_in_doubt = self._is_in_doubt or candidate.index == (self.stays or 0)

    def _first(self, candidates: Sequence[AnyCandidate], now: float, demand: Demand) -> AnyCandidate | None:
        """Where the pool stays, or a better one whose time has come (rule 2)."""
        if self.stays is None or self.stays >= len(candidates):
            return None
        due = (candidate for candidate in candidates[: self.stays] if self._is_due(candidate, now, demand))
        return next(due, candidates[self.stays])

    def _is_due(self, candidate: Candidate, now: float, demand: Demand) -> bool:
        settings = demand.settings
        well_since = max(candidate.well_since(now, settings), self._moved_at)
        return now >= well_since + settings.routing.failback_after

    def move(self, stays: int | None, now: float) -> None:
        """Others have moved it (rule 4)."""
        self.stays = stays
        self._moved_at = now
