"""The two clocks: the system's, and one that tests move by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable

from understudy.runtime.ports import Clock, Handle

# How often the event loop gets to turn after each step of a manual clock: enough for a woken task to
# pass its result through every layer above it, and still far below a millisecond.
_TURNS = 25


class SystemClock:
    """Monotonic time for decisions, wall time for calendar dates; timers on the running event loop."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        return asyncio.get_running_loop().call_later(max(0.0, when - time.monotonic()), callback)


class _ManualHandle:
    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """Time stands still until `advance` moves it.

    `start` is where `now` begins, in seconds; `wall` begins at `wall_start`, seconds since the epoch.
    """

    def __init__(self, start: float = 1000.0, wall_start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._wall_offset = wall_start - start
        self._timers: list[tuple[float, int, _ManualHandle]] = []
        self._order = itertools.count()

    def __repr__(self) -> str:
        return f"<ManualClock at {self._now}, {self.timers} timers>"

    @property
    def timers(self) -> int:
        """How many timers are waiting."""
        return sum(handle.callback is not None for _, _, handle in self._timers)

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._now + self._wall_offset

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        handle = _ManualHandle(callback)
        heapq.heappush(self._timers, (when, next(self._order), handle))
        return handle

    async def advance(self, seconds: float = 0.0) -> None:
        """Move time on, stopping at every timer on the way so that whoever waits for it can react."""
        end = self._now + seconds
        await self._settle()
        while self._timers and self._timers[0][0] <= end:
            when, _, handle = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            if handle.callback is not None:
                handle.callback()
                await self._settle()
        self._now = end
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)


async def sleep(clock: Clock, seconds: float) -> None:
    """Wait so many seconds of the clock's time."""
    passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    handle = clock.call_at(clock.now() + seconds, lambda: _resolve(passed))
    try:
        await passed
    finally:
        handle.cancel()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
