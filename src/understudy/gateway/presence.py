"""Is the client still there?

`Presence` cancels the task that answers once the client has left, whatever that task is waiting for: a
place, a backend's head, a back-off, or room in the client's own buffer. Rules:

1. A server that offers to call back (our own does, under `EXTENSION`) costs nothing while nobody leaves.
   Under any other ASGI server a task waits for ``http.disconnect``.
2. Only a cancellation of our own making is taken back; any other is somebody else's.

`cut` is the other way round: a client that reads no more is left, and what is still unread with it, where the
server offers that (under `CUT`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from understudy.gateway.http import Receive, Scope

EXTENSION = "understudy.when_gone"
CUT = "understudy.cut"


def cut(scope: Scope) -> None:
    """End the connection at once, if the server can."""
    end: Callable[[], None] | None = scope.get("extensions", {}).get(CUT)
    if end is not None:
        end()


class Presence:
    """A context manager around the answering. `gone` once the client has left."""

    __slots__ = ("_receive", "_task", "_tell", "_watcher", "gone")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._tell: Callable[[Callable[[], None] | None], None] | None = scope.get("extensions", {}).get(
            EXTENSION
        )
        self._task: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.gone = False

    def __enter__(self) -> Presence:
        self._task = asyncio.current_task()
        if self._tell is not None:
            self._tell(self._leave)
        else:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if self._tell is not None:
            self._tell(None)
        if self._watcher is not None:
            self._watcher.cancel()
        task, self._task = self._task, None
        if self.gone and kind is asyncio.CancelledError and task is not None:
            return task.uncancel() == 0
        return False

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        self.gone = True
        if self._task is not None:
            self._task.cancel()
