"""Taking turns by weight: nginx's smooth weighted round robin.

(https://github.com/phusion/nginx/commit/27e94984486058d73157038f7950a0a36ecc6e35, "Upstream: smooth weighted
round-robin balancing".) With each turn everybody's credit grows by their share, and whoever has it pays what
all of them gained. So 5, 1, 1 makes a a b a c a a and not a a a a a b c. Who is not up gains nothing and
pays nothing: it comes back as it went.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from understudy.core.policies.base import Candidate

if TYPE_CHECKING:
    from understudy.core.settings import PoolSettings


class Turns:
    """Whose turn it is, by position."""

    __slots__ = ("credit",)

    def __init__(self) -> None:
        self.credit: dict[int, float] = {}

    def __repr__(self) -> str:
        return f"<Turns {self.credit}>"

    def claim(self, candidate: Candidate, now: float) -> float:
        """How much this turn is the candidate's: the largest claim has it. None without weight."""
        share = candidate.share(now)
        return self.credit.get(candidate.index, 0.0) + share if share else -inf

    def take(
        self, candidate: Candidate, candidates: Sequence[Candidate], now: float, settings: PoolSettings
    ) -> None:
        """The candidate has had its turn."""
        credit, gained = self.credit, 0.0
        for other in candidates:
            share = other.share(now) if other is candidate else other.share_if_up(now, settings)
            if share is not None:
                credit[other.index] = credit.get(other.index, 0.0) + share
                gained += share
        credit[candidate.index] -= gained
