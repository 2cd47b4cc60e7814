"""Raw servers on real sockets, each playing one script per connection.

    async with serve(script) as server:
        ... server.url, server.peers ...

A script gets a `Peer`, the connection as the server sees it. When it returns, the connection is
closed politely; `Peer.reset` closes it rudely.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Script = Callable[["Peer"], Awaitable[None]]

CONTENT_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Peer:
    """One accepted connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.requests: list[bytes] = []
        self.gone = asyncio.Event()

    async def head(self) -> bytes:
        """The head of a request; its body stays where it is."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def request(self) -> bytes:
        """One whole request, head and body; raises `asyncio.IncompleteReadError` at the end."""
        head = await self.head()
        length = CONTENT_LENGTH.search(head)
        body = await self._reader.readexactly(int(length[1])) if length else b""
        self.requests.append(head + body)
        return head + body

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def watch(self) -> None:
        """Stay until the client is gone; `gone` tells of it."""
        with suppress(OSError, ssl.SSLError):
            while await self._reader.read(65536):
                pass
        self.gone.set()

    def leave(self) -> None:
        """The client is gone."""
        self.abort()
        self.gone.set()

    def reset(self) -> None:
        """Close with a RST."""
        self._writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self._writer.transport.abort()

    @property
    def alpn(self) -> str | None:
        """The protocol that TLS settled on."""
        secured: ssl.SSLObject = self._writer.get_extra_info("ssl_object")
        return secured.selected_alpn_protocol()

    async def tunnel(self, port: int) -> None:
        """Pass bytes both ways between the client and a port of 127.0.0.1 until either closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        ways = {
            asyncio.ensure_future(_pump(self._reader, writer)),
            asyncio.ensure_future(_pump(reader, self._writer)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
            writer.transport.abort()
            writer.close()

    def close(self) -> None:
        self._writer.close()

    def abort(self) -> None:
        self._writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.CancelledError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


class Server:
    """A listening script; `peers` are its connections in the order they came."""

    def __init__(self, script: Script, scheme: str) -> None:
        self._script = script
        self._scheme = scheme
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Condition()
        self.peers: list[Peer] = []
        self.faults: list[BaseException] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[bytes]:
        return [request for peer in self.peers for request in peer.requests]

    async def peer(self, number: int = 0) -> Peer:
        """The connection of that number, waited for."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.peers) > number)
        return self.peers[number]

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        async with self._arrived:
            self.peers.append(peer)
            self._arrived.notify_all()
        try:
            await self._script(peer)
            peer.close()
        except (asyncio.IncompleteReadError, OSError):
            peer.leave()
        except asyncio.CancelledError:
            peer.abort()  # The test is over.
        except Exception as fault:
            peer.abort()
            self.faults.append(fault)
        finally:
            self._tasks.discard(task)

    async def stopped(self) -> None:
        """Wait until every script that has begun is over."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        assert not self.faults, self.faults


@asynccontextmanager
async def serve(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Listen on a free port of 127.0.0.1 for the block's duration."""
    server = Server(script, "https" if tls else "http")
    listener = await asyncio.start_server(server.play, "127.0.0.1", 0, ssl=tls, backlog=512)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.stop()
        await listener.wait_closed()


@asynccontextmanager
async def deaf_port() -> AsyncIterator[int]:
    """A port that completes no connection: its queue of one is full and nobody accepts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        await asyncio.sleep(0.05)
        try:
            yield port
        finally:
            for filler in fillers:
                filler.close()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
