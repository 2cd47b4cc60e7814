"""The one loop: ask the dispatch, carry out the attempt, hand on what arrives, until it ends.

Streams and unary calls run the same loop; a unary answer is a single batch. Every exit, whether by
answer, error, cancellation or a bug of ours, passes `Call._leave`, which lets go of the connection,
settles the attempt and leaves no timer behind.

What arrives is handed on at once, but for two cases: it is held (`runtime.hold`), or goes on with an answer
that broke off and says nothing new yet. Then the caller is handed an empty batch about every `AWAKE` seconds,
so that it can show signs of life.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from understudy.core.attempt import Attempt
from understudy.core.cost import NOTHING_KNOWN, Bill
from understudy.core.dispatch import AcceptEmpty, Dispatch, GiveUp, Need, NeedLease, NeedRoom, Wait
from understudy.core.events import Event, OperatorActed, ProbeSettled, TurnCame
from understudy.core.outcome import Failure, Outcome, Success, Tokens
from understudy.core.pool import Pool
from understudy.errors import (
    BalancerClosed,
    FailureKind,
    InternalError,
    RequestError,
    TrailEntry,
)
from understudy.runtime.backend import Backend, Request
from understudy.runtime.chunks import Chunks
from understudy.runtime.exchange import Exchange
from understudy.runtime.fan_out import FanOut
from understudy.runtime.hold import Hold
from understudy.runtime.link import HOT
from understudy.runtime.ports import Clock, Observer, Transport
from understudy.runtime.race import Race, Runner
from understudy.runtime.recovery import Told
from understudy.runtime.sharing import Sharing
from understudy.runtime.tracing import Tracer, Tracing
from understudy.runtime.vigil import NotYet, Vigil
from understudy.runtime.watchdog import Closed, LimitPassed, Watchdog
from understudy.wire.chat import ChatChunk, Usage
from understudy.wire.needs import Needs
from understudy.wire.seam import Said

AWAKE = 5.0
_AWAITED = (Wait, NeedLease, NeedRoom)
_TURNS = 10


class Engine:
    """Carries out one pool's requests. `backends` are by member name; `jitter` gives [0, 1).

    `sharing` is the pool's, if others share it.
    """

    def __init__(
        self,
        pool: Pool,
        backends: Mapping[str, Backend],
        *,
        transport: Transport,
        clock: Clock,
        jitter: Callable[[], float],
        observers: Sequence[Observer] = (),
        tracer: Tracer | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        self.pool = pool
        self.sharing = sharing
        self.backends = dict(backends)
        self.transport = transport
        self.clock = clock
        self.jitter = jitter
        self.tracing = None if tracer is None else Tracing(tracer, pool, clock)
        self._fan_out = FanOut(observers)
        self._calls: set[Call] = set()
        self._waiters: dict[int, asyncio.Future[None]] = {}
        self._closed = False
        self._drained: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Engine of {self.pool!r}, {len(self._calls)} calls>"

    def call(self, request: Request, *, stream: bool, keeps_text: bool = True) -> Call:
        """One request, not begun yet: it begins when its chunks are asked for."""
        if self.tracing is not None:
            keeps_text = keeps_text or self.tracing.keeps_text
        return Call(self, request, stream=stream, keeps_text=keeps_text)

    @property
    def busy(self) -> bool:
        return bool(self._calls)

    def acted(self, backend: str, action: str) -> None:
        """Tell the observers of an operator's hand, and whoever waits to look again."""
        self._fan_out.tell([OperatorActed(self.clock.now(), 0, backend, action)])
        self.wake()

    def hear(self, events: Sequence[Event]) -> None:
        """What happened elsewhere."""
        self._fan_out.tell(events)

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
        dispatch = Dispatch(self.pool, self.clock.now(), self.jitter, stream=call.stream, needs=call.needs)
        if self.tracing is not None:
            self.tracing.begin(call, dispatch.request)
        return dispatch

    def end(self, call: Call) -> None:
        self._calls.discard(call)
        if self._drained is not None and not self._calls and not self._drained.done():
            self._drained.set_result(None)

    def tell(self, dispatch: Dispatch) -> None:
        """Hand the dispatch's facts to the observers, and wake those who wait for one of them."""
        events = dispatch.take_events()
        if not events:
            return
        if self._waiters:
            self._wake_for(events)
        self._fan_out.tell(events)
        if self.tracing is not None:
            self.tracing.tell(events)

    def waiter(self, request: int) -> asyncio.Future[None]:
        """A future that the request's turn resolves, or the next settled probe."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[request] = future
        return future

    def waits_no_more(self, request: int) -> None:
        self._waiters.pop(request, None)

    def wake(self) -> None:
        """Whoever waits for capacity looks again."""
        for future in self._waiters.values():
            _resolve(future)

    def _wake_for(self, events: Sequence[Event]) -> None:
        """A settled probe is news to all who wait, a turn to one."""
        if any(isinstance(event, ProbeSettled) for event in events):
            self.wake()
            return
        for event in events:
            if isinstance(event, TurnCame) and event.request in self._waiters:
                _resolve(self._waiters[event.request])


async def _comes_after_all(asking: asyncio.Task[None]) -> bool:
    """A busy loop learns of the time before it learns of an answer that has been there for long."""
    for _ in range(_TURNS):
        if asking.done():
            break
        await asyncio.sleep(0)
    return asking.done()


def _is_silent(attempt: Attempt) -> bool:
    return attempt.committed_at is None and attempt.outcome is None


def _resolve(future: asyncio.Future[None]) -> None:
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

    def reprieve(self, attempt: Attempt, limit: float) -> float:
        """Until when is waited after all, if the limit that has passed is what the attempt was hurried to."""
        if limit != attempt.limit_at:
            return limit
        self._dispatch.reconsider(attempt, self._engine.clock.now())
        return min(attempt.limit_at, self._dispatch.deadline.at)


class Call:
    """One request and what is known of its answer so far.

    `chunks` may be iterated once; or `next_batch` is called until it says None, and `leave` at the end.
    `backend`, `model` and `finish_reason` are the answering attempt's, `usage` the whole answer's; `text` is
    what has been handed on, unless nobody wants it kept.
    """

    __slots__ = (
        "_answered",
        "_dispatch",
        "_engine",
        "_exchange",
        "_hold",
        "_keeps_text",
        "_paused",
        "_pausing_since",
        "_race",
        "_recovers",
        "_running",
        "_speaker",
        "_told",
        "_vigil",
        "_waits_since",
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
        self._speaker: Attempt | None = None  # of whose content some was handed on, if it is a stream's
        self._answered = False
        settings = engine.pool.settings.recovery
        self._recovers = stream and settings.scope != "off"
        self._hold = Hold.wanted(settings) if stream else None
        self._race: Race | None = None
        self._vigil: Vigil[list[ChatChunk] | None] | None = None
        self._waits_since = 0.0  # the caller does, if it is to be kept awake
        self._keeps_text = keeps_text
        self._told = Told(request, self.needs)
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
        return self._told.usage(self._exchange.usage) if self._exchange is not None else None

    @property
    def finish_reason(self) -> str | None:
        return self._exchange.finish_reason if self._exchange is not None else None

    @property
    def text(self) -> str:
        return self._told.text if self._keeps_text else ""

    @property
    def number(self) -> int | None:
        """The request's number in its pool, by which the facts name it; None before it has begun."""
        return None if self._dispatch is None else self._dispatch.request

    @property
    def said(self) -> Mapping[int, Said]:
        """What has been handed on, by choice, unless nobody wants it kept."""
        return self._told.transcript.said if self._keeps_text else {}

    @property
    def attempts(self) -> int:
        """How many were made so far."""
        return self._dispatch.attempts if self._dispatch is not None else 0

    @property
    def bill(self) -> Bill:
        """What its attempts cost so far."""
        return self._dispatch.bill if self._dispatch is not None else NOTHING_KNOWN

    @property
    def asked_model(self) -> str | None:
        """The model that `backend` is asked for."""
        return None if self.backend is None else self._engine.backends[self.backend].model

    @property
    def is_native(self) -> bool:
        """Is the answer in the format that the request came in, as it came from one backend?"""
        return self.backend is not None and not self._told.is_resumed and self.is_native_to(self.backend)

    def is_native_to(self, backend: str) -> bool:
        """Did the request come in the format of this backend?"""
        return self._engine.backends[backend].is_native(self.request)

    def own_time(self, began: float) -> float:
        """Of the seconds since `began`, those spent neither asking a backend nor waiting for one."""
        now = self._engine.clock.now()
        away = 0.0 if self._dispatch is None else self._dispatch.time_asking(now)
        paused = 0.0 if self._pausing_since is None else now - self._pausing_since
        return now - began - away - self._paused - paused

    def chunks(self) -> Chunks:
        """The answer as it arrives; raises `RequestError` where there is none, or no whole one."""
        return Chunks(self)

    async def next_batch(self) -> list[ChatChunk] | None:
        """What has arrived of the answer, None at its end; empty if nothing has for some time.

        Raises what `chunks` does. All in one: whatever awaits here is resumed with each piece of each answer.
        """
        dispatch = self._dispatch
        if dispatch is None:
            dispatch = self._dispatch = self._engine.begin(self)
        if self._vigil is not None:
            self._waits_since = self._engine.clock.now()
        try:
            while not self._answered:
                if self._watchdog.closed:
                    raise Closed
                if self._running is None:
                    batch = self._step(dispatch)
                    if isinstance(batch, _AWAITED):
                        batch = await self._put_off(batch, dispatch)
                else:
                    assert self._exchange is not None
                    try:
                        if self._vigil is None and self._race is None:
                            batch = await self._exchange.next_batch()
                        else:
                            batch = await self._next_of_several(self._exchange, self._running, dispatch)
                    except Closed:
                        raise
                    except NotYet:
                        batch = self._hand_on(self._running, self._ripe(), dispatch)
                    except Exception as bug:
                        raise self._report(bug, self._running, dispatch) from bug
                    else:
                        batch = self._came(batch, dispatch)
                if batch is not None and (not batch or (batch := self._shown(batch))):
                    return batch
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
        if self._race is not None:
            self._watchdog.close()
            self._race.close()
            return True
        is_attended = self._vigil is None or self._vigil.is_idle or self._vigil.is_attended
        if self._watchdog.close() and is_attended:
            return True
        self.leave()
        return False

    # The loop

    def _step(self, dispatch: Dispatch) -> list[ChatChunk] | Wait | Need | None:
        """Do what the dispatch says; the chunks of an accepted empty answer, or what has to be awaited."""
        step = dispatch.next_step(self._engine.clock.now())
        self._engine.tell(dispatch)
        if isinstance(step, Attempt):
            self._begin_attempt(step, dispatch)
            return None
        match step:
            case AcceptEmpty():
                return self._accept_empty(dispatch)
            case GiveUp(error):
                dispatch.failed(self._engine.clock.now())
                raise error
            case _:
                return step

    async def _put_off(self, step: Wait | Need, dispatch: Dispatch) -> list[ChatChunk] | None:
        """Before the next step: wait, or ask the others."""
        if isinstance(step, Wait):
            return await self._pause(step, dispatch.request)
        await self._ask_others(step, dispatch, self._watchdog)
        return None

    async def _ask_others(self, need: Need, dispatch: Dispatch, watchdog: Watchdog) -> None:
        """Their consent, or none in time."""
        engine = self._engine
        sharing, consent = engine.sharing, dispatch.consent
        assert sharing is not None, "nobody shares the pool"
        assert consent is not None, "nobody shares the pool"
        if not sharing.link.is_quick:
            sharing.has_no_answer(need, consent)
            return
        asking = sharing.begin(need, consent)
        try:
            await watchdog.guard(asyncio.wait((asking,)), engine.clock.now() + HOT)
        except LimitPassed:
            if not await _comes_after_all(asking):
                sharing.is_late(need, consent)
        finally:
            sharing.end(need, asking)

    def _came(self, batch: list[ChatChunk] | None, dispatch: Dispatch) -> list[ChatChunk] | None:
        """What goes out now of what has come from whoever runs."""
        attempt, exchange = self._running, self._exchange
        assert attempt is not None
        assert exchange is not None
        if batch is None:
            return None if self._race is not None else self._ended(attempt, exchange, dispatch)
        if self._hold is not None:
            batch = self._hold.take(batch, self._engine.clock.now())
            if not batch:
                return None
        return batch if attempt is self._speaker else self._hand_on(attempt, batch, dispatch)

    async def _next_of_several(
        self, exchange: Exchange, attempt: Attempt, dispatch: Dispatch
    ) -> list[ChatChunk] | None:
        """There are three cases: a race, a vigil that may be cut short, none that could be."""
        if self._race is not None:
            return await self._run(self._race, dispatch)
        assert self._vigil is not None
        return await self._wait_in_pieces(self._vigil, exchange, attempt)

    async def _run(self, race: Race, dispatch: Dispatch) -> list[ChatChunk] | None:
        """The next runner that has come to something. When one has spoken, or none is left, it is over."""
        while (come := await race.next()) is None:
            await self._let_another_join(race, dispatch)
        runner, task = come
        if task.exception() is not None:
            self._is_run_by(runner)
        batch = task.result()
        if batch is not None or not race.runners:
            race.leave(lost=True)
            self._race = None
            self._is_run_by(runner)
        return batch

    async def _let_another_join(self, race: Race, dispatch: Dispatch) -> None:
        race.late_at = None
        (late,) = race.runners
        clock = self._engine.clock
        watchdog = Watchdog(clock)
        step = dispatch.hedge(late.attempt, clock.now())
        while isinstance(step, NeedLease | NeedRoom):
            await self._ask_others(step, dispatch, watchdog)
            step = dispatch.hedge(late.attempt, clock.now()) if _is_silent(late.attempt) else None
        self._engine.tell(dispatch)
        if step is None:
            watchdog.dispose()
        else:
            race.join(self._runner(step, dispatch, watchdog))

    def _is_run_by(self, runner: Runner) -> None:
        if self._watchdog is not runner.watchdog:
            self._watchdog.dispose()
        self._running, self._exchange, self._watchdog = runner
        self.backend = runner.attempt.member.name

    async def _wait_in_pieces(
        self, vigil: Vigil[list[ChatChunk] | None], exchange: Exchange, attempt: Attempt
    ) -> list[ChatChunk] | None:
        """Raises `NotYet` when the caller is to hear from us though nothing has arrived."""
        until = self._awake_until(attempt)
        if until is None and vigil.is_idle:
            return await exchange.next_batch()
        return await vigil.wait(exchange.next_batch, until)

    def _keep_vigil(self) -> None:
        if self._vigil is None:
            self._vigil = Vigil(self._engine.clock)
            self._waits_since = self._engine.clock.now()

    def _awake_until(self, attempt: Attempt) -> float | None:
        """None while what arrives is handed on at once."""
        hold = self._hold
        is_holding = hold is not None and hold.is_holding
        if not is_holding and (attempt.way is None or attempt is self._speaker):
            return None
        until = self._waits_since + AWAKE
        return until if hold is None or hold.until is None else min(until, hold.until)

    def _ripe(self) -> list[ChatChunk]:
        return [] if self._hold is None else self._hold.ripe(self._engine.clock.now())

    def _hand_on(self, attempt: Attempt, batch: list[ChatChunk], dispatch: Dispatch) -> list[ChatChunk]:
        """What goes out; the dispatch is told of the first there is."""
        if batch and attempt is not self._speaker and self.stream:
            self._speaks(attempt, dispatch)
        return batch

    def _speaks(self, attempt: Attempt, dispatch: Dispatch) -> None:
        if attempt.way is None:
            dispatch.show(attempt, self._told)
        else:
            dispatch.resume(attempt, self._engine.clock.now())
            self._engine.tell(dispatch)
        self._speaker = attempt

    def _report(self, bug: Exception, attempt: Attempt, dispatch: Dispatch) -> InternalError:
        now = self._engine.clock.now()
        dispatch.settle(attempt, Failure(FailureKind.INTERNAL, f"internal error: {bug!r}"), now)
        dispatch.failed(now)
        return InternalError(f"a bug of Understudy while asking {self.backend}: {bug!r}")

    def _begin_attempt(self, attempt: Attempt, dispatch: Dispatch) -> None:
        engine = self._engine
        runner = self._runner(attempt, dispatch, self._watchdog)
        self._is_run_by(runner)
        if self._hold is not None:
            self._keep_vigil()
        late_at = dispatch.hedge_at(attempt, engine.clock.now())
        if late_at is not None:
            self._race = Race(engine.clock, runner, late_at)

    def _runner(self, attempt: Attempt, dispatch: Dispatch, watchdog: Watchdog) -> Runner:
        engine = self._engine
        backend = engine.backends[attempt.member.name]
        part = self._told.part(attempt, backend)
        report = _Report(dispatch, engine)
        watchdog.reprieve = None if attempt.patience is None else partial(report.reprieve, attempt)
        exchange = Exchange(
            attempt,
            backend,
            part.request,
            part.needs,
            transport=engine.transport,
            clock=engine.clock,
            watchdog=watchdog,
            deadline=dispatch.deadline,
            progress=report,
            seam=part.seam,
        )
        if engine.tracing is not None:
            engine.tracing.attempt(dispatch.request, attempt, backend, exchange)
        return Runner(attempt, exchange, watchdog)

    async def _pause(self, wait: Wait, request: int) -> list[ChatChunk] | None:
        """Sleep until the instant, or until the request's turn comes if the step says so.

        If the answer has begun, no longer than the caller may go without a sign of life, which is returned.
        """
        engine = self._engine
        until = wait.until if self._speaker is None else min(wait.until, self._waits_since + AWAKE)
        future = engine.waiter(request) if wait.wakes else asyncio.get_running_loop().create_future()
        self._pausing_since = self._engine.clock.now()
        try:
            await self._watchdog.guard(future, until)
        except LimitPassed:
            pass
        finally:
            future.cancel()
            engine.waits_no_more(request)
            self._paused += self._engine.clock.now() - self._pausing_since
            self._pausing_since = None
        return None if self._speaker is None else []

    # Ends

    def _ended(self, attempt: Attempt, exchange: Exchange, dispatch: Dispatch) -> list[ChatChunk] | None:
        """The attempt is over: what is still to go out of a whole answer, or a sign of life."""
        self._running = None
        hold = self._hold
        if not isinstance(attempt.outcome, Success):
            if hold is not None:
                hold.drop()
            if attempt is self._speaker:
                self._told.broke_off(attempt, exchange.usage)
            if not dispatch.is_recovering:
                return None
            self._keep_vigil()
            return []
        rest = self._hand_on(attempt, [] if hold is None else hold.rest(), dispatch)
        self._answered = True
        dispatch.answered(self._engine.clock.now())
        if attempt.way is not None:
            rest.append(ChatChunk(usage=self.usage, id=self._told.transcript.id, model=self.model))
        return rest or None

    def _accept_empty(self, dispatch: Dispatch) -> list[ChatChunk]:
        assert self._exchange is not None
        self._answered = True
        dispatch.answered(self._engine.clock.now())
        return self._exchange.held

    def _complete(self, error: RequestError) -> None:
        """Add all that is known by now: the trail, and the text that was passed on."""
        error.trail = self.trail
        error.partial = self.text
        if self._engine.tracing is not None:
            assert self._dispatch is not None, "an error of what has not begun"
            self._engine.tracing.failed(self._dispatch.request, error)

    def _shown(self, batch: list[ChatChunk]) -> list[ChatChunk]:
        shown = batch
        for chunk in batch:
            if chunk.usage is not None and self._hidden(chunk):
                shown = [one for one in shown if one is not chunk]
        if self._recovers or self._keeps_text:
            self._told.add(shown)
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
        if self._race is not None:
            self._race.leave(lost=False)
        if self._vigil is not None:
            self._vigil.leave()
        if self._exchange is not None:
            self._exchange.abandon()
        dispatch.leave(self._engine.clock.now())
        self._engine.tell(dispatch)
        self._watchdog.dispose()
        self._engine.end(self)
