"""How many requests a profile serves at a time, and how many may wait for their turn.

1. At most `limit` are inside; at most `queue` wait, first come, first served; whoever comes beyond that
   is turned away at once.
2. A place that is given up goes to the first who waits, who may leave the queue at any moment.
3. Nobody waits longer than `patience` seconds.
"""

from __future__ import annotations

import asyncio
from collections import deque

from understudy.gateway.http import HttpError


class Door:
    """One profile's entrance: `await enter()`, then `leave()` exactly once."""

    __slots__ = ("_inside", "_waiting", "limit", "patience", "queue")

    def __init__(self, limit: int, queue: int, patience: float) -> None:
        self.limit = limit
        self.queue = queue
        self.patience = patience
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        return f"<Door {self._inside} of {self.limit} inside, {len(self._waiting)} waiting>"

    @property
    def inside(self) -> int:
        return self._inside

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def enter(self) -> None:
        """Raises `HttpError` 503 where the queue is full (rule 1) or the wait was too long (rule 3)."""
        if self._inside < self.limit and not self._waiting:
            self._inside += 1
            return
        if len(self._waiting) >= self.queue:
            raise _turned_away(f"{self._inside} requests run and {len(self._waiting)} wait already")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self.patience):
                await turn
        except BaseException as error:
            self._give_up(turn)
            if isinstance(error, TimeoutError):
                raise _turned_away(f"no place became free within {self.patience:.0f} s") from None
            raise

    def leave(self) -> None:
        """Rule 2: the place is handed over, or becomes free."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._inside -= 1

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        """There are two cases: still in the queue, or the place had just been handed over."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif not turn.cancelled():
            self.leave()


def _turned_away(why: str) -> HttpError:
    return HttpError(503, "too_many_requests", f"this profile is busy: {why}", retry_after=1.0)
