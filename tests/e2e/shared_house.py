"""Replicas of one gateway, each a process of its own, with a Redis between them and providers behind.

What a client got is a `Reply`; what the providers saw is in their logs; what a replica thinks is at
``/stats/evening``. Clocks are short, as in `theatre`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.e2e.gateway_theatre import PATHS, Reply, asking, visit
from understudy.faults import FaultProvider

ADMIN = "the-operator"
SETTINGS: dict[str, Any] = {
    "timeout_ms": 2000,
    "unary_timeout_ms": 2000,
    "failover_retry_count": 1,
    "circuit_breaker_recovery_timeout_ms": 60_000,
    "slow_start_ms": 0,
}


# Another machine's clocks, as Python reads them: the calendar's is off, the steady one began elsewhere.
SKEWED = """
import runpy, sys, time
wall, steady, skew = time.time, time.monotonic, float(sys.argv.pop(1))
time.time, time.monotonic = (lambda: wall() + skew), (lambda: steady() + 1000 * skew)
runpy.run_module("understudy", run_name="__main__", alter_sys=True)
"""


class Replica:
    """One process of ``understudy serve``. `lines` are what it logged so far."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port
        self.lines: list[str] = []
        self._reading = asyncio.ensure_future(self._read())

    @property
    def about_state(self) -> list[str]:
        """What it said of the shared state."""
        return [line for line in self.lines if "[state]" in line]

    async def ask(self, path: str = PATHS["openai"], method: str = "POST", **fields: Any) -> Reply:
        async with visit(self.port) as visitor:
            is_chat = path in PATHS.values()
            body = json.dumps({**asking("openai"), "stream": False, **fields}).encode() if is_chat else b""
            await visitor.send(method, path, {"authorization": f"Bearer {ADMIN}"}, body)
            await visitor.read_head()
            return await visitor.read_rest()

    async def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((await self.ask("/stats/evening", "GET")).body)
        return found

    async def member(self, name: str = "lead") -> dict[str, Any]:
        found: dict[str, Any] = (await self.stats())["backends"][name]
        return found

    async def circuit(self, name: str = "lead") -> str:
        return str((await self.member(name))["circuit_breaker"]["state"])

    async def act(self, action: str, name: str = "lead") -> None:
        reply = await self.ask(f"/admin/profiles/evening/backends/{name}/{action}")
        assert reply.status == 200, reply.body

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().strip())


class House:
    """The replicas, and the providers behind them: the lead and the second."""

    def __init__(self, replicas: Sequence[Replica], lead: FaultProvider, second: FaultProvider) -> None:
        self.replicas = replicas
        self.lead = lead
        self.second = second

    async def until(self, fact: Any, within: float = 2.0) -> float:
        """Wait for what a coroutine function tells; how long it took."""
        began = time.monotonic()
        while not await fact():
            assert time.monotonic() - began < within, "it never came to that"
            await asyncio.sleep(0.02)
        return time.monotonic() - began


@asynccontextmanager
async def house(
    folder: Path,
    urls: Sequence[str],
    lead: str = "fine",
    second: str = "fine",
    *,
    member: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    joined: bool = True,
    policy: str = "failover",
    skew: float = 0.0,
    **settings: Any,
) -> AsyncIterator[House]:
    """A replica for each URL of a store. `member` are the lead's own settings.

    `joined`: wait until all of them share. By so many seconds `skew` the last one's clock is ahead.
    """
    async with AsyncExitStack() as stack:
        providers = [await stack.enter_async_context(FaultProvider(script)) for script in (lead, second)]
        _write(folder, providers, policy, {**SETTINGS, **settings}, member or {})
        skews = [0.0] * (len(urls) - 1) + [skew]
        starts = [_start(folder, url, environ or {}, late) for url, late in zip(urls, skews, strict=True)]
        replicas = list(await asyncio.gather(*starts))
        for replica in replicas:
            stack.push_async_callback(replica.stop)
        made = House(replicas, *providers)
        if joined:
            await made.until(lambda: _all_share(replicas), 10.0)
        yield made


async def _all_share(replicas: Sequence[Replica]) -> bool:
    return all(any("is shared" in line for line in replica.about_state) for replica in replicas)


def _write(
    folder: Path,
    providers: Sequence[FaultProvider],
    policy: str,
    settings: Mapping[str, Any],
    own: Mapping[str, Any],
) -> None:
    for name, provider in zip(("lead", "second"), providers, strict=True):
        known = {"base-url": provider.base_url, "auth-key-env": "MEMBER_KEY"}
        value: dict[str, Any] = {"type": "standard", "provider": "openai", "model": "some-model"}
        value["ephemeralSettings"] = {**known, **(own if name == "lead" else {})}
        (folder / f"{name}.json").write_text(json.dumps({"version": 1, **value}))
    profile = {"type": "loadbalancer", "policy": policy, "profiles": ["lead", "second"]}
    (folder / "evening.json").write_text(
        json.dumps({"version": 1, **profile, "ephemeralSettings": dict(settings)})
    )


async def _start(folder: Path, url: str, environ: Mapping[str, str], skew: float) -> Replica:
    command = ("-c", SKEWED, str(skew)) if skew else ("-m", "understudy")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command, "serve", "--port", "0", "--drain-delay", "0"),
        *("--profile-load", str(folder / "evening.json")),
        env={
            **os.environ,
            "MEMBER_KEY": "sk-member-0123456789",
            "UNDERSTUDY_HOME": str(folder),
            "UNDERSTUDY_ADMIN_KEY": ADMIN,
            "UNDERSTUDY_STATE": url,
            **environ,
        },
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdout is not None
    listening = (await process.stdout.readline()).decode().strip()
    if not listening:
        assert process.stderr is not None
        raise AssertionError((await process.stderr.read()).decode())
    return Replica(process, int(listening.rpartition(":")[2]))
