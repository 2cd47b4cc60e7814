"""A modelled server of shared state in virtual time: the memory store at the end of a wire.

1. One operation at a time, each for its `PRICES`; who comes meanwhile waits in line. The wire takes `WIRE`
   seconds there, and as many back; a share of `loss` never arrives.
2. `refuse`: nobody is there, which is an error at once. `freeze`: connections are taken, and nothing is done
   until `thaw`; then all of it, in order, and what nobody waits for any more, too. So does a real server
   with what its sockets hold: no more than `most_waiting`, the rest never arrives.
3. Counted is what arrives: in slices of `SLICE` seconds, by kind, and in bytes both ways.
"""

from __future__ import annotations

from asyncio import Future
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from math import inf
from random import Random
from typing import Any, NamedTuple, TypeVar

from benches.fleet import weight
from understudy.core.shared import Lease, Picture, Report, Room, Usage, Wanted
from understudy.runtime.ports import StateUnavailable
from understudy.simulate.clock import VirtualClock
from understudy.simulate.loop import VirtualLoop
from understudy.state.memory import MemoryStore

T = TypeVar("T")

WIRE = 0.000_25
SLICE = 0.01
OK = 4
PRICES = {
    "exchange": 31e-6,
    "exchange with news": 58e-6,
    "lease": 36e-6,
    "reserve": 35e-6,
    "spend": 35e-6,
    "publish": 29e-6,
    "numbers": 30e-6,
    "withdraw": 10e-6,
}
"""Seconds of the server's processor, as `server` has measured them."""


class _Job(NamedTuple):
    price: float
    work: Callable[[], Coroutine[Any, Any, Any]]
    answer: Future[Any]
    weigh: Callable[[Any], int]


class ModelledStore:
    """`operations` are by slice, `kinds` and `busy` (the server's seconds) and both kinds of bytes in all."""

    def __init__(
        self, loop: VirtualLoop, chance: Random, *, loss: float = 0.0, most_waiting: float = inf
    ) -> None:
        self.memory = MemoryStore(VirtualClock(loop))
        self.operations: Counter[int] = Counter()
        self.kinds: Counter[str] = Counter()
        self.sent = self.answered = 0
        self.busy = self.longest_wait = 0.0
        self._loop = loop
        self._chance = chance
        self._loss = loss
        self._most_waiting = most_waiting
        self._is_refusing = self._is_frozen = False
        self._line: deque[_Job] = deque()
        self._free_at = 0.0

    def __repr__(self) -> str:
        return f"<ModelledStore, {self.kinds.total()} operations>"

    # What befalls it

    def refuse(self) -> None:
        self._is_refusing = True

    def freeze(self) -> None:
        self._is_frozen = True

    def thaw(self) -> None:
        """Or be started again."""
        self._is_refusing = self._is_frozen = False
        line, self._line = self._line, deque()
        for job in line:
            self._take_up(job)

    # What it is asked

    async def exchange(self, pool: str, report: Report) -> Picture:
        kind = "exchange with news" if report.told or report.proves else "exchange"
        work = partial(self.memory.exchange, pool, report)
        return await self._ask(kind, weight.report(pool, report), work, weight.picture)

    async def lease(
        self, pool: str, member: str, holder: str, epoch: int, seconds: float, ends: float = inf
    ) -> Lease:
        work = partial(self.memory.lease, pool, member, holder, epoch, seconds, ends)
        sent = weight.script(f"circuits:{pool}", member, holder, epoch, 30_000, 86_400_000, 0)
        return await self._ask("lease", sent, work, lambda _: 15)

    async def reserve(self, pool: str, member: str, wanted: Sequence[Wanted]) -> Sequence[Room]:
        work = partial(self.memory.reserve, pool, member, wanted)
        sent = weight.script(f"ceiling:{pool}:{member}", *(part for each in wanted for part in each))
        return await self._ask("reserve", sent, work, lambda rooms: 40 * len(rooms))

    async def spend(self, pool: str, member: str, usage: Sequence[Usage]) -> None:
        work = partial(self.memory.spend, pool, member, usage)
        sent = weight.script(f"ceiling:{pool}:{member}", *(part for each in usage for part in each))
        await self._ask("spend", sent, work, lambda _: OK)

    async def publish(self, pool: str, process: str, numbers: bytes, seconds: float) -> None:
        work = partial(self.memory.publish, pool, process, numbers, seconds)
        sent = weight.script(f"stats:{pool}", process, 15_000, numbers)
        await self._ask("publish", sent, work, lambda _: OK)

    async def numbers(self, pool: str) -> Mapping[str, bytes]:
        work = partial(self.memory.numbers, pool)
        return await self._ask("numbers", weight.script(f"stats:{pool}"), work, weight.numbers)

    async def withdraw(self, pool: str, process: str) -> None:
        work = partial(self.memory.withdraw, pool, process)
        await self._ask("withdraw", weight.command("HDEL", f"stats:{pool}", process), work, lambda _: OK)

    async def close(self) -> None:
        """Others go on."""

    # The wire, and the line

    async def _ask(
        self, kind: str, sent: int, work: Callable[[], Coroutine[Any, Any, T]], weigh: Callable[[T], int]
    ) -> T:
        if self._is_refusing:
            raise StateUnavailable("connection refused")
        answer: Future[T] = self._loop.create_future()
        if self._chance.random() >= self._loss:
            job = _Job(PRICES[kind], work, answer, weigh)
            self._loop.call_at(self._loop.time() + WIRE, partial(self._arrive, kind, sent, job))
        return await answer

    def _arrive(self, kind: str, sent: int, job: _Job) -> None:
        """Rules 2 and 3."""
        self.kinds[kind] += 1
        self.sent += sent
        if not self._is_frozen:
            self._take_up(job)
        elif len(self._line) < self._most_waiting:
            self._line.append(job)

    def _take_up(self, job: _Job) -> None:
        """Rule 1."""
        now = self._loop.time()
        self.operations[int(now / SLICE)] += 1
        self._free_at = max(now, self._free_at) + job.price
        self.busy += job.price
        self.longest_wait = max(self.longest_wait, self._free_at - now)
        self._loop.call_at(self._free_at, partial(self._do, job))

    def _do(self, job: _Job) -> None:
        result = done(job.work())
        self.answered += job.weigh(result)
        self._loop.call_at(self._loop.time() + WIRE, partial(_hand_over, job.answer, result))


def _hand_over(answer: Future[Any], result: Any) -> None:
    if not answer.done():
        answer.set_result(result)


def done(work: Coroutine[Any, Any, T]) -> T:
    """The result of what never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a store in memory has waited")
