"""A streaming call as its caller sees it, and many of them at a time.

1. A call is what it said, when the first of it came, and how it ended: by itself, or with an error.
2. Nobody waits longer than `PATIENCE` for a whole answer.
3. So many callers take turns: each makes its next call when its last one has ended, and not sooner than
   `every` seconds after it began.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple

PATIENCE = 30.0  # seconds

Stream = Callable[[], AsyncGenerator[str, None]]
"""Makes one call; the answer's pieces of text."""


class Call(NamedTuple):
    """`first` is seconds to the first content, None if there was none; `error` is None for success."""

    text: str
    first: float | None
    error: str | None


def reason(error: Exception) -> str:
    """On one line, the innermost of a group's first."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


async def call(stream: Stream) -> Call:
    began, first, text, error = time.perf_counter(), None, [], None
    try:
        async with asyncio.timeout(PATIENCE), aclosing(stream()) as pieces:
            async for piece in pieces:
                if piece and first is None:
                    first = time.perf_counter() - began
                text.append(piece)
    except Exception as raised:  # whatever a peer raises: that is what its caller gets
        error = reason(raised)
    return Call("".join(text), first, error)


async def calls(stream: Stream, count: int, concurrency: int, every: float = 0) -> list[Call]:
    turns, made = [None] * count, list[Call]()

    async def caller() -> None:
        while turns:
            turns.pop()
            next_turn = asyncio.create_task(asyncio.sleep(every))
            made.append(await call(stream))
            await next_turn

    await asyncio.gather(*(caller() for _ in range(concurrency)))
    return made
