"""Two gateways of two workers each, with one Redis between them and the same providers behind them all.

Who wants a certain worker connects until that one takes the connection, as in `workforce`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.cli.local_provider import Home
from tests.e2e.gateway_theatre import Reply, Visitor, visit
from tests.e2e.workforce import Workforce, chat, staff
from understudy.faults import FaultProvider

GATEWAYS = WORKERS = 2
MEMBER = "/admin/profiles/evening/backends/lead"
SETTINGS: dict[str, Any] = {
    "timeout_ms": 9000,
    "unary_timeout_ms": 9000,
    "failover_retry_count": 1,
    "circuit_breaker_recovery_timeout_ms": 60_000,
    "slow_start_ms": 0,
}


class Gateway:
    """One of them, and what its processes have logged so far."""

    def __init__(self, force: Workforce) -> None:
        self.force = force
        self.lines: list[str] = []
        self._reading = asyncio.ensure_future(self._read())

    def joined(self) -> int:
        """How often one of its workers has said that it shares."""
        return sum("what is known is shared" in line for line in self.lines)

    async def ask(self) -> Reply:
        """Whichever worker takes it."""
        async with visit(self.force.port) as visitor:
            return await _asked(visitor, {})

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.wait((self._reading,))

    async def _read(self) -> None:
        assert self.force.process.stderr is not None
        async for line in self.force.process.stderr:
            self.lines.append(line.decode().strip())


class Fleet:
    """Both gateways, and the providers behind them."""

    def __init__(self, gateways: Sequence[Gateway], lead: FaultProvider, second: FaultProvider) -> None:
        self.gateways = gateways
        self.lead = lead
        self.second = second

    async def ask_each(self) -> list[str]:
        """The member that answered, for each of the four workers."""
        replies = [
            await gateway.force.ask(worker)
            for gateway in self.gateways
            for worker in range(1, WORKERS + 1)
        ]  # fmt: skip
        assert [reply.status for reply in replies] == [200] * len(replies)
        return [reply.headers["x-understudy-backend"] for reply in replies]

    async def volley(self, each: int, at: float = 0.0, **fields: Any) -> list[Reply]:
        """So many requests at each of the four workers, all at once; all are answered. Not before `at`."""
        async with AsyncExitStack() as stack:
            visitors = [
                await stack.enter_async_context(gateway.force.visit(worker))
                for gateway in self.gateways
                for worker in range(1, WORKERS + 1)
                for _ in range(each)
            ]
            await asyncio.sleep(at - time.monotonic())
            replies = await asyncio.gather(*(_asked(visitor, fields) for visitor in visitors))
        assert {reply.status for reply in replies} == {200}
        return replies

    async def act(self, gateway: int, worker: int, action: str) -> None:
        reply = await self.gateways[gateway].force.admin("POST", f"{MEMBER}/{action}", worker=worker)
        assert reply.status == 200, reply.body

    async def until_joined(self, times: int, within: float = 10.0) -> float:
        """Until each gateway's workers have said so many times that they share; how long it took."""
        began = time.monotonic()
        while any(gateway.joined() < times for gateway in self.gateways):
            assert time.monotonic() - began < within, [gateway.lines for gateway in self.gateways]
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def until_counted(self, requests: int, within: float = 4.0) -> None:
        """Numbers are published each second."""
        async with asyncio.timeout(within):
            while await self._counted() != [requests] * len(self.gateways):
                await asyncio.sleep(0.1)

    async def _counted(self) -> list[int]:
        stats = [await gateway.force.get("/stats/evening") for gateway in self.gateways]
        return [told.value["total_requests"] for told in stats]


async def _asked(visitor: Visitor, fields: Mapping[str, Any]) -> Reply:
    await chat(visitor, **fields)
    return await visitor.read_rest()


@asynccontextmanager
async def fleet(
    folder: Path,
    url: str,
    lead: str = "fine",
    *,
    member: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Fleet]:
    """`url` is the state's. `member` are the lead's own settings. All four share when it begins."""
    async with AsyncExitStack() as stack:
        providers = [await stack.enter_async_context(FaultProvider(script)) for script in (lead, "fine")]
        home = Home(folder)
        home.backend("lead", providers[0].base_url, **(member or {}))
        home.backend("second", providers[1].base_url)
        home.pool("evening", "lead", "second", **{**SETTINGS, **settings})
        (folder / "tmp").mkdir()
        forces = [
            await stack.enter_async_context(staff(home, providers[0], "--state", url, workers=WORKERS))
            for _ in range(GATEWAYS)
        ]
        gateways = [Gateway(force) for force in forces]
        for gateway in gateways:
            stack.push_async_callback(gateway.close)
        made = Fleet(gateways, *providers)
        await made.until_joined(WORKERS)
        yield made
