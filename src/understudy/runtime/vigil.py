"""A vigil: whoever waits may look up now and then, and what is waited for goes on.

1. What is waited for runs in a task of its own, one at a time. A wait that was cut short is taken up again
   where it was.
2. Cancelling the one who waits leaves the task alone; `leave` ends it.
3. What the task raised is raised where it is waited for, and lost after `leave`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from understudy.runtime.ports import Clock

T = TypeVar("T")


class NotYet(Exception):
    """The instant came first."""


class Vigil(Generic[T]):
    """Waits for one thing after the other."""

    __slots__ = ("_clock", "_task", "is_attended")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._task: asyncio.Task[T] | None = None
        self.is_attended = False  # somebody waits

    def __repr__(self) -> str:
        return f"<Vigil, {'waiting' if self._task else 'idle'}>"

    @property
    def is_idle(self) -> bool:
        return self._task is None

    async def wait(self, begin: Callable[[], Coroutine[Any, Any, T]], until: float | None) -> T:
        """What `begin` or the wait that was cut short comes to; raises `NotYet` at the instant `until`."""
        task = self._task
        if task is None:
            task = self._task = asyncio.create_task(begin())
            # Looked at here, so that asyncio does not log what nobody waits for any more.
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
        await self._until(task, until)
        if not task.done():
            raise NotYet
        self._task = None
        return task.result()

    def leave(self) -> None:
        """End what is waited for. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _until(self, task: asyncio.Task[T], instant: float | None) -> None:
        awake: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake(_: object = None) -> None:
            if not awake.done():
                awake.set_result(None)

        handle = None if instant is None else self._clock.call_at(instant, wake)
        task.add_done_callback(wake)
        self.is_attended = True
        try:
            await awake
        finally:
            self.is_attended = False
            task.remove_done_callback(wake)
            if handle is not None:
                handle.cancel()
