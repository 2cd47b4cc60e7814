"""A call's chunks one by one.

What an asynchronous generator over `Call.next_batch` would do, without what one costs: the event loop
registers every generator, and resumes it with each chunk.

1. The call begins with the first chunk asked for. After its end, an error or `aclose` nothing more comes.
2. However it ends, the caller leaves. So does who drops the last reference, in the loop that it was read in.
3. One reads at a time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from understudy.wire.chat import ChatChunk

if TYPE_CHECKING:
    from understudy.runtime.engine import Call


class Chunks:
    """An asynchronous iterator. Raises what `Call.next_batch` does."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._ready: list[ChatChunk] = []  # the last one is the next
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_reading = False
        self._is_over = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._call!r}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatChunk:
        return self._ready.pop() if self._ready else await self._first_of_next()

    async def aclose(self) -> None:
        """Stop; the backend sees its connection close. Idempotent."""
        self._check()
        self._end()

    def __del__(self) -> None:
        """Rule 2: perhaps another thread drops it, or the collector."""
        if self._loop is not None and not self._is_over and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._call.leave)

    async def _first_of_next(self) -> ChatChunk:
        self._check()
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        if self._is_over:
            raise StopAsyncIteration
        self._is_reading = True
        try:
            # An empty one is a sign of life, of which nobody is told here.
            while (batch := await self._call.next_batch()) == []:
                pass
        except BaseException:
            self._end()
            raise
        finally:
            self._is_reading = False
        if batch is None:
            self._end()
            raise StopAsyncIteration
        batch.reverse()
        self._ready = batch
        return batch.pop()

    def _check(self) -> None:
        """Rule 3."""
        if self._is_reading:
            raise RuntimeError("somebody is reading the answer already")

    def _end(self) -> None:
        self._is_over = True
        self._ready = []
        self._call.leave()
