"""Policies: each ranks the members for one request. `BY_NAME` is the list of them."""

from __future__ import annotations

from collections.abc import Callable

from understudy.core.policies.base import Candidate, Policy
from understudy.core.policies.failover import Failover
from understudy.core.policies.round_robin import RoundRobin

BY_NAME: dict[str, Callable[[], Policy]] = {"failover": Failover, "roundrobin": RoundRobin}

__all__ = ["BY_NAME", "Candidate", "Failover", "Policy", "RoundRobin"]
