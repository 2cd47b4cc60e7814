"""Limits on what one request waits for.

`asyncio.timeout` sets and clears a timer for every wait; a stream waits once per chunk. A watchdog
keeps one timer for its request and moves it lazily: arming costs an attribute, not a timer. The
cancellation protocol is `asyncio.timeouts.Timeout`'s (cancel the waiting task, take the cancellation
back at the border, give way to anybody else's).

Rules:

1. A limit runs only inside `guard`: while nobody waits, nothing can time out.
2. `LimitPassed` is raised by the `guard` whose limit passed, nowhere else.
3. A cancellation from outside always wins.
4. `close` ends the wait in progress, if there is one, with `Closed`; every later `guard` raises it too.
5. `dispose` leaves no timer behind.
6. When a limit has passed, `reprieve` is asked until when is waited after all, if there is anybody to ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from understudy.runtime.ports import Clock, Handle

T = TypeVar("T")


class LimitPassed(Exception):
    """The limit of a `guard` passed before what it waited for."""


class Closed(Exception):
    """The watchdog was closed."""


class Watchdog:
    """One request's limits, one at a time."""

    __slots__ = ("_clock", "_fired", "_limit", "_loop", "_task", "_timer", "_timer_at", "closed", "reprieve")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timer: Handle | None = None
        self._timer_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._limit = 0.0
        self._fired = False
        self.closed = False
        self.reprieve: Callable[[float], float] | None = None  # the limit that passed; the one that holds

    def __repr__(self) -> str:
        return f"<Watchdog {'waiting' if self._task else 'idle'}, limit {self._limit}>"

    async def guard(self, awaitable: Awaitable[T], limit: float) -> T:
        """Await; raise `LimitPassed` if the clock reaches the instant `limit` first."""
        # The loop is asked for once: finding the running one costs a system call on some Pythons.
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        if self.closed:
            _discard(awaitable)
            raise Closed
        self._task = task
        self._limit = limit
        if self._timer is None or limit < self._timer_at:
            self._set_timer(limit)
        cancelling = task.cancelling()
        try:
            result = await awaitable
        except asyncio.CancelledError:
            if self._take_back(task) and task.cancelling() <= cancelling:
                raise (Closed if self.closed else LimitPassed) from None
            raise
        finally:
            self._task = None
            if self._fired:
                self._take_back(task)
        return result

    def close(self) -> bool:
        """End the wait in progress; True if there was one."""
        self.closed = True
        if self._task is None:
            return False
        self._fire(self._task)
        return True

    def dispose(self) -> None:
        """Take the timer back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, when: float) -> None:
        self.dispose()
        self._timer_at = when
        self._timer = self._clock.call_at(when, self._ring)

    def _ring(self) -> None:
        """There are three cases: nobody waits, the limit has moved on, or it has passed."""
        self._timer = None
        if self._task is None:
            return
        now = self._clock.now()
        if now >= self._limit and self.reprieve is not None:
            self._limit = self.reprieve(self._limit)
        if now < self._limit:
            self._set_timer(self._limit)
        else:
            self._fire(self._task)

    def _take_back(self, task: asyncio.Task[Any]) -> bool:
        """Undo our own request for cancellation, if there was one."""
        fired, self._fired = self._fired, False
        if fired:
            task.uncancel()
        return fired

    def _fire(self, task: asyncio.Task[Any]) -> None:
        if not self._fired:
            self._fired = True
            task.cancel()


def _discard(awaitable: Awaitable[Any]) -> None:
    """A coroutine that will not be awaited must be closed, or Python warns."""
    close = getattr(awaitable, "close", None)
    if close is not None:
        close()
