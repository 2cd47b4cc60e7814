"""A running answer: iterate it for chunks, ask it afterwards where they came from."""

from __future__ import annotations

from types import TracebackType

from understudy.errors import TrailEntry
from understudy.library.answer import Answer, AnswerParts, ToolCall
from understudy.runtime.chunks import Chunks
from understudy.runtime.engine import Call
from understudy.wire.chat import ChatChunk, Usage


class ChatStream(Chunks):
    """An asynchronous iterator of `ChatChunk`; also a context manager that closes for sure.

    The request begins with the first chunk asked for. Iterating raises `RequestError`: before the first
    chunk if nobody could answer, later (`StreamInterrupted`) if the answer broke off. `aclose`, leaving
    the context and dropping the last reference all cancel what is in flight.
    """

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._parts = AnswerParts()

    async def __anext__(self) -> ChatChunk:
        chunk = self._ready.pop() if self._ready else await self._first_of_next()
        self._parts.add(chunk)
        return chunk

    async def __aenter__(self) -> ChatStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def answer(self) -> Answer:
        """Read to the end and put the whole answer together."""
        async for _ in self:
            pass
        return self.so_far()

    def so_far(self) -> Answer:
        """What has arrived until now, as an answer."""
        return Answer(
            choices=self._parts.choices(),
            backend=self.backend,
            model=self.model,
            usage=self.usage or Usage(estimated=True),
            trail=self.trail,
        )

    @property
    def text(self) -> str:
        """The text of the first choice so far."""
        return self.so_far().text

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the first choice so far."""
        return self.so_far().tool_calls

    @property
    def backend(self) -> str | None:
        """The member that answers, or was asked last."""
        return self._call.backend

    @property
    def model(self) -> str | None:
        """The model that the backend says answered."""
        return self._call.model

    @property
    def usage(self) -> Usage | None:
        """Tokens of the answer; None until known."""
        return self._call.usage

    @property
    def finish_reason(self) -> str | None:
        return self._call.finish_reason

    @property
    def trail(self) -> tuple[TrailEntry, ...]:
        """Every attempt and every skipped member so far, in order."""
        return self._call.trail
