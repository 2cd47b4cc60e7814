"""Who takes part, with which settings: a row each. Everybody has the same timeout besides.

A row of ours is a policy and settings of the pool, as a profile has them; everything else is as it comes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benches.environments import environment, requirements
from benches.failover.gateways import litellm, portkey, understudy
from benches.failover.pool import Pool
from benches.gateway.proxies.base import Command
from benches.gateway.versions import node_packages, python_packages


class Library(NamedTuple):
    """A module among the peers, and whose interpreter runs it; raises `NotInstallable`."""

    module: str
    interpreter: Callable[[], Path]


class Gateway(NamedTuple):
    """How it is started; raises `NotInstallable`."""

    prepare: Callable[[Pool, int, Path], Command]


class Entry(NamedTuple):
    title: str
    peer: Library | Gateway
    settings: Mapping[str, Any] = {}


def versions() -> list[str]:
    """Of the peers, as they are pinned."""
    libraries = requirements()
    node = node_packages("portkey")["dependencies"]
    assert isinstance(node, dict)
    pinned = [
        *python_packages("litellm"),
        *libraries["langchain_fallbacks"],
        *libraries["pydantic_ai_fallback"],
    ]
    return sorted({*pinned, *(f"{name}=={version}" for name, version in node.items())})


def _here() -> Path:
    return Path(sys.executable)


_RECOMMENDED = {"hedge": "p95", "failover_retry_count": 1}  # for members that may stand in for each other
OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "failover": ("failover", {"policy": "failover"}),
    "failover-once": ("failover, one attempt each", {"policy": "failover", "failover_retry_count": 1}),
    "failover-hedged": ("failover, hedged after 300 ms", {"policy": "failover", "hedge": 300}),
    "fastest-hedged": ("fastest, hedged after 300 ms", {"policy": "fastest", "hedge": 300}),
    "failover-p95": ("failover, hedged at p95, one attempt each", {"policy": "failover", **_RECOMMENDED}),
    "fastest-p95": ("fastest, hedged at p95, one attempt each", {"policy": "fastest", **_RECOMMENDED}),
    "roundrobin": ("round robin", {"policy": "roundrobin"}),
}
_COOLDOWN = {"allowed_fails": 2, "cooldown_time": 30}  # out for 30 s after the third failure, as ours
LITELLM: dict[str, tuple[str, dict[str, Any]]] = {
    "shuffle": ("simple-shuffle as it comes", {"num_retries": 2}),
    "failover": (
        "simple-shuffle, weighted failover, cooldown",
        {"num_retries": 0, "enable_weighted_failover": True, **_COOLDOWN},
    ),
    "order": ("in order, cooldown", {"order": True, "num_retries": 0, **_COOLDOWN}),
    "latency": (
        "latency-based, cooldown",
        {"routing_strategy": "latency-based-routing", "num_retries": 2, **_COOLDOWN},
    ),
}
LITELLM_PROXY = {row: LITELLM[row] for row in ("shuffle", "failover")}
CALLER = Library("gateway_caller", _here)


def _rows(
    name: str, title: str, peer: Library | Gateway, rows: Mapping[str, tuple[str, dict[str, Any]]]
) -> dict[str, Entry]:
    return {f"{name}-{row}": Entry(f"{title}, {said}", peer, told) for row, (said, told) in rows.items()}


ROSTER = {
    **_rows("understudy", "**Understudy**", Library("understudy_balancer", _here), OURS),
    **_rows("litellm", "LiteLLM Router", Library("litellm_router", litellm.interpreter), LITELLM),
    "langchain": Entry(
        "LangChain `with_fallbacks`",
        Library("langchain_fallbacks", partial(environment, "langchain_fallbacks")),
    ),
    "pydantic-ai": Entry(
        "pydantic-ai `FallbackModel`",
        Library("pydantic_ai_fallback", partial(environment, "pydantic_ai_fallback")),
    ),
    **_rows("understudy-gateway", "**Understudy gateway**", Gateway(understudy.prepare), OURS),
    **_rows("litellm-proxy", "LiteLLM proxy", Gateway(litellm.prepare), LITELLM_PROXY),
    "portkey-fallback": Entry("Portkey, fallback", Gateway(portkey.prepare), {"mode": "fallback"}),
    "portkey-loadbalance": Entry(
        "Portkey, load balance over fallbacks", Gateway(portkey.prepare), {"mode": "loadbalance"}
    ),
}
