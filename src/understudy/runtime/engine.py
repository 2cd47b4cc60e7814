"""The one loop: ask the dispatch, carry out the attempt, hand on what arrives, until it ends.

Streams and unary calls run the same loop; a unary answer is a single batch. Every exit, whether by
answer, error, cancellation or a bug of ours, passes `Call._leave`, which lets go of the connection,
settles the attempt and leaves no timer behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from understudy.core.attempt import Attempt, Tokens
from understudy.core.dispatch import AcceptEmpty, Dispatch, GiveUp, Wait
from understudy.core.events import OperatorActed, ProbeSettled
from understudy.core.outcome import Failure, Outcome, Success
from understudy.core.pool import Pool
from understudy.errors import (
    BalancerClosed,
    FailureKind,
    InternalError,
    RequestError,
    StreamInterrupted,
    TrailEntry,
)
from understudy.runtime.backend import Backend, Request
from understudy.runtime.exchange import Exchange
from understudy.runtime.fan_out import FanOut
from understudy.runtime.ports import Clock, Observer, Transport
from understudy.runtime.watchdog import Closed, LimitPassed, Watchdog
from understudy.wire.chat import ChatChunk, Usage
from understudy.wire.needs import Needs


class Engine:
    """Carries out one pool's requests. `backends` are by member name; `jitter` gives [0, 1)."""

    def __init__(
        self,
        pool: Pool,
        backends: Mapping[str, Backend],
        *,
        transport: Transport,
        clock: Clock,
        jitter: Callable[[], float],
        observers: Sequence[Observer] = (),
    ) -> None:
        self.pool = pool
        self.backends = dict(backends)
        self.transport = transport
        self.clock = clock
        self.jitter = jitter
        self._fan_out = FanOut(observers)
        self._calls: set[Call] = set()
        self._waiters: dict[asyncio.Future[None], None] = {}  # in the order in which they came
        self._closed = False
        self._drained: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Engine of {self.pool!r}, {len(self._calls)} calls>"

    def call(self, request: Request, *, stream: bool, keeps_text: bool = True) -> Call:
        """One request, not begun yet: it begins when its chunks are asked for."""
        return Call(self, request, stream=stream, keeps_text=keeps_text)

    @property
    def busy(self) -> bool:
        return bool(self._calls)

    def acted(self, backend: str, action: str) -> None:
        """Tell the observers of an operator's hand, and whoever waits to look again."""
        self._fan_out.tell([OperatorActed(self.clock.now(), 0, backend, action)])
        self.wake()

    async def close(self) -> None:
        """End what is in flight with `BalancerClosed` and close every connection."""
        self._closed = True
        waiting = [call.close() for call in tuple(self._calls)]
        if any(waiting):
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained
        await self.transport.close()

    # What calls need

    def begin(self, call: Call) -> Dispatch:
        if self._closed:
            raise BalancerClosed("the balancer is closed")
        self._calls.add(call)
        return Dispatch(self.pool, self.clock.now(), self.jitter, stream=call.stream, needs=call.needs)

    def end(self, call: Call) -> None:
        self._calls.discard(call)
        if self._drained is not None and not self._calls and not self._drained.done():
            self._drained.set_result(None)

    def tell(self, dispatch: Dispatch) -> None:
        """Hand the dispatch's facts to the observers; a settled probe wakes those who wait for it."""
        events = dispatch.take_events()
        if not events:
            return
        if self._waiters and any(isinstance(event, ProbeSettled) for event in events):
            self.wake()
        self._fan_out.tell(events)

    def waiter(self) -> asyncio.Future[None]:
        """A future that the next settled probe resolves."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[future] = None
        future.add_done_callback(self._waiters.pop)
        return future

    def wake(self) -> None:
        """Whoever waits for capacity looks again."""
        for future in tuple(self._waiters):
            if not future.done():
                future.set_result(None)


class _Report:
    """Tells the dispatch how an attempt goes, and the engine what follows from it.

    Not the `Call` itself: an exchange that knew its call would tie every request's objects into a ring
    that only the garbage collector can undo.
    """

    __slots__ = ("_dispatch", "_engine")

    def __init__(self, dispatch: Dispatch, engine: Engine) -> None:
        self._dispatch = dispatch
        self._engine = engine

    def commit(self, attempt: Attempt, now: float) -> None:
        self._dispatch.commit(attempt, now)
        self._engine.tell(self._dispatch)

    def settle(self, attempt: Attempt, outcome: Outcome, now: float, tokens: Tokens | None) -> None:
        self._dispatch.settle(attempt, outcome, now, tokens)
        self._engine.tell(self._dispatch)


class Call:
    """One request and what is known of its answer so far.

    `chunks` may be iterated once; or `next_batch` is called until it says None, and `leave` at the end.
    `backend`, `model`, `usage` and `finish_reason` are the answering attempt's; `text` is what has been
    handed on, unless nobody wants it kept.
    """

    __slots__ = (
        "_answered",
        "_dispatch",
        "_engine",
        "_exchange",
        "_keeps_text",
        "_paused",
        "_pausing_since",
        "_running",
        "_text",
        "_watchdog",
        "backend",
        "needs",
        "request",
        "stream",
    )

    def __init__(self, engine: Engine, request: Request, *, stream: bool, keeps_text: bool) -> None:
        self._engine = engine
        self.request = request
        self.needs = Needs(request)
        self.stream = stream
        self._watchdog = Watchdog(engine.clock)
        self._dispatch: Dispatch | None = None
        self._exchange: Exchange | None = None
        self._running: Attempt | None = None
        self._answered = False
        self._keeps_text = keeps_text
        self._text: list[str] = []
        self._paused = 0.0
        self._pausing_since: float | None = None
        self.backend: str | None = None

    def __repr__(self) -> str:
        return f"<Call {self._dispatch!r}, {self.backend or 'not answered'}>"

    @property
    def trail(self) -> tuple[TrailEntry, ...]:
        return self._dispatch.trail if self._dispatch is not None else ()

    @property
    def model(self) -> str | None:
        return self._exchange.model if self._exchange is not None else None

    @property
    def usage(self) -> Usage | None:
        return self._exchange.usage if self._exchange is not None else None

    @property
    def finish_reason(self) -> str | None:
        return self._exchange.finish_reason if self._exchange is not None else None

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def attempts(self) -> int:
        """How many were made so far."""
        return self._dispatch.attempts if self._dispatch is not None else 0

    @property
    def asked_model(self) -> str | None:
        """The model that `backend` is asked for."""
        return None if self.backend is None else self._engine.backends[self.backend].model

    @property
    def is_native(self) -> bool:
        """Did the request come in the format of the backend that answers?"""
        return self.backend is not None and self.is_native_to(self.backend)

    def is_native_to(self, backend: str) -> bool:
        """Did the request come in the format of this backend?"""
        return self._engine.backends[backend].is_native(self.request)

    def own_time(self, began: float) -> float:
        """Of the seconds since `began`, those spent neither asking a backend nor waiting for one."""
        now = self._engine.clock.now()
        away = 0.0 if self._dispatch is None else self._dispatch.time_asking(now)
        paused = 0.0 if self._pausing_since is None else now - self._pausing_since
        return now - began - away - self._paused - paused

    async def chunks(self) -> AsyncGenerator[ChatChunk, None]:
        """The answer as it arrives; raises `RequestError` where there is none, or no whole one."""
        try:
            while (batch := await self.next_batch()) is not None:
                for chunk in batch:
                    yield chunk
        finally:
            self.leave()

    async def next_batch(self) -> list[ChatChunk] | None:
        """What has arrived of the answer, None at its end; raises what `chunks` does."""
        dispatch = self._dispatch
        if dispatch is None:
            dispatch = self._dispatch = self._engine.begin(self)
        try:
            while (batch := await self._next(dispatch)) is not None:
                if shown := self._shown(batch):
                    return shown
        except Closed:
            closed = BalancerClosed("the balancer was closed while the request ran")
            self._complete(closed)
            raise closed from None
        except RequestError as error:
            self._complete(error)
            raise
        return None

    def leave(self) -> None:
        """The caller is gone, or done. Idempotent."""
        if self._dispatch is not None:
            self._leave(self._dispatch)

    def close(self) -> bool:
        """End the request from outside; True if a task was waiting on it and will hear of it."""
        if self._watchdog.close():
            return True
        self.leave()
        return False

    # The loop

    async def _next(self, dispatch: Dispatch) -> list[ChatChunk] | None:
        """The next chunks to hand on, from whichever backend; None once the request is answered."""
        while not self._answered:
            if self._watchdog.closed:
                raise Closed
            if self._running is None:
                batch = await self._step(dispatch)
            else:
                batch = await self._next_batch(self._running, dispatch)
            if batch is not None:
                return batch
        return None

    async def _step(self, dispatch: Dispatch) -> list[ChatChunk] | None:
        """Do what the dispatch says; the chunks of an accepted empty answer, else None."""
        step = dispatch.next_step(self._engine.clock.now())
        self._engine.tell(dispatch)
        match step:
            case Attempt():
                self._begin_attempt(step, dispatch)
            case AcceptEmpty():
                return self._accept_empty(dispatch)
            case GiveUp(error):
                dispatch.failed(self._engine.clock.now())
                raise error
            case _:
                await self._pause(step)
        return None

    async def _next_batch(self, attempt: Attempt, dispatch: Dispatch) -> list[ChatChunk] | None:
        assert self._exchange is not None
        try:
            batch = await self._exchange.next_batch()
        except Closed:
            raise
        except Exception as bug:
            self._report(bug, attempt, dispatch)
            raise InternalError(f"a bug of Understudy while asking {attempt.member.name}: {bug!r}") from bug
        if batch is None:
            self._running = None
            if attempt.committed_at is not None:
                self._finish(dispatch, attempt)
        return batch

    def _report(self, bug: Exception, attempt: Attempt, dispatch: Dispatch) -> None:
        now = self._engine.clock.now()
        dispatch.settle(attempt, Failure(FailureKind.INTERNAL, f"internal error: {bug!r}"), now)
        dispatch.failed(now)

    def _begin_attempt(self, attempt: Attempt, dispatch: Dispatch) -> None:
        engine = self._engine
        self.backend = attempt.member.name
        self._running = attempt
        self._exchange = Exchange(
            attempt,
            engine.backends[attempt.member.name],
            self.request,
            self.needs,
            transport=engine.transport,
            clock=engine.clock,
            watchdog=self._watchdog,
            deadline=dispatch.deadline,
            progress=_Report(dispatch, engine),
        )

    async def _pause(self, wait: Wait) -> None:
        """Sleep until the instant, or until a probe settles if the step says so."""
        future = self._engine.waiter() if wait.wakes else asyncio.get_running_loop().create_future()
        self._pausing_since = self._engine.clock.now()
        try:
            await self._watchdog.guard(future, wait.until)
        except LimitPassed:
            pass
        finally:
            future.cancel()
            self._paused += self._engine.clock.now() - self._pausing_since
            self._pausing_since = None

    # Ends

    def _finish(self, dispatch: Dispatch, attempt: Attempt) -> None:
        """After content there are two ends: a whole answer, or an explicit error."""
        now = self._engine.clock.now()
        if isinstance(attempt.outcome, Success):
            self._answered = True
            dispatch.answered(now)
            return
        dispatch.failed(now)
        cause = dispatch.causes[-1]
        raise StreamInterrupted(
            f"{cause.backend} broke off after its first content: {cause.message}",
            causes=dispatch.causes,
            retryable=True,
        )

    def _accept_empty(self, dispatch: Dispatch) -> list[ChatChunk]:
        assert self._exchange is not None
        self._answered = True
        dispatch.answered(self._engine.clock.now())
        return self._exchange.held

    def _complete(self, error: RequestError) -> None:
        """Add all that is known by now: the trail, and the text that was passed on."""
        error.trail = self.trail
        error.partial = self.text

    def _shown(self, batch: list[ChatChunk]) -> list[ChatChunk]:
        shown = [chunk for chunk in batch if chunk.usage is None or not self._hidden(chunk)]
        if self._keeps_text:
            self._text.extend(chunk.text for chunk in shown if chunk.text)
        return shown

    def _hidden(self, chunk: ChatChunk) -> bool:
        """The usage chunk that we asked for on our own account is not the caller's."""
        return (
            self.stream
            and not self.request.wants_usage
            and not chunk.has_content
            and chunk.finish_reason is None
        )

    def _leave(self, dispatch: Dispatch) -> None:
        if self._exchange is not None:
            self._exchange.abandon()
        dispatch.leave(self._engine.clock.now())
        self._engine.tell(dispatch)
        self._watchdog.dispose()
        self._engine.end(self)
