"""One position of a profile, alive: its settings and everything known about its health."""

from __future__ import annotations

from understudy.core.breaker import Breaker
from understudy.core.metrics import MemberMetrics
from understudy.core.settings import MemberSettings
from understudy.core.window import TokenWindow
from understudy.errors import SkipReason


class Health:
    """What is known of a member, whatever its settings: it outlives a profile that is loaded anew.

    `benched_until` is an instant; `drained`: an operator lets it finish and gives it nothing more.
    `refuses_prefill`: it did not want to go on with an answer that somebody else began.
    """

    __slots__ = ("benched_until", "breaker", "drained", "metrics", "refuses_prefill", "window")

    def __init__(self) -> None:
        self.breaker = Breaker()
        self.window = TokenWindow()
        self.metrics = MemberMetrics()
        self.benched_until = 0.0
        self.drained = False
        self.refuses_prefill = False


class Member:
    """A backend as a pool knows it; the same backend listed twice is two of these.

    `problem` is why it cannot be asked at all, None if it can.
    """

    __slots__ = (
        "breaker",
        "health",
        "index",
        "metrics",
        "name",
        "problem",
        "settings",
        "window",
    )

    def __init__(
        self,
        name: str,
        index: int,
        settings: MemberSettings,
        problem: SkipReason | None = None,
        health: Health | None = None,
    ) -> None:
        self.name = name
        self.index = index
        self.settings = settings
        self.problem = problem
        self.health = health or Health()
        self.breaker = self.health.breaker
        self.window = self.health.window
        self.metrics = self.health.metrics

    def __repr__(self) -> str:
        return f"<Member {self.name}, {self.breaker!r}, {self.metrics.in_flight} in flight>"

    @property
    def benched_until(self) -> float:
        return self.health.benched_until

    @benched_until.setter
    def benched_until(self, instant: float) -> None:
        self.health.benched_until = instant

    @property
    def is_listed_only(self) -> bool:
        """It is there to be seen, and not to be asked."""
        return self.problem is not None or self.health.drained

    def bench(self, now: float, seconds: float, longest: float) -> float:
        """Leave the member alone for `seconds`, at most `longest`; never shortens a bench.

        Returns the instant the bench ends.
        """
        self.benched_until = max(self.benched_until, now + min(seconds, longest))
        return self.benched_until
