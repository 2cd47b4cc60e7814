"""Policies: each ranks the members for one request. `BY_NAME` is the list of them."""

from __future__ import annotations

from collections.abc import Callable

from understudy.core.policies.base import Candidate, Policy
from understudy.core.policies.cheapest import Cheapest
from understudy.core.policies.failover import Failover
from understudy.core.policies.failover_sticky import FailoverSticky
from understudy.core.policies.fastest import Fastest
from understudy.core.policies.least_busy import LeastBusy
from understudy.core.policies.round_robin import RoundRobin
from understudy.core.policies.sticky import Sticky
from understudy.core.policies.weighted import Weighted

BY_NAME: dict[str, Callable[[], Policy]] = {
    "failover": Failover,
    "roundrobin": RoundRobin,
    "weighted": Weighted,
    "least_busy": LeastBusy,
    "fastest": Fastest,
    "cheapest": Cheapest,
    "sticky": Sticky,
    "failover_sticky": FailoverSticky,
}

__all__ = [
    "BY_NAME",
    "Candidate",
    "Cheapest",
    "Failover",
    "FailoverSticky",
    "Fastest",
    "LeastBusy",
    "Policy",
    "RoundRobin",
    "Sticky",
    "Weighted",
]
