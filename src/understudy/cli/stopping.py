"""How a command is stopped from outside, and the exit status each way leaves.

SIGINT          KeyboardInterrupt   130
SIGTERM         Terminated          143
stdout's reader leaves              141    BrokenPipeError, also while nothing is being written

`run` turns each of them into a cancellation first, so that connections are closed before the process ends.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from understudy.cli.standard_streams import descriptor, is_hung_up

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

INTERRUPTED = 130
STDOUT_CLOSED = 141
TERMINATED = 143


class Terminated(BaseException):
    """SIGTERM came."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on an event loop of its own until it ends or is stopped."""
    import asyncio

    stop = _Stop()
    try:
        return asyncio.run(stop.watched(work))
    except asyncio.CancelledError:
        if stop.reason is None:
            raise
        raise stop.reason from None


class _Stop:
    """Cancels a task and remembers why."""

    def __init__(self) -> None:
        self.reason: BaseException | None = None

    async def watched(self, work: Coroutine[Any, Any, T]) -> T:
        import asyncio
        import signal

        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None  # a coroutine that runs has a task
        loop.add_signal_handler(signal.SIGTERM, self._stop, task, Terminated())
        pipe = _pipe_of_stdout()
        if pipe is not None:
            loop.add_reader(pipe, self._look, task, loop, pipe)
        return await work

    def _look(self, task: asyncio.Task[Any], loop: asyncio.AbstractEventLoop, pipe: int) -> None:
        """Something is up with stdout: its reader left, or a socket got data that is not for us."""
        loop.remove_reader(pipe)
        if is_hung_up(pipe):
            self._stop(task, BrokenPipeError())

    def _stop(self, task: asyncio.Task[Any], reason: BaseException) -> None:
        self.reason = self.reason or reason
        task.cancel()


def _pipe_of_stdout() -> int | None:
    """stdout's descriptor if it is something whose reader can leave."""
    number = descriptor(sys.stdout)
    if number is None:
        return None
    mode = os.fstat(number).st_mode
    return number if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None
