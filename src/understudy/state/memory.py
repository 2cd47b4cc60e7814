"""Shared state in memory: for several balancers of one process, and for tests of what shares it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from understudy.core.shared import Lease, Picture, Report, Room, Usage, Wanted
from understudy.runtime.clock import SystemClock
from understudy.runtime.ports import Clock
from understudy.state.board import Board, Meter


class MemoryStore:
    """Everything in this object. `clock` is what a server's own clock is elsewhere."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._boards: dict[str, Board] = {}
        self._meters: dict[tuple[str, str], Meter] = {}
        self._numbers: dict[str, dict[str, tuple[float, bytes]]] = {}
        self._births = 0

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._boards)} pools>"

    async def exchange(self, pool: str, report: Report) -> Picture:
        return self._board(pool).exchange(report, self._clock.now())

    async def lease(
        self, pool: str, member: str, holder: str, epoch: int, seconds: float, ends: float = inf
    ) -> Lease:
        return self._board(pool).lease(member, holder, epoch, seconds, self._clock.now(), ends)

    async def reserve(self, pool: str, member: str, wanted: Sequence[Wanted]) -> Sequence[Room]:
        return self._meter(pool, member).reserve(wanted, self._clock.now())

    async def spend(self, pool: str, member: str, usage: Sequence[Usage]) -> None:
        self._meter(pool, member).spend(usage, self._clock.now())

    async def publish(self, pool: str, process: str, numbers: bytes, seconds: float) -> None:
        self._numbers.setdefault(pool, {})[process] = self._clock.now() + seconds, numbers

    async def numbers(self, pool: str) -> Mapping[str, bytes]:
        now, published = self._clock.now(), self._numbers.get(pool, {})
        return {process: numbers for process, (until, numbers) in published.items() if now < until}

    async def withdraw(self, pool: str, process: str) -> None:
        self._numbers.get(pool, {}).pop(process, None)

    async def close(self) -> None:
        """There is nothing to let go of: other balancers may go on sharing it."""

    def forget(self) -> None:
        """Lose everything, as a server does that is flushed."""
        self._boards.clear()
        self._meters.clear()
        self._numbers.clear()

    def _board(self, pool: str) -> Board:
        if pool not in self._boards:
            self._births += 1
            self._boards[pool] = Board(str(self._births))
        return self._boards[pool]

    def _meter(self, pool: str, member: str) -> Meter:
        return self._meters.setdefault((pool, member), Meter())
