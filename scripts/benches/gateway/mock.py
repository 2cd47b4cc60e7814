"""The mock provider behind every gateway: `benches.upstream`, and each request says what it wants played.

1. ``play:EVENTS:EVERY`` anywhere in a request's body is answered with a stream of so many events, EVERY
   milliseconds apart. The first comes at once, with the head; a late event doesn't delay the next.
2. A played event has about 220 bytes and carries its number and the instant it was written
   (CLOCK_MONOTONIC, nanoseconds), which a reader on the same machine compares with its own clock.
3. ``flood:MEGABYTES`` is answered with so much of a stream, as fast as the reader takes it and no faster.
4. Any other request gets what `benches.upstream` gives: 1.2 KB, or 200 events as fast as it goes.
5. With a certificate it listens on the next port, too, and speaks TLS there.

Run: ``python -m benches.gateway.mock PORT [CERTIFICATE]``. It prints ``ready`` when it listens, and ends
with its stdin.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import time
from pathlib import Path

from benches import upstream
from benches.gateway import loops

ORDER = re.compile(rb"(play|flood):(\d+)(?::(\d+))?")
MEGABYTE = 1_000_000
FLOOD = b"".join(upstream.STREAM[1:-1])  # of one write: 44 KB

_CHOICE = {"index": 0, "delta": {"content": "understudy%03d@%d "}, "finish_reason": None}
_CHUNK = {**upstream.COMMON, "object": "chat.completion.chunk", "choices": [_CHOICE]}
_EVENT = b"data: %s\n\n" % json.dumps(_CHUNK).encode()


def play(events: int, every: int) -> str:
    """What a request's text holds to have so many events, so many milliseconds apart."""
    return f"play:{events}:{every}"


def flood(megabytes: int) -> str:
    return f"flood:{megabytes}"


def stamped(number: int, now: int) -> bytes:
    """An event that says its number and when it was written."""
    return upstream.piece(_EVENT % (number, now))


class Mock(upstream.Provider):
    """One connection."""

    writable = True
    owed = 0  # bytes of a flood

    def answer(self, head: bytes, body: bytes) -> None:
        found = ORDER.search(body)
        if found is None:
            super().answer(head, body)
        elif found[1] == b"play":
            Played(self.transport, int(found[2]), int(found[3]) / 1000).begin()
        else:
            self.owed = int(found[2]) * MEGABYTE
            self.transport.write(upstream.STREAM[0])
            self.pour()

    def pour(self) -> None:
        while self.writable and self.owed > 0 and not self.transport.is_closing():
            self.owed -= len(FLOOD)
            self.transport.write(FLOOD if self.owed > 0 else FLOOD + upstream.STREAM[-1])

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self.pour()


class Played:
    """One stream at a pace."""

    def __init__(self, transport: asyncio.Transport, events: int, every: float) -> None:
        self.transport, self.events, self.every = transport, events, every
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()

    def begin(self) -> None:
        self.transport.write(upstream.STREAM[0] + stamped(0, time.monotonic_ns()))
        self.then(1)

    def then(self, number: int) -> None:
        self.loop.call_at(self.began + number * self.every, self.event, number)

    def event(self, number: int) -> None:
        if self.transport.is_closing():
            return
        if number == self.events:
            self.transport.write(upstream.STREAM[-1])
            return
        self.transport.write(stamped(number, time.monotonic_ns()))
        self.then(number + 1)


async def _serve(port: int, certificate: Path | None) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(Mock, "127.0.0.1", port, backlog=4096)
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        await loop.create_server(Mock, "127.0.0.1", port + 1, backlog=4096, ssl=context)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    loops.run(_serve(int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
