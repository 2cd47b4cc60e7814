"""Two attempts at the same answer: whoever speaks first goes on, the other is left at once.

1. It begins with one runner. The second joins when the first has said nothing for some time.
2. Each runner reads in a task of its own, under limits of its own.
3. A runner that ends without a word drops out. The race is over when one has spoken, or none is left.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from understudy.core.attempt import Attempt
from understudy.runtime.exchange import Exchange
from understudy.runtime.ports import Clock
from understudy.runtime.watchdog import Watchdog
from understudy.wire.chat import ChatChunk


class Runner(NamedTuple):
    """One attempt in a race."""

    attempt: Attempt
    exchange: Exchange
    watchdog: Watchdog


class Race:
    """`late_at` is when a second runner is due, None once that has been seen to."""

    __slots__ = ("_clock", "_tasks", "late_at")

    def __init__(self, clock: Clock, first: Runner, late_at: float) -> None:
        self._clock = clock
        self._tasks: dict[asyncio.Task[list[ChatChunk] | None], Runner] = {}
        self.late_at: float | None = late_at
        self.join(first)

    def __repr__(self) -> str:
        return f"<Race of {len(self._tasks)}>"

    @property
    def runners(self) -> list[Runner]:
        return list(self._tasks.values())

    def join(self, runner: Runner) -> None:
        task = asyncio.create_task(runner.exchange.next_batch())
        # Looked at here, so that asyncio does not log what nobody waits for any more.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._tasks[task] = runner

    async def next(self) -> tuple[Runner, asyncio.Task[list[ChatChunk] | None]] | None:
        """A runner with what it has come to; None when a second one is due."""
        awake: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake(_: object = None) -> None:
            if not awake.done():
                awake.set_result(None)

        handle = None if self.late_at is None else self._clock.call_at(self.late_at, wake)
        for task in self._tasks:
            task.add_done_callback(wake)
        try:
            await awake
        finally:
            for task in self._tasks:
                task.remove_done_callback(wake)
            if handle is not None:
                handle.cancel()
        done = next((task for task in self._tasks if task.done()), None)
        return None if done is None else (self._tasks.pop(done), done)

    def close(self) -> None:
        """End what is waited for with `Closed`."""
        for runner in self._tasks.values():
            runner.watchdog.close()

    def leave(self, *, lost: bool) -> None:
        """Let go of those who still run. `lost`: another one has spoken."""
        for task, runner in self._tasks.items():
            runner.exchange.abandon(lost=lost)
            runner.watchdog.dispose()
            task.cancel()
        self._tasks.clear()
