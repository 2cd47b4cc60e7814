"""The server: uvicorn, with our signals.

::

    SIGTERM   readiness off, new requests refused ── drain delay ──> listener closed ── drain timeout ──> end
    SIGINT    the same without the delay; a second signal of either kind ends at once
    SIGHUP    the profiles are loaded anew

Rules:

1. Whatever runs when draining begins is served to its end, at most `drain_timeout` seconds after the
   listener has closed. What runs then still ends with the protocol's own error.
2. The process leaves with nothing open, and with status 0.
3. A worker gets the same orders over its line, and says in every answer which one it is.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import uvicorn

from understudy.errors import UnderstudyError
from understudy.gateway import edge
from understudy.gateway.app import Gateway
from understudy.gateway.worker import ORDERS, Line, Worker

_log = logging.getLogger("understudy.gateway")

BACKLOG = 2048


class ListenFailed(UnderstudyError):
    """The address cannot be listened on."""


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; raises `ListenFailed`."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return _bound(family, address)
    except OSError as error:
        raise ListenFailed(f"cannot listen on {host}:{port}: {error.strerror}") from None
    except UnicodeError:
        raise ListenFailed(f"cannot listen on {host}:{port}: that is no name of a host") from None


def _bound(family: int, address: Any) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """Serves one gateway on one socket until it is told to stop: by signals, or over a worker's `line`.

    `last_words` are the seconds for the error events of rule 1 to get out.
    """

    last_words = 2.0

    def __init__(
        self,
        gateway: Gateway,
        listener: socket.socket,
        *,
        drain_delay: float = 5.0,
        drain_timeout: float = 120.0,
        reload: Callable[[], Awaitable[None]] | None = None,
        line: Line | None = None,
    ) -> None:
        options = edge.options() | {"headers": _headers(gateway.worker)}
        super().__init__(uvicorn.Config(gateway, timeout_graceful_shutdown=1, backlog=BACKLOG, **options))
        self.gateway = gateway
        self.listener = listener
        self.drain_delay = drain_delay
        self.drain_timeout = drain_timeout
        self._reload = reload
        self._line = line
        self._reloading: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._hurried = asyncio.Event()

    @property
    def url(self) -> str:
        return url_of(self.listener)

    async def run_until_stopped(self, ready: Callable[[], None]) -> None:
        """Serve; `ready` is called once requests are taken. Whatever it raises ends the server."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup(sockets=[self.listener])
        ticking = asyncio.ensure_future(self.main_loop())
        try:
            self._listen_to_orders()
            ready()
            await self._stopping.wait()
            await self._drain()
        finally:
            self.should_exit = True
            await ticking
            await self.shutdown(sockets=[self.listener])

    def stop(self, *, delay: bool = True) -> None:
        """Begin to drain; said again, end at once."""
        if self._stopping.is_set():
            self._hurried.set()
        if not delay:
            self.drain_delay = 0.0
        self._stopping.set()

    def _listen_to_orders(self) -> None:
        """Rule 3."""
        if self._line is not None:
            self._line.listen(self._obey)
            return
        loop = asyncio.get_running_loop()
        for order in ORDERS if self._reload is not None else (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(order, self._obey, order)

    def _obey(self, order: signal.Signals) -> None:
        match order:
            case signal.SIGTERM:
                self.stop()
            case signal.SIGINT:
                self.stop(delay=False)
            case signal.SIGHUP if self._reload is not None:
                self._reloading = asyncio.ensure_future(self._reload())

    async def _drain(self) -> None:
        """Rule 1."""
        self.gateway.draining = True
        await self._unhurried(self.drain_delay)
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._unhurried(self.drain_timeout, self.gateway.until_idle())
        if self.gateway.running:
            _log.warning("%d requests are cut off: the drain timeout has passed", self.gateway.running)
        # A client that has stopped reading takes no last words, and is not waited for.
        with suppress(TimeoutError):
            async with asyncio.timeout(self.last_words):
                await self.gateway.close()
                await self.gateway.until_idle()

    async def _unhurried(self, seconds: float, *ends: Coroutine[Any, Any, None]) -> None:
        """Wait so many seconds, unless one of the `ends` comes before, or a second signal."""
        waits = [asyncio.ensure_future(end) for end in (*ends, self._hurried.wait())]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


def _headers(worker: Worker) -> list[tuple[str, str]]:
    """Rule 3."""
    return [] if worker.is_alone else [("x-understudy-worker", str(worker.number))]
