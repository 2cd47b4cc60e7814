"""The gateway that ``understudy top --demo`` looks at: with clients, and backends that misbehave in turn.

1. Nothing is acted out: the backends are the fault provider on real sockets, the gateway is the application
   that ``understudy serve`` serves, asked in this process. It needs no key, no network and no proxy.
2. Each act changes what one backend plays; after the last the first comes again.
3. Clients ask at random instants, by the gateway's own route, and don't mind errors.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random

from understudy.cli.in_process import InProcess
from understudy.config.profile import LoadBalancerProfile, StandardProfile
from understudy.faults import FaultProvider
from understudy.gateway.admin import Admin
from understudy.gateway.admission import Door
from understudy.gateway.app import Gateway
from understudy.gateway.profiles import Profiles, Served
from understudy.library.balancer import Balancer
from understudy.tui.remote import GatewayError

MEMBERS = ("lead", "second", "third", "walk-on")
PACE = 90.0
KEY = "demo"

ACTS = (
    ("lead", "fine"),
    ("lead", "40% status 500"),
    ("lead", "down 60s"),
    ("second", "25% cut after=20"),
    ("second", "429 retry-after=6"),
    ("lead", "fine"),
    ("third", "delay 1.5s"),
    ("second", "fine"),
    ("third", "fine"),
)
"""Who plays what from now on."""

_SETTINGS = {
    "timeout_ms": 4000,
    "failover_retry_count": 1,
    "failover_retry_delay_ms": 100,
    "circuit_breaker_recovery_timeout_ms": 6000,
}
_BODY = {
    "messages": [{"role": "user", "content": "What happens when the lead falls silent?"}],
    "stream": True,
}


@asynccontextmanager
async def gateway(
    *, act_seconds: float = 8.0, ask_seconds: float = 0.35, rng: Random | None = None
) -> AsyncIterator[InProcess]:
    """Open the house; it plays until the block is left. Clients ask about every `ask_seconds`."""
    async with AsyncExitStack() as stack:
        providers = {
            name: await stack.enter_async_context(FaultProvider("fine", pace=PACE)) for name in MEMBERS
        }
        served = Gateway(_profiles(providers))
        served.admin = Admin(KEY, lambda: served.profiles, _nothing_new)
        stack.push_async_callback(served.close)
        remote = InProcess(served, "demo", KEY)
        tasks = [
            asyncio.ensure_future(_acts(providers, act_seconds)),
            asyncio.ensure_future(_clients(remote, ask_seconds, rng or Random())),  # noqa: S311 - no secret
        ]
        try:
            yield remote
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def _profiles(providers: dict[str, FaultProvider]) -> Profiles:
    members = [
        StandardProfile(name, "openai", "understudy-1", settings={"base-url": provider.base_url})
        for name, provider in providers.items()
    ]
    pools = [
        LoadBalancerProfile("evening", "failover", MEMBERS[:3], settings=_SETTINGS),
        LoadBalancerProfile("matinee", "least_busy", MEMBERS[1:], settings=_SETTINGS),
    ]
    balancers = {
        pool.name: Balancer(pool, [one for one in members if one.name in pool.members], environ={})
        for pool in pools
    }
    doors = {name: Door(100, 100, 20.0) for name in balancers}
    served = {name: Served(name, balancer, doors[name]) for name, balancer in balancers.items()}
    return Profiles(served, default="evening")


async def _nothing_new() -> None:
    """There are no files to load anew."""


async def _acts(providers: dict[str, FaultProvider], seconds: float) -> None:
    """Rule 2."""
    while True:
        for name, script in ACTS:
            providers[name].set_script(script)
            await asyncio.sleep(seconds)


async def _clients(remote: InProcess, seconds: float, rng: Random) -> None:
    """Rule 3. Whoever asks is awaited at the end."""
    asking: set[asyncio.Task[None]] = set()
    try:
        while True:
            task = asyncio.ensure_future(_ask(remote, rng.choice(("evening", "evening", "matinee"))))
            asking.add(task)
            task.add_done_callback(asking.discard)
            await asyncio.sleep(rng.expovariate(1 / seconds))
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def _ask(remote: InProcess, profile: str) -> None:
    with suppress(GatewayError):
        await remote.post("/v1/chat/completions", json.dumps({"model": profile, **_BODY}).encode())
