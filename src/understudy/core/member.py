"""One position of a profile, alive: its settings and everything known about its health."""

from __future__ import annotations

from understudy.core.breaker import Breaker
from understudy.core.metrics import MemberMetrics
from understudy.core.settings import MemberSettings
from understudy.core.window import TokenWindow
from understudy.errors import SkipReason


class Member:
    """A backend as a pool knows it; the same backend listed twice is two of these.

    `problem` is why it cannot be asked at all, None if it can; `benched_until` is an instant.
    """

    __slots__ = (
        "benched_until",
        "breaker",
        "index",
        "metrics",
        "name",
        "problem",
        "settings",
        "window",
    )

    def __init__(
        self, name: str, index: int, settings: MemberSettings, problem: SkipReason | None = None
    ) -> None:
        self.name = name
        self.index = index
        self.settings = settings
        self.problem = problem
        self.breaker = Breaker()
        self.window = TokenWindow()
        self.metrics = MemberMetrics()
        self.benched_until = 0.0

    def __repr__(self) -> str:
        return f"<Member {self.name}, {self.breaker!r}, {self.metrics.in_flight} in flight>"

    def bench(self, now: float, seconds: float, longest: float) -> float:
        """Leave the member alone for `seconds`, at most `longest`; never shortens a bench.

        Returns the instant the bench ends.
        """
        self.benched_until = max(self.benched_until, now + min(seconds, longest))
        return self.benched_until
