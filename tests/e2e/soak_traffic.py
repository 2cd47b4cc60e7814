"""Mixed traffic for one gateway, as fast as so many visitors can: both protocols, streams and unary calls,
and one visitor in ten leaves at a moment of chance.

Run by test_gateway_soak.py in a process of its own, with the gateway's port and how many requests to make;
prints as one JSON object what became of them. `cut` are answers that ended as no answer should.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Literal

VISITORS = 60
KEY = "key-of-the-soak-0815"
LEAVES = 0.1
LONGEST_STAY = 0.03  # seconds, of those who leave

Outcome = Literal["whole", "failed", "broken", "left", "cut"]


def request(path: str, *, stream: bool) -> bytes:
    messages = [{"role": "user", "content": "What happens when the lead falls silent? " * 20}]
    fields = {"model": "evening", "max_tokens": 100, "messages": messages, "stream": stream}
    body = json.dumps(fields).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: soak\r\nx-api-key: {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


REQUESTS = [
    (request(path, stream=stream), ending)
    for stream in (True, False)
    for path, ending in (
        ("/v1/chat/completions", b"data: [DONE]" if stream else b'"choices"'),
        ("/v1/messages", b'"message_stop"' if stream else b'"content"'),
    )
]


class Visitor:
    """One connection, made anew after every answer that closed it."""

    def __init__(self, port: int, chance: Random) -> None:
        self._port = port
        self._chance = chance
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, sent: bytes, ending: bytes) -> Outcome:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        self._writer.write(sent)
        if self._chance.random() < LEAVES:
            return await self._stay(self._chance.random() * LONGEST_STAY)
        try:
            return await self._answer(ending)
        except (EOFError, ConnectionError, asyncio.LimitOverrunError):
            self.leave()
            return "cut"

    async def _stay(self, seconds: float) -> Outcome:
        """Half of those who leave read what comes until then."""
        assert self._reader is not None
        if self._chance.random() < 0.5:
            await asyncio.sleep(seconds)
        else:
            try:
                async with asyncio.timeout(seconds):
                    while await self._reader.read(65536):
                        pass
            except TimeoutError:
                pass
        self.leave()
        return "left"

    async def _answer(self, ending: bytes) -> Outcome:
        assert self._reader is not None
        head = await self._reader.readuntil(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head:
            body = await self._reader.readuntil(b"\r\n0\r\n\r\n")
        else:
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            body = await self._reader.readexactly(int(length))
        if not head.startswith(b"HTTP/1.1 200 "):
            return "failed" if b'"error"' in body else "cut"
        if ending in body:
            return "whole"
        return "broken" if b'"error"' in body else "cut"

    def leave(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
            self._reader = self._writer = None


async def main(port: int, count: int, seed: int) -> Counter[Outcome]:
    numbers: Iterator[int] = iter(range(count))
    outcomes: Counter[Outcome] = Counter()

    async def visit(visitor: Visitor, chance: Random) -> None:
        for _ in numbers:
            outcomes[await visitor.ask(*chance.choice(REQUESTS))] += 1
        visitor.leave()

    chances = [Random(seed * VISITORS + number) for number in range(VISITORS)]
    await asyncio.gather(*(visit(Visitor(port, chance), chance) for chance in chances))
    return outcomes


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*map(int, sys.argv[1:])))))
