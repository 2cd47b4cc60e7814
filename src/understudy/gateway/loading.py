"""Profiles from their files, once and anew.

1. With names given, these are served, and a wrong one is an error. Without any, every saved load balancer
   is; one that cannot be used is left out with a warning, and it is an error if none is left.
2. The first name given is the default; without names the saved default is, if it is served.
3. Loading anew takes everything or nothing: one bad file, and all stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from understudy.config.pool import PoolProfile, load_pool
from understudy.config.profile import LoadBalancerProfile
from understudy.config.store import ProfileStore
from understudy.errors import ConfigurationError
from understudy.gateway.admission import Door
from understudy.gateway.profiles import Profiles, Served
from understudy.library.balancer import Balancer
from understudy.runtime.ports import Transport

_log = logging.getLogger("understudy.gateway")


class SharedTransport:
    """One transport for all profiles; closing a balancer leaves it open for the others."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.send = transport.send

    async def close(self) -> None:
        """It is the gateway's to close."""

    async def close_for_good(self) -> None:
        await self._transport.close()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to serve. `names` empty: everything saved. `settings` override the profiles'."""

    store: ProfileStore
    environ: Mapping[str, str]
    transport: SharedTransport
    names: Sequence[str] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    limit: int = 2048
    queue: int = 1024


def load(plan: Plan) -> Profiles:
    """The profiles, live. Raises `ConfigurationError`."""
    served = {profile.name: _serve(plan, profile) for profile in _pools(plan)}
    return Profiles(served, default=_default(plan, served), aliases=_aliases(plan, served))


def _serve(plan: Plan, profile: PoolProfile) -> Served:
    balancer = Balancer(profile, settings=plan.settings, environ=plan.environ, transport=plan.transport)
    patience = balancer.setting("wait_for_capacity_ms")[0] / 1000
    return Served(profile.name, balancer, Door(plan.limit, plan.queue, patience))


def _pools(plan: Plan) -> list[PoolProfile]:
    """Rule 1."""
    pools = [load_pool(name, plan.store, plan.environ) for name in plan.names] or list(_all_saved(plan))
    if not pools:
        raise ConfigurationError(
            f"no load-balancer profile in {plan.store.folder} can be served",
            hint="--profile-load NAME says which and why not; `understudy profile list` shows all",
        )
    for pool in pools:
        for warning in pool.warnings:
            _log.warning("%s: %s", pool.name, warning)
    return pools


def _all_saved(plan: Plan) -> Iterator[PoolProfile]:
    own = plan.store.own_names()
    for name in plan.store.names():
        try:
            if isinstance(plan.store.load(name), LoadBalancerProfile):
                yield load_pool(name, plan.store, plan.environ)
        except ConfigurationError as error:
            if name in own:
                _log.warning("%s is not served: %s", name, error.message)


def _default(plan: Plan, served: Mapping[str, Served]) -> str | None:
    """Rule 2."""
    if plan.names:
        return next(iter(served))
    default = plan.store.default
    return default if default in served else None


def _aliases(plan: Plan, served: Mapping[str, Served]) -> Mapping[str, str]:
    for alias, name in plan.aliases.items():
        if name not in served:
            raise ConfigurationError(
                f"the alias {alias} stands for {name}, which is not served", hint=f"served: {', '.join(served)}"
            )
    return plan.aliases
