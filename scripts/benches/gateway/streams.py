"""Many streams at once over raw sockets: what arrived, in which order, and how late.

1. Connections are open before anything is sent, so accepting them is in nobody's figures.
2. An event counts if its number is the next of its stream; a stream that skips one, repeats one, ends
   early or doesn't end, in OpenAI's way or in Anthropic's, is a failure of the whole run.
3. An event's delay is from when the mock wrote it until it was read here: one machine, one clock.
4. A stream's first event is its first content, from when the request was sent.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

from benches.gateway import callers
from benches.gateway.failed import Failed
from benches.gateway.requests import Target

_CONTENT = re.compile(rb"understudy(\d+)(?:@(\d+))? ")
_FRAME = re.compile(rb"\r\n[0-9a-fA-F]+\r\n")  # between two pieces; a proxy may cut them anywhere
_WELL = b"HTTP/1.1 200"
_ENDS = (b"[DONE]", b'"message_stop"')
_TAIL = 64  # longer than any content, with a frame in it
PATIENCE = 60.0  # seconds, for all streams together


class Stream(asyncio.Protocol):
    """One connection, one stream after another."""

    def __init__(self) -> None:
        self.events = 0  # over all its streams
        self.firsts: list[float] = []  # seconds
        self.delays: list[float] = []  # seconds
        self.done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by descent

    async def play(self, request: bytes) -> int:
        """One stream; how many events it had."""
        self.done = asyncio.get_running_loop().create_future()
        self.number, self.head, self.tail, self.last = 0, b"", b"", b""
        self.sent = time.monotonic_ns()
        self.transport.write(request)
        await self.done
        return self.number

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if len(self.head) < len(_WELL):
            self._begin(data)
        self.last = (self.last + data)[-7:]
        text, end = _FRAME.sub(b"", self.tail + data), 0
        for found in _CONTENT.finditer(text):
            end = found.end()
            self._event(int(found[1]), found[2], now)
        self.tail = text[max(end, len(text) - _TAIL) :]
        if self.last == b"\r\n0\r\n\r\n":
            well = any(end in self.tail for end in _ENDS)
            self._end(None if well else Failed("a stream ended without [DONE]"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(Failed(f"a stream was cut after {self.events} events"))

    def _begin(self, data: bytes) -> None:
        self.head += data
        if not self.head.startswith(_WELL[: len(self.head)]):
            self._end(Failed(f"answered {callers.gist(self.head)}"))

    def _event(self, number: int, written: bytes | None, now: int) -> None:
        if number != self.number:
            self._end(Failed(f"event {number} came where {self.number} was due"))
        if not number:
            self.firsts.append((now - self.sent) / 1e9)
        if written is not None:
            self.delays.append((now - int(written)) / 1e9)
        self.number += 1
        self.events += 1

    def _end(self, failed: Failed | None) -> None:
        if self.done is None or self.done.done():
            return
        if failed:
            self.done.set_exception(failed)
        else:
            self.done.set_result(None)


@asynccontextmanager
async def connected(target: Target, count: int) -> AsyncIterator[list[Stream]]:
    loop = asyncio.get_running_loop()
    streams: list[Stream] = []
    try:
        while len(streams) < count:
            _, stream = await loop.create_connection(Stream, "127.0.0.1", target.port)
            streams.append(stream)
        yield streams
    finally:
        for stream in streams:
            stream.done = None
            stream.transport.abort()
        await asyncio.sleep(0)  # now they are closed


async def play(streams: Sequence[Stream], request: bytes, events: int, apart: float, turns: int = 1) -> None:
    """All of them, begun so many seconds apart; each plays so many streams, one after another."""
    began = time.monotonic()

    async def one(stream: Stream, place: int) -> None:
        await asyncio.sleep(began + place * apart - time.monotonic())
        for _ in range(turns):
            if (number := await stream.play(request)) != events:
                raise Failed(f"a stream ended after {number} of {events} events")

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(one(stream, place) for place, stream in enumerate(streams)))
