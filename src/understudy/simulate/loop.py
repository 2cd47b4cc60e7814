"""An event loop whose time is a number.

1. Time moves only when nothing is left to do at this instant, and then straight to the next timer: an hour
   in which little happens takes no longer than a second in which as much does.
2. Callbacks run in the order in which they were asked for, timers by their instant. Timers of one instant go
   by the order they were set in, or with `ties`, a source of chance, in an order drawn from it.
3. There are no sockets, threads or signals, and whoever waits while no timer is set waits for ever: that is
   the error `Stuck`.

After the simulators of FoundationDB (Zhou et al., SIGMOD 2021) and TigerBeetle.
"""

from __future__ import annotations

import asyncio
from asyncio import Handle, TimerHandle
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from heapq import heapify, heappop, heappush
from typing import Any, TypeVarTuple

import msgspec

START = 1000.0
FEW = 64

Ts = TypeVarTuple("Ts")


class Stuck(RuntimeError):
    """Somebody waits, and nothing will ever happen."""


class _Handle(msgspec.Struct, order=True):
    """A callback that has been asked for. Handles are in order of their instants, ties and numbers.

    A struct, because asyncio's own cost more than most of what they call. `loop` is told when one is taken
    back before its instant.
    """

    instant: float
    tie: float
    number: int
    callback: Callable[..., object] | None
    arguments: tuple[Any, ...]
    context: Context | None
    loop: VirtualLoop | None

    def cancel(self) -> None:
        self.callback = None
        self.arguments = ()
        loop, self.loop = self.loop, None
        if loop is not None:
            loop.forget_one()

    def cancelled(self) -> bool:
        return self.callback is None

    def when(self) -> float:
        return self.instant


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs tasks in virtual time, which begins at `START`, in seconds."""

    def __init__(self, ties: Callable[[], float] | None = None) -> None:
        super().__init__()
        self._instant = START
        self._ties = ties
        self._due: deque[_Handle] = deque()
        self._timers: list[_Handle] = []
        self._set = 0
        self._forgotten = 0
        self._is_stopping = False

    def __repr__(self) -> str:
        return f"<VirtualLoop at {self._instant}, {len(self._due)} due, {len(self._timers)} timers>"

    def time(self) -> float:
        return self._instant

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Handle:
        handle = _Handle(self._instant, 0.0, 0, callback, args, context or copy_context(), None)
        self._due.append(handle)
        return handle  # type: ignore[return-value] # it does all that a Handle promises

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Handle:
        """There are no threads: what asyncio itself calls when an abandoned generator is to be closed."""
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> TimerHandle:
        self._set = number = self._set + 1
        ties = self._ties
        handle = _Handle(when, 0.0 if ties is None else ties(), number, callback, args, context, self)
        heappush(self._timers, handle)
        return handle  # type: ignore[return-value]

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> TimerHandle:
        return self.call_at(self._instant + delay, callback, *args, context=context)

    def forget_one(self) -> None:
        """A timer was taken back. When most were, they are looked for and dropped: popping one costs more."""
        self._forgotten += 1
        if self._forgotten > FEW and self._forgotten * 2 > len(self._timers):
            self._timers[:] = [handle for handle in self._timers if handle.callback is not None]
            heapify(self._timers)
            self._forgotten = 0

    def stop(self) -> None:
        self._is_stopping = True
        super().stop()

    def _run_once(self) -> None:
        """What asyncio's loop does over and over until it is stopped; here once is until it is stopped."""
        due, timers = self._due, self._timers
        while due or not self._is_stopping:
            handle = due.popleft() if due else self._next_timer(timers)
            callback, context = handle.callback, handle.context
            if callback is None:
                continue
            try:
                if context is None:
                    callback(*handle.arguments)
                else:
                    context.run(callback, *handle.arguments)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self.call_exception_handler({"message": f"error in {callback!r}", "exception": error})
        self._is_stopping = False

    def _next_timer(self, timers: list[_Handle]) -> _Handle:
        """The next one that still is one, at its instant (rule 1)."""
        while timers:
            handle = heappop(timers)
            if handle.callback is not None:
                handle.loop = None
                if handle.instant > self._instant:
                    self._instant = handle.instant
                return handle
            self._forgotten -= 1
        raise Stuck("nothing is left that could happen, and somebody is waiting")
