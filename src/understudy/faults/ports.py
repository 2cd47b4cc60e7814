"""Ports that are no provider: nobody there, nobody answering, nobody speaking.

``closed_port``   refuses every connection, and nobody else can take it meanwhile
``full_port``     does not answer: a connection attempt hangs until the client gives up (Linux)
``SilentPort``    accepts and says nothing, so that also a TLS handshake stalls; sees who leaves

A TLS client that meets plaintext needs no port of its own: any provider without ``ssl`` will do.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from understudy.faults.connection import ClientLeft, Connection
from understudy.faults.listener import Listener
from understudy.faults.waiting import Changes

HOST = "127.0.0.1"


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that is bound, but not listened on."""
    with socket.socket() as owner:
        owner.bind((HOST, 0))
        yield owner.getsockname()[1]


@contextmanager
def full_port() -> Iterator[int]:
    """A port whose backlog is full, so that the kernel drops whoever knocks."""
    with ExitStack() as stack:
        owner = stack.enter_context(socket.socket())
        owner.bind((HOST, 0))
        owner.listen(0)
        port = owner.getsockname()[1]
        for _ in range(2):
            knocker = stack.enter_context(socket.socket())
            knocker.setblocking(False)
            knocker.connect_ex((HOST, port))
        yield port


class SilentPort:
    """Accepts connections and never says a word."""

    def __init__(self) -> None:
        self._changes = Changes()
        self._listener = Listener(self._listen, self._changes, host=HOST, port=0)

    async def __aenter__(self) -> Self:
        await self._listener.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._listener.close()

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def connections(self) -> int:
        """All that were ever made."""
        return self._listener.connections

    @property
    def open_connections(self) -> int:
        return self._listener.open_connections

    async def wait_for_connections(self, count: int, timeout: float = 5.0) -> None:
        """Until so many connections are open. Raises `TimeoutError`."""
        await self._changes.wait_until(lambda: self.open_connections == count, timeout)

    async def _listen(self, connection: Connection) -> None:
        try:
            await connection.wait(None)
        except ClientLeft:
            return
