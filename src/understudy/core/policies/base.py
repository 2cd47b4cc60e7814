"""What a policy is, and what it may know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """The facts of one member that a policy may judge."""

    @property
    def index(self) -> int:
        """The member's position in its profile."""
        ...


AnyCandidate = TypeVar("AnyCandidate", bound=Candidate)


class Policy(Protocol):
    """Ranks the members for one request. Skipping, retrying and failing over are not its business.

    `waits_for_first`: a short Retry-After is waited for on the first-ranked member, because the order
    is the operator's preference.
    """

    @property
    def name(self) -> str: ...

    @property
    def waits_for_first(self) -> bool: ...

    def rank(self, candidates: Sequence[AnyCandidate], now: float) -> Sequence[AnyCandidate]:
        """All candidates, best first. Changes nothing."""
        ...

    def picked(self, candidate: Candidate) -> None:
        """An attempt on this candidate begins."""
        ...
