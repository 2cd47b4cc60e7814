"""The live members of one load-balancer profile, with their state. Not shared between profiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from understudy.core.budget import Budget, Recent
from understudy.core.member import Member
from understudy.core.metrics import PoolMetrics
from understudy.core.policies.base import Policy
from understudy.core.queue import Queue
from understudy.core.settings import PoolSettings
from understudy.core.strain import Strain

if TYPE_CHECKING:
    from understudy.core.fleet import Fleet

RETRIES_ANYHOW = 10
HEDGES_ANYHOW = 10


class Pool:
    """What one profile's requests share.

    `quiet_since` is the instant of the last opening or probe start of any member: early probes keep
    their distance from it. `requests` are those of late; `retries` is the budget for
    asking the same member again, `hedges` the one for asking two at once. `fleet` is what is known of others
    that share the pool, None if nobody does.
    """

    __slots__ = (
        "fleet",
        "hedges",
        "members",
        "metrics",
        "policy",
        "profile",
        "queue",
        "quiet_since",
        "requests",
        "retries",
        "sequence",
        "settings",
        "strain",
    )

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
        self.requests = Recent()
        self.retries = Budget(self.requests, RETRIES_ANYHOW)
        self.hedges = Budget(self.requests, HEDGES_ANYHOW)
        self.queue = Queue()
        self.strain = Strain()
        self.fleet: Fleet | None = None

    def __repr__(self) -> str:
        return f"<Pool {self.profile}, {self.policy.name}, {len(self.members)} members>"

    def succeed(self, other: Pool) -> None:
        """Go on counting where `other` is, and taking turns if the policy is the same."""
        self.metrics = other.metrics
        self.sequence = other.sequence
        self.quiet_since = other.quiet_since
        self.requests = other.requests
        self.retries = other.retries
        self.hedges = other.hedges
        if type(self.policy) is type(other.policy):
            self.policy = other.policy

    def begin(self, now: float) -> int:
        """A request begins; returns its number in this pool."""
        self.sequence += 1
        self.metrics.requests += 1
        self.requests.add(now)
        return self.sequence
