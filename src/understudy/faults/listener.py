"""A listening socket, and one task per connection.

1. Closing it closes every connection, in the middle of whatever it does, and returns when the last
   of their tasks is over.
2. A task ends with its connection, a connection with its task.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import Callable, Coroutine
from typing import Any

from understudy.faults.connection import Connection
from understudy.faults.waiting import Changes

CLOSE_TIMEOUT = 10.0


class Listener:
    """Calls `serve` with every connection. `port` 0 is a free one, known after `open`."""

    def __init__(
        self,
        serve: Callable[[Connection], Coroutine[Any, Any, None]],
        changes: Changes,
        *,
        host: str,
        port: int,
        ssl: tls.SSLContext | None = None,
        backlog: int = 1024,
    ) -> None:
        self.host, self.port = host, port
        self.connections = 0
        self._serve, self._changes = serve, changes
        self._ssl, self._backlog = ssl, backlog
        self._server: asyncio.Server | None = None
        self._tasks: dict[Connection, asyncio.Task[None]] = {}

    @property
    def is_open(self) -> bool:
        return self._server is not None

    @property
    def open_connections(self) -> int:
        return len(self._tasks)

    async def open(self) -> None:
        """Raises `OSError` if the port is taken."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._opened, self._closed),
            self.host,
            self.port,
            ssl=self._ssl,
            backlog=self._backlog,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Idempotent."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self.hang_up()
        await self._changes.wait_until(lambda: not self._tasks, CLOSE_TIMEOUT)

    def hang_up(self) -> None:
        """Close every connection at once."""
        for connection, task in self._tasks.items():
            task.cancel()
            connection.abort()

    def _opened(self, connection: Connection) -> None:
        self.connections += 1
        self._tasks[connection] = asyncio.get_running_loop().create_task(self._serve(connection))
        self._changes.happened()

    def _closed(self, connection: Connection) -> None:
        self._tasks[connection].add_done_callback(lambda _: self._forget(connection))

    def _forget(self, connection: Connection) -> None:
        del self._tasks[connection]
        self._changes.happened()
