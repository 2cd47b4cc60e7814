"""What one client under measurement runs: calls on command, and the CPU they took.

A client is a `Client`. Its process reads lines ``complete N`` or ``stream N`` from stdin, makes N
calls, `CONCURRENCY` at a time, checks every answer's whole text, and prints one JSON line. CPU is the
user and system time of the process with all its threads around these calls: what making the calls
takes, wherever it is spent, without waiting and without start-up.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from benches.upstream import STREAMED, TEXT

CONCURRENCY = 32
MODEL = "mock"
MEMBERS = 3
PROMPT = "Tell me about the theatre, and take your time. " * 38  # 1.8 KB
MESSAGES = [{"role": "user", "content": PROMPT}]


class Client(Protocol):
    """One way to call a chat model."""

    async def complete(self) -> str:
        """One unary call; the answer's text."""
        ...

    async def stream(self) -> str:
        """One streaming call, consumed chunk by chunk; the chunks' text."""
        ...


Opener = Callable[[str], AbstractAsyncContextManager[Client]]


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _repeat(call: Callable[[], Awaitable[str]], expected: str, turns: list[None]) -> None:
    while turns:
        turns.pop()
        text = await call()
        if text != expected:
            raise AssertionError(f"a wrong answer: {text[:80]!r}")


async def _measure(call: Callable[[], Awaitable[str]], expected: str, count: int) -> dict[str, float]:
    turns = [None] * count
    cpu_before, wall_before = cpu(), time.perf_counter()
    await asyncio.gather(*(_repeat(call, expected, turns) for _ in range(CONCURRENCY)))
    return {"calls": count, "cpu": cpu() - cpu_before, "wall": time.perf_counter() - wall_before}


async def _obey(open_client: Opener, base_url: str) -> None:
    loop = asyncio.get_running_loop()
    async with open_client(base_url) as client:
        print(json.dumps({"ready": True}), flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            kind, count = line.split()
            call, expected = (client.stream, STREAMED) if kind == "stream" else (client.complete, TEXT)
            print(json.dumps(await _measure(call, expected, int(count))), flush=True)


def run(open_client: Opener) -> None:
    """The whole process of one client; its only argument is the upstream's base URL."""
    asyncio.run(_obey(open_client, sys.argv[1]))
