"""The process of the backends: three fault providers, told on stdin what to play.

A command is a line of JSON, and so is its answer::

    {"open": 3, "pace": 100}                 new, healthy ones; their base URLs
    {"play": ["500", "fine", …], "seed": 7}  from now on, with an empty log; the scripts
    {"log": true}                            how many answers each was asked for, since then
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from random import Random
from typing import Any

from understudy.faults import FaultProvider


class Backends:
    """Those that are open, each with a source of chance of its own."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack = stack
        self.open: list[tuple[FaultProvider, Random]] = []

    async def obey(self, command: dict[str, Any]) -> list[Any]:
        if "open" in command:
            return await self._open(command["open"], command["pace"])
        return self._play(command["play"], command["seed"]) if "play" in command else self._asked()

    async def _open(self, count: int, pace: float | None) -> list[Any]:
        await self.stack.aclose()
        chances = [Random(0) for _ in range(count)]  # noqa: S311 — failures to be had again
        providers = [FaultProvider(rng=chance, pace=pace) for chance in chances]
        for provider in providers:
            await self.stack.enter_async_context(provider)
        self.open = list(zip(providers, chances, strict=True))
        return [provider.base_url for provider in providers]

    def _play(self, scripts: list[str], seed: int) -> list[Any]:
        for number, ((provider, chance), script) in enumerate(zip(self.open, scripts, strict=True)):
            chance.seed(f"{seed}/{number}")
            provider.clear_requests()
            provider.set_script(script)
        return scripts

    def _asked(self) -> list[Any]:
        """Answers alone: some peers ask for more than those."""
        return [sum(request.format != "" for request in provider.requests) for provider, _ in self.open]


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        backends = Backends(stack)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(await backends.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve())
