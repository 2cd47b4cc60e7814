"""So many replicas of one pool around one modelled store, in virtual time, and what befalls them.

1. Each replica is a whole `Balancer` with the product's own sharing, over three modelled backends that all
   of them share; ``failover``, so that all ask the first. Callers ask each by chance, `rate` a second.
2. All replicas begin in the same instant, as after a deployment: the worst case for beats that fall together.
3. The story, in seconds: `IDLE` nobody asks; from `ASKED` on callers do; from `DOWN` to `HEALED` the first
   backend fails; from `AWAY` to `BACK` the store is away (`away` says how); at `OVER` it ends.
4. A replica honours an opened circuit once its own is open, by its own failures or by hearsay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from random import Random
from typing import Literal

from benches.fleet.store import SLICE, ModelledStore
from understudy.config.profile import LoadBalancerProfile, StandardProfile
from understudy.core.events import (
    AttemptStarted,
    BreakerClosed,
    BreakerOpened,
    Event,
    VerdictAdopted,
)
from understudy.library.balancer import Balancer
from understudy.simulate.backend import ModelledBackend
from understudy.simulate.cast import Cast, make_cast
from understudy.simulate.clock import VirtualClock
from understudy.simulate.crowd import Crowd
from understudy.simulate.distribution import constant
from understudy.simulate.fate import Fate, Stretch
from understudy.simulate.loop import VirtualLoop
from understudy.simulate.run import nothing_is_left, undisturbed
from understudy.simulate.scenario import Effects, Model, Phase, Traffic
from understudy.simulate.tally import Tally
from understudy.simulate.transport import ModelledTransport, until

IDLE = (12.0, 30.0)
ASKED = 30.0
BUSY = (45.0, 60.0)
DOWN = 60.0
AWAY, BACK = 140.0, 200.0
HEALED = 225.0
OVER = 290.0

FIRST, SPARES = "first", ("second", "third")
BACKLOG = 511
"""Connections that a Redis has waiting at most, by its default."""
Away = Literal["frozen", "refused", "there"]


@dataclass(frozen=True, slots=True)
class Span:
    """What the store was asked in a stretch of time; `peak` is the most in one slice of it."""

    seconds: float
    operations: int
    sent: int
    answered: int
    busy: float
    peak: int

    def per_second(self) -> float:
        return self.operations / self.seconds


@dataclass(slots=True)
class Witness:
    """An observer of one replica: when its first member's circuit opened and closed, and its probes."""

    opened: list[float] = field(default_factory=list)
    closed: list[float] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)

    def observe(self, event: Event) -> None:
        if getattr(event, "backend", None) != FIRST:
            return
        match event:
            case BreakerOpened() | VerdictAdopted(state="open"):
                self.opened.append(event.at)
            case BreakerClosed() | VerdictAdopted(state="closed"):
                self.closed.append(event.at)
            case AttemptStarted(probe=True):
                self.probes.append(event.at)
            case _:
                pass


@dataclass(slots=True)
class Figures:
    """Of one run. Instants are seconds of the story; `opened` and `closed` have one for each replica."""

    replicas: int
    idle: Span
    busy: Span
    away: Span
    back: Span
    opened: Sequence[float]
    closed: Sequence[float]
    probes: Sequence[float]
    longest_wait: float
    tallies: Sequence[Tally]

    def since_the_first(self, instants: Sequence[float], share: float) -> float:
        """Seconds until so many of them had it, all being 1."""
        return instants[ceil(len(instants) * share) - 1] - instants[0]

    def probes_in(self, begin: float, end: float) -> int:
        return sum(begin <= at < end for at in self.probes)

    def failed(self) -> int:
        return sum(sum(tally.errors.values()) for tally in self.tallies)

    def requests(self) -> int:
        return sum(map(len, self.tallies))


def play(replicas: int, *, rate: float = 0.2, seed: int = 0, away: Away = "frozen") -> Figures:
    """The whole story."""
    loop = VirtualLoop()
    try:
        with undisturbed():
            return loop.run_until_complete(_Story(loop, replicas, rate, seed, away).figures())
    finally:
        loop.close()


class _Story:
    def __init__(self, loop: VirtualLoop, replicas: int, rate: float, seed: int, away: Away) -> None:
        self._loop = loop
        self._began = loop.time()
        self._seed = seed
        self._away = away
        chance = Random(f"{seed}/store")  # noqa: S311 - a model's chance
        self._store = ModelledStore(loop, chance, most_waiting=replicas + BACKLOG)
        self._witnesses = [Witness() for _ in range(replicas)]
        cast = trio()
        transport = ModelledTransport(self._backends(cast), loop)
        self._balancers = [
            Balancer(
                cast.pool,
                clock=VirtualClock(loop),
                transport=transport,
                rng=Random(f"{seed}/{number}"),  # noqa: S311
                observers=[witness],
                state=self._store,
            )
            for number, witness in enumerate(self._witnesses)
        ]
        self._crowds = [self._crowd(cast, balancer, rate, n) for n, balancer in enumerate(self._balancers)]

    async def figures(self) -> Figures:
        for balancer in self._balancers:
            balancer.share()
        callers = asyncio.gather(*(self._call(crowd) for crowd in self._crowds))
        idle, busy = await self._span(*IDLE), await self._span(*BUSY)
        away, back = await self._store_goes()
        await callers
        for balancer in self._balancers:
            await balancer.aclose()
        await nothing_is_left(self._loop)
        opened = sorted(self._told(witness.opened[0]) for witness in self._witnesses if witness.opened)
        closed = sorted(self._told(witness.closed[-1]) for witness in self._witnesses if witness.closed)
        probes = sorted(self._told(at) for witness in self._witnesses for at in witness.probes)
        tallies = [crowd.tally for crowd in self._crowds]
        return Figures(
            len(self._balancers), idle, busy, away, back, opened, closed, probes,
            self._store.longest_wait, tallies,
        )  # fmt: skip

    def _told(self, instant: float) -> float:
        return instant - self._began

    async def _call(self, crowd: Crowd) -> None:
        await self._until(ASKED)
        await crowd.come(OVER - ASKED)

    async def _store_goes(self) -> tuple[Span, Span]:
        """While it is away, and the first seconds of its return."""
        await self._until(AWAY)
        if self._away == "frozen":
            self._store.freeze()
        elif self._away == "refused":
            self._store.refuse()
        away = await self._span(AWAY, BACK)
        self._store.longest_wait = 0.0
        self._store.thaw()
        return away, await self._span(BACK, BACK + 5)

    async def _span(self, begin: float, end: float) -> Span:
        await self._until(begin)
        store = self._store
        before = store.kinds.total(), store.sent, store.answered, store.busy
        await self._until(end)
        after = store.kinds.total(), store.sent, store.answered, store.busy
        passed = [late - early for early, late in zip(before, after, strict=True)]
        slices = range(int((self._began + begin) / SLICE), int((self._began + end) / SLICE))
        peak = max(store.operations[each] for each in slices)
        return Span(end - begin, int(passed[0]), int(passed[1]), int(passed[2]), passed[3], peak)

    async def _until(self, instant: float) -> None:
        await until(self._began + instant, self._loop)

    def _backends(self, cast: Cast) -> dict[str, ModelledBackend]:
        down = Phase("down", Effects(failures=(("500", 1.0),)), HEALED - DOWN)
        fate = [Stretch(self._began + DOWN, self._began + HEALED, down)]
        model = Model(first_content=constant(0.3), tokens_per_second=constant(100.0))
        return {
            f"{part.url}/": ModelledBackend(
                part.name,
                part.model,
                part.words,
                model,
                Fate(model.effects, fate if part.name == FIRST else []),
                Random(f"{self._seed}/{part.name}"),  # noqa: S311
            )
            for part in cast.parts
        }

    def _crowd(self, cast: Cast, balancer: Balancer, rate: float, number: int) -> Crowd:
        traffic = Traffic(rate=rate, stream=0.0, prompt_tokens=constant(50.0), answer_tokens=constant(20.0))
        positions = {part.name: part.position for part in cast.parts}
        return Crowd(traffic, balancer, self._loop, seed=self._seed * 1_000_000 + number, positions=positions)


def trio() -> Cast:
    """A backend that fails, and two that take over."""
    names = (FIRST, *SPARES)
    members = [
        StandardProfile(name, "openai", "m", settings={"base-url": "http://anywhere/v1"}) for name in names
    ]
    return make_cast(LoadBalancerProfile("trio", "failover", names), members)
