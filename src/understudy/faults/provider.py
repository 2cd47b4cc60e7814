"""The fault provider: a real HTTP server that misbehaves on command.

Leaving it closes every connection and leaves no task behind.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from types import TracebackType
from typing import Self

from understudy.errors import ConfigurationError
from understudy.faults.answer import CANONICAL, Answer
from understudy.faults.connection import Connection
from understudy.faults.log import Request, RequestLog
from understudy.faults.plan import Plan
from understudy.faults.repertoire import Repertoire
from understudy.faults.service import Service


def _ignore(request: Request) -> None:
    """Nobody wants to be told."""


class FaultProvider:
    """A provider of the OpenAI chat format on ``http://HOST:PORT/v1``.

    ``FaultProvider("status 500; fine")``               a script for every model
    ``FaultProvider(models={"slow": "delay 20s"})``     scripts for single models
    ``FaultProvider(time_scale=0.01)``                  a script's 60 s pass in 0.6 s
    ``FaultProvider(ssl=context)``                      https

    `answer` is what it says when it is well, `pace` in tokens per second. `log_size` bounds the
    log. `settled` is called with each request that the provider is done with. `rng` decides steps
    such as ``30%``; the default is seeded, so a run can be repeated. Raises `ScriptError`.
    """

    def __init__(
        self,
        script: str = "fine",
        *,
        models: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        answer: Answer | None = None,
        pace: float | None = None,
        time_scale: float = 1.0,
        rng: Random | None = None,
        ssl: tls.SSLContext | None = None,
        backlog: int = 1024,
        log_size: int = 10_000,
        settled: Callable[[Request], None] = _ignore,
    ) -> None:
        if time_scale <= 0:
            raise ConfigurationError(f"time_scale is {time_scale}, but must be above 0")
        plan = replace(Plan(), answer=answer or CANONICAL, pace=pace)
        # Failures at random, the same ones in every run: no secret depends on them.
        rng = rng or Random(0)  # noqa: S311
        self.host, self.port = host, port
        self._ssl, self._backlog = ssl, backlog
        self._repertoire = Repertoire(script, models or {}, plan, rng)
        self._log = RequestLog(log_size)
        self._service = Service(self._repertoire, self._log, plan, time_scale=time_scale, settled=settled)
        self._tasks: dict[Connection, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None
        self.connections = 0

    def __repr__(self) -> str:
        state = self.base_url if self._server else "closed"
        return f"<FaultProvider {state}, {self._repertoire.script()!r}, {self._log.count} requests>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen. Raises `OSError` if the port is taken."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._opened, self._closed),
            self.host,
            self.port,
            ssl=self._ssl,
            backlog=self._backlog,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._service.origin = self.origin

    async def close(self) -> None:
        """Close the listener and every connection. Idempotent."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self.hang_up()
        await self._log.wait_until(lambda: not self._tasks, 10.0)

    def hang_up(self) -> None:
        """Close every connection at once, in the middle of whatever it does."""
        for connection, task in self._tasks.items():
            task.cancel()
            connection.abort()

    def _opened(self, connection: Connection) -> None:
        self.connections += 1
        self._tasks[connection] = asyncio.get_running_loop().create_task(self._service.serve(connection))

    def _closed(self, connection: Connection) -> None:
        self._tasks[connection].add_done_callback(lambda _: self._forget(connection))

    def _forget(self, connection: Connection) -> None:
        del self._tasks[connection]
        self._log.changed()

    # Where it is.

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._ssl else 'http'}://{host}:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    # What it plays.

    def set_script(self, script: str, model: str | None = None) -> None:
        """Play `script` from its beginning, for all models or for one. Raises `ScriptError`."""
        self._repertoire.set(script, model)

    def remove_script(self, model: str | None = None) -> None:
        """Be healthy again; with `model`, treat it like the others."""
        self._repertoire.remove(model)

    # What it saw.

    @property
    def requests(self) -> list[Request]:
        """The newest requests, oldest first."""
        return list(self._log.requests)

    @property
    def open_connections(self) -> int:
        return len(self._tasks)

    def clear_requests(self) -> None:
        self._log.clear()

    async def wait_for_requests(self, count: int, timeout: float = 5.0) -> list[Request]:
        """Until so many requests have arrived. Raises `TimeoutError`."""
        await self._log.wait_until(lambda: self._log.count >= count, timeout)
        return self.requests

    async def wait_settled(self, request: Request, timeout: float = 5.0) -> None:
        """Until the answer is played or the client has left. Raises `TimeoutError`."""
        await self._log.wait_until(lambda: request.settled, timeout)

    async def wait_closed(self, request: Request, timeout: float = 5.0) -> float:
        """When the client left `request` before its answer was played. Raises `TimeoutError`."""
        while request.client_closed is None:
            await self._log.wait_until(lambda: request.client_closed is not None, timeout)
        return request.client_closed

    async def wait_for_connections(self, count: int, timeout: float = 5.0) -> None:
        """Until so many connections are open. Raises `TimeoutError`."""
        await self._log.wait_until(lambda: self.open_connections == count, timeout)
