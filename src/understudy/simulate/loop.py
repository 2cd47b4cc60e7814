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
from heapq import heappop, heappush
from typing import Any, TypeVarTuple, cast

START = 1000.0

_Work = Callable[..., object]
Ts = TypeVarTuple("Ts")


class Stuck(RuntimeError):
    """Somebody waits, and nothing will ever happen."""


class _Handle:
    """A callback that has been asked for. asyncio's own cost more than most of what they call."""

    __slots__ = ("_arguments", "_callback", "_context", "_when")

    def __init__(
        self, callback: _Work, arguments: tuple[Any, ...], context: Context | None, when: float
    ) -> None:
        self._callback: _Work | None = callback
        self._arguments = arguments
        self._context = context
        self._when = when

    def cancel(self) -> None:
        self._callback = None
        self._arguments = ()

    def cancelled(self) -> bool:
        return self._callback is None

    def when(self) -> float:
        return self._when


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs tasks in virtual time, which begins at `START`, in seconds."""

    def __init__(self, ties: Callable[[], float] | None = None) -> None:
        super().__init__()
        self._instant = START
        self._ties = ties
        self._due: deque[_Handle] = deque()
        self._timers: list[tuple[float, float, int, _Handle]] = []
        self._set = 0
        self._is_stopping = False

    def __repr__(self) -> str:
        return f"<VirtualLoop at {self._instant}, {len(self._due)} due, {len(self._timers)} timers>"

    def time(self) -> float:
        return self._instant

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Handle:
        handle = _Handle(callback, args, context or copy_context(), self._instant)
        self._due.append(handle)
        return cast(Handle, handle)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Handle:
        """There are no threads: what asyncio itself calls when an abandoned generator is to be closed."""
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> TimerHandle:
        self._set = number = self._set + 1
        handle = _Handle(callback, args, context, when)
        heappush(self._timers, (when, self._ties() if self._ties else 0.0, number, handle))
        return cast(TimerHandle, handle)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> TimerHandle:
        return self.call_at(self._instant + delay, callback, *args, context=context)

    def stop(self) -> None:
        self._is_stopping = True
        super().stop()

    def _run_once(self) -> None:
        """What asyncio's loop does over and over until it is stopped; here once is until it is stopped."""
        due = self._due
        while not self._is_stopping:
            if not due:
                self._run_timer()
            while due:
                handle = due.popleft()
                if handle._callback is not None:
                    self._run(handle)
        self._is_stopping = False

    def _run_timer(self) -> None:
        """The next timer (rule 1)."""
        if not self._timers:
            raise Stuck("nothing is left that could happen, and somebody is waiting")
        when, _, _, handle = heappop(self._timers)
        if handle._callback is not None:
            self._instant = max(self._instant, when)
            self._run(handle)

    def _run(self, handle: _Handle) -> None:
        callback, arguments = handle._callback, handle._arguments
        assert callback is not None  # looked at by whoever calls this
        try:
            if handle._context is None:
                callback(*arguments)
            else:
                handle._context.run(callback, *arguments)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.call_exception_handler({"message": f"error in {callback!r}", "exception": error})
