"""The same balancer for threads and scripts.

An event loop of its own runs in a background thread; every call is handed over to it and waited for.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar, Unpack

from understudy.config.pool import PoolProfile
from understudy.config.profile import LoadBalancerProfile, StandardProfile
from understudy.core.settings import Source
from understudy.core.stats import Stats
from understudy.errors import BalancerClosed, TrailEntry
from understudy.library.answer import Answer, ToolCall
from understudy.library.balancer import Balancer, Messages, Options
from understudy.library.chat_stream import ChatStream
from understudy.wire.chat import ChatChunk, ChatRequest, Usage

T = TypeVar("T")


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="understudy", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for the coroutine; an interrupt, whenever it comes, cancels it there and is raised here."""
        if self._loop.is_closed():
            work.close()
            raise BalancerClosed("the balancer is closed")
        outcome: Future[T] = Future()
        try:
            self._loop.call_soon_threadsafe(self._start, work, outcome)
            return outcome.result()
        except BaseException:
            outcome.cancel()
            raise

    def _start(self, work: Coroutine[Any, Any, T], outcome: Future[T]) -> None:
        """On the loop's thread. Unlike asyncio's own bridge, `outcome` exists before the work is handed
        over: there is no moment at which an interrupt finds nothing to cancel."""
        task = self._loop.create_task(work)
        task.add_done_callback(lambda task: _hand_over(task, outcome))

        def give_up(outcome: Future[T]) -> None:
            if outcome.cancelled():
                self._loop.call_soon_threadsafe(task.cancel)

        outcome.add_done_callback(give_up)

    def call(self, function: Callable[[], T]) -> T:
        """A plain function, on the loop's thread: the core is not made for two at a time."""

        async def called() -> T:
            return function()

        return self.run(called())

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _hand_over(task: asyncio.Task[T], outcome: Future[T]) -> None:
    """What became of the task, unless nobody waits for it any more."""
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    if not outcome.set_running_or_notify_cancel():
        return
    if error is None:
        outcome.set_result(task.result())
    else:
        outcome.set_exception(error)


class SyncChatStream:
    """An iterator of `ChatChunk`; also a context manager that closes for sure. See `ChatStream`."""

    def __init__(self, stream: ChatStream, loop: _Loop) -> None:
        self._stream = stream
        self._loop = loop

    def __repr__(self) -> str:
        return f"<Sync{self._stream!r}>"

    def __iter__(self) -> Iterator[ChatChunk]:
        return self

    def __next__(self) -> ChatChunk:
        chunk = self._loop.run(self._next())
        if chunk is None:
            raise StopIteration
        return chunk

    async def _next(self) -> ChatChunk | None:
        return await anext(self._stream, None)

    def __enter__(self) -> SyncChatStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop; the backend sees its connection close. Idempotent."""
        self._loop.run(self._stream.aclose())

    def answer(self) -> Answer:
        """Read to the end and put the whole answer together."""
        return self._loop.run(self._stream.answer())

    def so_far(self) -> Answer:
        """What has arrived until now, as an answer."""
        return self._stream.so_far()

    @property
    def text(self) -> str:
        return self._stream.text

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return self._stream.tool_calls

    @property
    def backend(self) -> str | None:
        return self._stream.backend

    @property
    def model(self) -> str | None:
        return self._stream.model

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    @property
    def finish_reason(self) -> str | None:
        return self._stream.finish_reason

    @property
    def trail(self) -> tuple[TrailEntry, ...]:
        return self._stream.trail


class SyncBalancer:
    """`Balancer` without ``await``; may be used from several threads at once.

    with understudy.SyncBalancer.load("testlb489") as lb:
        print(lb.complete("Write a haiku about testing").text)

    Takes the same arguments and raises the same errors as `Balancer`.
    """

    def __init__(
        self,
        profile: PoolProfile | LoadBalancerProfile | StandardProfile,
        members: Iterable[StandardProfile] = (),
        **options: Unpack[Options],
    ) -> None:
        self._balancer = Balancer(profile, members, **options)
        self._loop = _Loop()

    @classmethod
    def load(
        cls,
        name_or_path: str,
        *,
        home: str | os.PathLike[str] | None = None,
        **options: Unpack[Options],
    ) -> SyncBalancer:
        """The balancer of a saved profile; see `Balancer.load`."""
        synchronous = cls.__new__(cls)
        synchronous._balancer = Balancer.load(name_or_path, home=home, **options)
        synchronous._loop = _Loop()
        return synchronous

    def __repr__(self) -> str:
        return f"<Sync{self._balancer!r}>"

    def __enter__(self) -> SyncBalancer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what is in flight with `BalancerClosed`, and close every connection. Idempotent."""
        try:
            self._loop.run(self._balancer.aclose())
        except BalancerClosed:
            return
        self._loop.close()

    def stream(self, prompt: str | Messages | ChatRequest, **fields: Any) -> SyncChatStream:
        """The answer as it arrives; see `Balancer.stream`."""
        return SyncChatStream(self._balancer.stream(prompt, **fields), self._loop)

    def complete(self, prompt: str | Messages | ChatRequest, **fields: Any) -> Answer:
        """The whole answer; see `Balancer.complete`."""
        return self._loop.run(self._balancer.complete(prompt, **fields))

    def stats(self) -> Stats:
        """The pool at this instant."""
        return self._loop.call(self._balancer.stats)

    def set(self, key: str, value: Any) -> None:
        """Change a setting from the next decision on; raises `SettingError`."""
        self._loop.call(lambda: self._balancer.set(key, value))

    def unset(self, key: str) -> None:
        """Take a live change back; raises `SettingError` for an unknown key."""
        self._loop.call(lambda: self._balancer.unset(key))

    def setting(self, key: str) -> tuple[Any, Source]:
        """A setting's value in force and where it came from."""
        return self._balancer.setting(key)

    def settings(self) -> dict[str, tuple[Any, Source]]:
        """Every setting that can be changed here, with its value and where it came from."""
        return self._balancer.settings()
