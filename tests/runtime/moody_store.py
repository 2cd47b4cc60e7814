"""A store in memory with moods: it answers late, with an error, or not at all. Time is the clock's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from math import inf

from understudy.core.shared import Lease, Picture, Report, Room, Usage, Wanted
from understudy.runtime.clock import ManualClock, sleep
from understudy.runtime.ports import StateUnavailable
from understudy.state.memory import MemoryStore


class MoodyStore:
    """`takes` seconds for each answer; `error` is raised instead of one; `is_frozen`: there is none; with a
    `gate` there is one once that is open.
    What is named in `loses` is lost once.

    `asked` are the calls by name.
    """

    def __init__(self, clock: ManualClock) -> None:
        self.memory = MemoryStore(clock)
        self.takes = 0.0
        self.error: Exception | None = None
        self.is_frozen = False
        self.gate: asyncio.Future[None] | None = None
        self.loses: set[str] = set()
        self.asked: list[str] = []
        self._clock = clock

    def __repr__(self) -> str:
        return "<MoodyStore>"

    async def exchange(self, pool: str, report: Report) -> Picture:
        await self._mood("prove" if report.proves else "exchange")
        return await self.memory.exchange(pool, report)

    async def lease(
        self, pool: str, member: str, holder: str, epoch: int, seconds: float, ends: float = inf
    ) -> Lease:
        await self._mood("lease")
        return await self.memory.lease(pool, member, holder, epoch, seconds, ends)

    async def reserve(self, pool: str, member: str, wanted: Sequence[Wanted]) -> Sequence[Room]:
        await self._mood("reserve")
        return await self.memory.reserve(pool, member, wanted)

    async def spend(self, pool: str, member: str, usage: Sequence[Usage]) -> None:
        await self._mood("spend")
        await self.memory.spend(pool, member, usage)

    async def publish(self, pool: str, process: str, numbers: bytes, seconds: float) -> None:
        await self._mood("publish")
        await self.memory.publish(pool, process, numbers, seconds)

    async def numbers(self, pool: str) -> Mapping[str, bytes]:
        await self._mood("numbers")
        return await self.memory.numbers(pool)

    async def withdraw(self, pool: str, process: str) -> None:
        await self._mood("withdraw")
        await self.memory.withdraw(pool, process)

    async def close(self) -> None:
        self.asked.append("close")

    def fails(self, message: str = "it is not there") -> None:
        self.error = StateUnavailable(message)

    def recovers(self) -> None:
        self.error, self.takes, self.is_frozen = None, 0.0, False

    async def _mood(self, what: str) -> None:
        self.asked.append(what)
        if self.is_frozen:
            await asyncio.get_running_loop().create_future()
        if self.gate is not None:
            await self.gate
        if self.takes:
            await sleep(self._clock, self.takes)
        if what in self.loses:
            self.loses.remove(what)
            raise StateUnavailable("lost on the way")
        if self.error is not None:
            raise self.error
