"""The fault provider: a real HTTP server that misbehaves on command."""

from __future__ import annotations

import ssl as tls
from collections.abc import Callable, Mapping
from random import Random
from types import TracebackType
from typing import Self

from understudy.errors import ConfigurationError
from understudy.faults.answer import CANONICAL, Answer
from understudy.faults.listener import Listener
from understudy.faults.log import Request, RequestLog
from understudy.faults.plan import Plan, in_every_format
from understudy.faults.repertoire import Repertoire
from understudy.faults.service import Service
from understudy.faults.waiting import Changes


class FaultProvider:
    """A provider on ``http://HOST:PORT/v1``: of OpenAI's chat and Responses, Anthropic's Messages, Gemini.

    ``FaultProvider("status 500; fine")``               a script for every model
    ``FaultProvider(models={"slow": "delay 20s"})``     scripts for single models
    ``FaultProvider(time_scale=0.01)``                  a script's 60 s pass in 0.6 s
    ``FaultProvider(ssl=context)``                      https

    `answer` is what it says when it is well, `pace` in tokens per second. `log_size` bounds the
    log. `settled` is called with each request that the provider is done with. `rng` decides steps
    such as ``30%``; the default is seeded, so a run can be repeated. Raises `ConfigurationError`,
    as `ScriptError` for a script that cannot be read.
    """

    def __init__(
        self,
        script: str = "fine",
        *,
        models: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        answer: Answer = CANONICAL,
        pace: float | None = None,
        time_scale: float = 1.0,
        rng: Random | None = None,
        ssl: tls.SSLContext | None = None,
        backlog: int = 1024,
        log_size: int = 10_000,
        settled: Callable[[Request], None] | None = None,
    ) -> None:
        for name, value in (("time_scale", time_scale), ("pace", pace)):
            if value is not None and value <= 0:
                raise ConfigurationError(f"{name} is {value}, but must be above 0")
        plans = in_every_format(Plan(answer=answer, pace=pace))
        # Failures at random, the same ones in every run: no secret depends on them.
        rng = rng or Random(0)  # noqa: S311
        self._changes = Changes()
        self._repertoire = Repertoire(script, models or {}, plans, rng)
        self._log = RequestLog(log_size, self._changes)
        self._service = Service(self._repertoire, self._log, plans, time_scale=time_scale, settled=settled)
        self._scheme = "https" if ssl else "http"
        self._listener = Listener(
            self._service.serve, self._changes, host=host, port=port, ssl=ssl, backlog=backlog
        )

    def __repr__(self) -> str:
        where = self.base_url if self._listener.is_open else "closed"
        return f"<FaultProvider {where}, {self._repertoire.script()!r}, {self._log.count} requests>"

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
        await self._listener.open()
        self._service.other_origin = f"{self._scheme}://localhost:{self.port}"

    async def close(self) -> None:
        """Close the listener and every connection; no task is left. Idempotent."""
        await self._listener.close()

    def hang_up(self) -> None:
        """Close every connection at once and go on listening."""
        self._listener.hang_up()

    # Where it is.

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def origin(self) -> str:
        host = self._listener.host
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

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
    def connections(self) -> int:
        """All that were ever made."""
        return self._listener.connections

    @property
    def open_connections(self) -> int:
        return self._listener.open_connections

    def clear_requests(self) -> None:
        self._log.clear()

    async def wait_for_requests(self, count: int, timeout: float = 5.0) -> list[Request]:
        """Until so many requests have arrived. Raises `TimeoutError`."""
        await self._changes.wait_until(lambda: self._log.count >= count, timeout)
        return self.requests

    async def wait_settled(self, request: Request, timeout: float = 5.0) -> None:
        """Until the answer is played or the client has left. Raises `TimeoutError`."""
        await self._changes.wait_until(lambda: request.settled, timeout)

    async def wait_closed(self, request: Request, timeout: float = 5.0) -> float:
        """When the client left `request` before its answer was played. Raises `TimeoutError`."""
        while request.client_closed is None:
            await self._changes.wait_until(lambda: request.client_closed is not None, timeout)
        return request.client_closed

    async def wait_for_connections(self, count: int, timeout: float = 5.0) -> None:
        """Until so many connections are open. Raises `TimeoutError`."""
        await self._changes.wait_until(lambda: self.open_connections == count, timeout)
