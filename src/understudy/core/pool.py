"""The live members of one load-balancer profile, with their state. Not shared between profiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from understudy.core.breaker import Breaker
from understudy.core.dispatch import Dispatch
from understudy.core.metrics import MemberMetrics, PoolMetrics
from understudy.core.policies.base import Policy
from understudy.core.settings import MemberSettings, PoolSettings
from understudy.core.window import TokenWindow
from understudy.errors import SkipReason


class Member:
    """One position of a profile: its settings and everything known about its health.

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


class Pool:
    """What one profile's requests share.

    `quiet_since` is the instant of the last opening or probe start of any member: early probes keep
    their distance from it.
    """

    __slots__ = ("members", "metrics", "policy", "profile", "quiet_since", "sequence", "settings")

    def __init__(
        self, profile: str, policy: Policy, members: Sequence[Member], settings: PoolSettings
    ) -> None:
        self.profile = profile
        self.policy = policy
        self.members = tuple(members)
        self.settings = settings
        self.metrics = PoolMetrics()
        self.sequence = 0
        self.quiet_since = 0.0

    def __repr__(self) -> str:
        return f"<Pool {self.profile}, {self.policy.name}, {len(self.members)} members>"

    def dispatch(self, now: float, jitter: Callable[[], float], *, stream: bool) -> Dispatch:
        """Begin one request's walk. `jitter` gives numbers in [0, 1) for the back-off."""
        self.sequence += 1
        self.metrics.requests += 1
        return Dispatch(self, now, jitter, stream=stream)
