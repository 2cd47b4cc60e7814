"""Who asks: callers that come, ask, listen, and sometimes leave.

1. Arrivals and what is asked have a chance of their own, so that two profiles under one seed are asked the
   same.
2. No caller comes after the end; those who are there then are waited for.
3. What a caller hears is compared with the answer that is known (`canonical`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from random import Random
from typing import Any

from understudy.errors import RequestError
from understudy.library.balancer import Balancer
from understudy.simulate.canonical import Question, answer, prompt
from understudy.simulate.loop import VirtualLoop
from understudy.simulate.scenario import Traffic
from understudy.simulate.tally import End, Tally
from understudy.simulate.transport import until
from understudy.wire.chat import ChatRequest

_NO_FIELDS: Mapping[str, Any] = {}


class Crowd:
    """All callers of one run. `wordings` are those that an answer may have; `most` ends it by number."""

    def __init__(
        self,
        traffic: Traffic,
        balancer: Balancer,
        loop: VirtualLoop,
        *,
        seed: int,
        positions: Mapping[str, int],
        wordings: Sequence[int] = (0,),
        most: int | None = None,
    ) -> None:
        self.tally = Tally()
        self.bugs: list[Exception] = []
        self._traffic = traffic
        self._balancer = balancer
        self._loop = loop
        self._arrivals = Random(f"{seed}/arrivals")  # noqa: S311 - a model's chance, not a secret
        self._chance = Random(f"{seed}/requests")  # noqa: S311
        self._positions = positions
        self._wordings = wordings
        self._most = most
        self._begun = 0
        self._sessions = 0
        self._began_at = 0.0
        self._end = 0.0
        self._coming = True
        self._is_steady = not traffic.daily and traffic.burst_every is None
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_home: list[asyncio.Future[bool]] = []
        self._gone: asyncio.Future[None] = loop.create_future()

    def __repr__(self) -> str:
        return f"<Crowd, {self._begun} requests begun, {len(self._tasks)} callers>"

    async def come(self, duration: float) -> None:
        """Everybody, from the first to the last one's end."""
        self._began_at = self._loop.time()
        self._end = self._began_at + duration
        if self._traffic.process == "poisson":
            self._expect_next()
        else:
            for _ in range(self._traffic.clients):
                self._start(self._client())
            self._coming = False
        if self._tasks or self._coming:
            await self._gone
        if self.bugs:
            raise self.bugs[0]

    # Arrivals

    def _expect_next(self) -> None:
        """One more caller sets out; or it is over, and all may stay at home."""
        at = self._next_arrival()
        if at is None:
            self._coming = False
            for caller in self._at_home:
                caller.set_result(False)
            self._look_around()
        elif self._at_home:
            self._loop.call_at(at, self._at_home.pop().set_result, True)
        else:
            comes: asyncio.Future[bool] = self._loop.create_future()
            self._loop.call_at(at, comes.set_result, True)
            self._start(self._caller(comes))

    def _next_arrival(self) -> float | None:
        """By thinning: candidates come at the highest rate, and the rate of the moment decides about each."""
        traffic, chance = self._traffic, self._arrivals
        highest = traffic.highest_rate
        at = self._loop.time()
        while True:
            at += chance.expovariate(highest)
            if at >= self._end or self._is_over:
                return None
            roll = chance.random() * highest
            if self._is_steady or roll < traffic.rate_at(at - self._began_at):
                return at

    @property
    def _is_over(self) -> bool:
        return self._most is not None and self._begun >= self._most

    def _start(self, coroutine: Any) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self.bugs.append(error)
        self._look_around()

    def _look_around(self) -> None:
        if not self._tasks and not self._coming and not self._gone.done():
            self._gone.set_result(None)

    async def _caller(self, comes: asyncio.Future[bool]) -> None:
        """One session after the other: a task for each of them would cost as much as asking does."""
        while await comes:
            self._expect_next()
            await self._session()
            if not self._coming:
                return
            comes = asyncio.Future(loop=self._loop)
            self._at_home.append(comes)

    async def _client(self) -> None:
        """A closed loop. Clients do not all begin at once."""
        await self._pause(self._chance.random())
        while self._loop.time() < self._end and not self._is_over:
            await self._session()
            await self._pause()

    async def _session(self) -> None:
        self._sessions += 1
        session = self._sessions
        await self._ask(session)
        for _ in range(round(self._traffic.session(self._chance)) - 1):
            await self._pause()
            if self._loop.time() >= self._end or self._is_over:
                return
            await self._ask(session)

    async def _pause(self, part: float = 1.0) -> None:
        await until(self._loop.time() + part * self._traffic.think(self._chance), self._loop)

    # One request

    def _ask(self, session: int) -> Coroutine[Any, Any, None]:
        """No coroutine itself: every one between a caller and its answer is resumed with each piece."""
        traffic, chance = self._traffic, self._chance
        self._begun += 1
        question = Question(self._begun, max(1, round(traffic.answer_tokens(chance))))
        text = prompt(question, session, round(traffic.prompt_tokens(chance)))
        request = ChatRequest(({"role": "user", "content": text},), _NO_FIELDS)
        streams = traffic.stream >= 1 or chance.random() < traffic.stream
        hearing = self._listen(question, request) if streams else self._wait(question, request)
        if traffic.leaves and chance.random() < traffic.leaves:
            return self._impatiently(hearing, traffic.patience(chance))
        return hearing

    async def _impatiently(self, hearing: Coroutine[Any, Any, None], patience: float) -> None:
        began = self._loop.time()
        task = self._loop.create_task(hearing)
        timer = self._loop.call_later(patience, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            self.tally.add(began, None, End.LEFT, 0)
        finally:
            timer.cancel()

    async def _listen(self, question: Question, request: ChatRequest) -> None:
        loop = self._loop
        began = loop.time()
        first = None
        heard: list[str] = []
        stream = self._balancer.stream(request)
        try:
            async for chunk in stream:
                if chunk.text:
                    if first is None:
                        first = loop.time()
                    heard.append(chunk.text)
        except RequestError as error:
            self._broke_off(question, began, first, "".join(heard), error)
            return
        self._ended(question, began, first, "".join(heard), stream.backend)

    async def _wait(self, question: Question, request: ChatRequest) -> None:
        began = self._loop.time()
        try:
            whole = await self._balancer.complete(request)
        except RequestError as error:
            self._broke_off(question, began, None, "", error)
            return
        self._ended(question, began, self._loop.time(), whole.text, whole.backend)

    def _ended(
        self, question: Question, began: float, first: float | None, text: str, backend: str | None
    ) -> None:
        is_whole = text in [answer(question, wording) for wording in self._wordings]
        by = self._positions.get(backend or "", 0)
        self.tally.add(began, first, End.WHOLE if is_whole else End.WRONG, by)

    def _broke_off(
        self, question: Question, began: float, first: float | None, text: str, error: RequestError
    ) -> None:
        """What was heard must be the answer's beginning, or what came was wrong."""
        is_right = any(answer(question, wording).startswith(text) for wording in self._wordings)
        end = End.WRONG if not is_right else End.FAILED if first is None else End.INTERRUPTED
        self.tally.add(began, first, end, 0, error.type)
