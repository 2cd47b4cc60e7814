"""What a policy is, and what it may know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from understudy.core.demand import Demand
    from understudy.core.facts import Facts
    from understudy.core.load import Load
    from understudy.core.metrics import MemberMetrics
    from understudy.core.settings import MemberSettings, PoolSettings


class Candidate(Protocol):
    """The facts of one member that a policy may judge."""

    @property
    def index(self) -> int:
        """The member's position in its profile."""
        ...

    @property
    def seed(self) -> int:
        """A number of 64 bits that stands for the member's name, wherever it is listed."""
        ...

    # Plain fields rather than properties of their own: with every request they are read of each member.

    @property
    def metrics(self) -> MemberMetrics:
        """For what is `in_flight`."""
        ...

    @property
    def settings(self) -> MemberSettings: ...

    @property
    def max_concurrency(self) -> int | None: ...

    @property
    def facts(self) -> Facts:
        """What is known of its model."""
        ...

    @property
    def load(self) -> Load:
        """How soon its streams begin."""
        ...

    @property
    def whole_load(self) -> Load:
        """How soon it has given a whole answer, where that was asked for."""
        ...

    def share(self, now: float) -> float:
        """Its weight, less while it is eased in after an outage."""
        ...

    def share_if_up(self, now: float, settings: PoolSettings) -> float | None:
        """The same; None if it is benched or kept out by its circuit."""
        ...

    def well_since(self, now: float, settings: PoolSettings) -> float:
        """The instant from which on nothing has spoken against it; later than `now` while something does."""
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

    def rank(self, candidates: Sequence[AnyCandidate], now: float, demand: Demand) -> Sequence[AnyCandidate]:
        """All candidates, best first. Changes nothing."""
        ...

    def picked(
        self, candidate: Candidate, candidates: Sequence[Candidate], now: float, demand: Demand
    ) -> None:
        """An attempt on this one of the candidates begins."""
        ...

    def began(self, candidate: Candidate, now: float, seconds: float, demand: Demand) -> None:
        """An attempt's first content came, so long after its start."""
        ...

    def failed(self, candidate: Candidate, now: float, seconds: float, longest: float) -> None:
        """An attempt failed through its backend's fault, which asked so long for its first content.

        `longest` is as long as it may take.
        """
        ...

    def gave_up(self, candidate: Candidate, now: float, seconds: float, *, stream: bool) -> None:
        """An attempt was given up before its first content, by nobody's fault."""
        ...


class Indifferent:
    """A policy that learns nothing from what becomes of attempts."""

    __slots__ = ()

    def picked(
        self, candidate: Candidate, candidates: Sequence[Candidate], now: float, demand: Demand
    ) -> None: ...

    def began(self, candidate: Candidate, now: float, seconds: float, demand: Demand) -> None: ...

    def failed(self, candidate: Candidate, now: float, seconds: float, longest: float) -> None: ...

    def gave_up(self, candidate: Candidate, now: float, seconds: float, *, stream: bool) -> None: ...
