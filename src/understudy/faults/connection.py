"""One client's connection: raw bytes in, raw bytes out, and knowing at once when the client left.

1. The client has left when it closes or resets its side, also its sending side alone. Whoever
   waits or writes is told by `ClientLeft`.
2. Writing waits for a slow client: what is on its way is bounded by the transport's buffer.
3. `cut` and `reset` let everything written before reach the socket first (over TLS, all but the
   last 64 KiB of a client that does not read).
4. While a request is being answered, no more than 64 KiB of further requests are taken.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import cast

from understudy.faults.http import BadRequest, HttpRequest, RequestReader

AHEAD_LIMIT = 64 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientLeft(Exception):
    """The client closed the connection."""


class Connection(asyncio.Protocol):
    """Hands out requests one by one and writes what it is told to.

    `opened` is called with the connection once it is there, `closed` once it is gone.
    """

    def __init__(self, opened: Callable[[Connection], None], closed: Callable[[Connection], None]) -> None:
        self._opened, self._closed = opened, closed
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader()
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._reading = False
        self._writable = True
        self.left_at: float | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        if self._reading:
            self._wake()
        elif self._reader.buffered > AHEAD_LIMIT:
            self._transport.abort()

    def eof_received(self) -> None:
        self._leave()

    def connection_lost(self, error: Exception | None) -> None:
        self._leave()
        self._closed(self)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._wake()

    def _leave(self) -> None:
        if self.left_at is None:
            self.left_at = time.monotonic()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the task that serves the connection calls.

    @property
    def is_local(self) -> bool:
        """Does the client sit on this machine's loopback?"""
        peer = self._transport.get_extra_info("peername")
        address = ip_address(peer[0])
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback

    async def next_request(self) -> HttpRequest:
        """The next whole request. Raises `ClientLeft`, `BadRequest`."""
        self._reading = True
        try:
            while (request := self._reader.take()) is None:
                if self._reader.expects_continue:
                    self._reader.expects_continue = False
                    self._transport.write(CONTINUE)
                await self._woken()
            return request
        finally:
            self._reading = False

    async def write(self, data: bytes) -> None:
        if self.left_at is not None:
            raise ClientLeft
        self._transport.write(data)
        while not self._writable:
            await self._woken()

    async def write_last(self, data: bytes) -> None:
        """Write if anybody is still there."""
        try:
            await self.write(data)
        except ClientLeft:
            return

    async def wait(self, seconds: float | None) -> None:
        """Returns after so long; raises `ClientLeft` as soon as the client leaves."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self._woken()
        except TimeoutError:
            return

    async def _woken(self) -> None:
        if self.left_at is not None:
            raise ClientLeft
        self._waiter = self._loop.create_future()
        await self._waiter
        if self.left_at is not None:
            raise ClientLeft

    async def _flush(self) -> None:
        # Over TLS, a limit of 0 is one that even an empty buffer reaches.
        over_tls = self._transport.get_extra_info("sslcontext") is not None
        self._transport.set_write_buffer_limits(high=1 if over_tls else 0, low=0)
        while not self._writable:
            await self._woken()

    async def cut(self) -> None:
        await self._flush()
        self._transport.abort()

    async def reset(self) -> None:
        await self._flush()
        raw: socket.socket = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def close(self) -> None:
        """Close once everything written has been sent."""
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


__all__ = ["BadRequest", "ClientLeft", "Connection"]
