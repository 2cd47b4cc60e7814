"""One seed, one run of everything that can go wrong, and what must hold whatever it was.

A trial draws a profile, settings, faults, callers who leave and jumps of the wall clock from its seed, plays
them in virtual time with the product's own core and runtime, and returns the invariants that were violated.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from understudy.config.profile import LoadBalancerProfile, StandardProfile
from understudy.core.budget import SPAN, Budget
from understudy.core.cost import in_all, of_member
from understudy.core.events import (
    AttemptFailed,
    AttemptStarted,
    Event,
    FellSilent,
    Hedged,
    RecoveryStarted,
    RequestEnded,
)
from understudy.core.policies import BY_NAME
from understudy.core.recovery import Way
from understudy.core.settings import REGISTRY
from understudy.errors import BalancerClosed, FailureKind, RequestError, StreamInterrupted
from understudy.library.balancer import Balancer
from understudy.simulate.backend import ModelledBackend
from understudy.simulate.canonical import Question, answer, prompt
from understudy.simulate.cast import Cast, make_cast
from understudy.simulate.clock import VirtualClock
from understudy.simulate.distribution import uniform
from understudy.simulate.fate import Fate, Stretch
from understudy.simulate.loop import VirtualLoop
from understudy.simulate.scenario import FAILURES, Effects, Model, Phase
from understudy.simulate.transport import ModelledTransport, until

SEED, SEEDS = "UNDERSTUDY_SEED", "UNDERSTUDY_SEEDS"
COMMAND = f"{SEED}={{seed}} scripts/test tests/simulate/test_invariants.py"
FAULTS = (*FAILURES, "429", "500", "503", "529", "400", "401")
# Instants are compared with limits that the runtime adds up in another order.
ROUNDING = 1e-6
LINGER = 1.0
PRICE = {"input": 2.0, "output": 10.0}  # everybody's: whom a policy prefers is not a question of money

# What a trial chooses from, where the product has such a setting.
CHOICES: dict[str, tuple[Any, ...]] = {
    "timeout_ms": (800, 3000, 20_000),
    "unary_timeout_ms": (4000, 30_000),
    "connect_timeout_ms": (300, 5000),
    "stall_timeout_ms": (1500, 6000),
    "request_timeout_ms": (4000, 30_000),
    "circuit_breaker_enabled": (True, True, True, False),
    "circuit_breaker_recovery_timeout_ms": (1000, 10_000),
    "circuit_breaker_failure_threshold": (1, 3),
    "circuit_breaker_failure_rate": (0, 50),
    "circuit_breaker_half_open_max": (1, 2),
    "failover_retry_count": (1, 2, 3),
    "failover_retry_delay_ms": (0, 500),
    "failover_on_network_errors": (True, True, True, False),
    "retry_after_max_ms": (0, 2000),
    "wait_for_capacity_ms": (0, 3000, 20_000),
    "bench_max_ms": (2000, 30_000),
    "tpm_threshold": (None, None, 600),
    "stream_recovery": ("off", "same_model", "any"),
    "recovery_timeout_ms": (3000, 30_000),
    "stream_hold_ms": (0, 0, 1500),
    "max_attempts": (None, 2, 4),
    "retry_budget_percent": (0, 20, 200),
    "failover_in_rpm": (None, None, 30),
    "timeout_mode": ("fixed", "adaptive"),
    "hedge": ("off", 700, "p90"),
    "hedge_budget_percent": (10, 100),
    "slow_start_ms": (0, 20_000),
    "failback_after_ms": (1000, 60_000),
    "rpm_limit": (None, None, 40),
    "tpm_limit": (None, None, 40_000),
    "max_concurrency": (None, None, 3),
    "queue_limit": (2, 1000),
}
# Chosen by a chance of its own, so that the seeds that a night has found stay what they are.
LATER: dict[str, tuple[Any, ...]] = {"panic_mode": (True, True, False)}
FLOORS = (0, 2, 10)
_KNOWN = frozenset(setting.key for setting in REGISTRY)


@dataclass
class Heard:
    """What one caller heard, and when."""

    question: Question
    began: float
    stream: bool
    text: str = ""
    moments: list[float] = field(default_factory=list)
    ended: float | None = None
    error: RequestError | None = None
    left: bool = False


class Attempts:
    """An observer that counts. A continuation that is refused for its prefill may be followed by a replay.

    `repeats` are the instants at which a request asked a backend again, `hedges` those of hedges, and whether
    the budget must have had room: not for that of a probe, or of one that has been silent before.
    """

    def __init__(self) -> None:
        self.began: list[float] = []
        self.repeats: list[float] = []
        self.hedges: list[tuple[float, bool]] = []
        self._probed: set[tuple[int, str]] = set()
        self._silent: set[str] = set()
        self.started: dict[int, Counter[str]] = {}
        self.refused: dict[int, Counter[str]] = {}
        self._ways: dict[tuple[int, str], str] = {}
        self.ended: Counter[int] = Counter()
        self.promised: Counter[int] = Counter()
        self.cost = 0.0

    def observe(self, event: Event) -> None:
        if isinstance(event, AttemptStarted):
            self._started(event)
        elif isinstance(event, Hedged):
            is_free = (event.request, event.late) in self._probed or event.late in self._silent
            self.hedges.append((event.at, not is_free))
        elif isinstance(event, FellSilent):
            self._silent.add(event.backend)
        elif isinstance(event, RecoveryStarted):
            self._ways[event.request, event.backend] = event.way
        elif isinstance(event, AttemptFailed):
            self._failed(event)
        elif isinstance(event, RequestEnded):
            self.began.append(event.at - event.duration)
            self.ended[event.request] += 1
            self.promised[event.request] = event.attempts
            self.cost += event.cost_usd or 0.0

    def _started(self, event: AttemptStarted) -> None:
        started = self.started.setdefault(event.request, Counter())
        if started[event.backend]:
            self.repeats.append(event.at)
        if event.probe:
            self._probed.add((event.request, event.backend))
        started[event.backend] += 1
        self._ways.pop((event.request, event.backend), None)

    def _failed(self, event: AttemptFailed) -> None:
        way = self._ways.get((event.request, event.backend))
        if way == Way.CONTINUATION and event.failure.kind in (FailureKind.INVALID_REQUEST, FailureKind.UNFIT):
            self.refused.setdefault(event.request, Counter())[event.backend] += 1


class Trial:
    """One run. `problems` are the violated invariants; `trace` is the same for the same seed."""

    def __init__(self, seed: int, *, tamper: Callable[[ModelledBackend], None] | None = None) -> None:
        self.seed = seed
        self.problems: list[str] = []
        self.heard: list[Heard] = []
        self._chance = chance = Random(f"{seed}/trial")
        self._loop = VirtualLoop(ties=Random(f"{seed}/ties").random)
        self._clock = VirtualClock(self._loop)
        later = Random(f"{seed}/later")
        self._settings = {**dict(_settings(chance, CHOICES)), **dict(_settings(later, LATER))}
        self._cast, self._wordings = _cast(chance)
        self._faults_until = self._loop.time() + chance.uniform(20, 120)
        stretches = list(self._stretches())
        self._backends = {
            f"{part.url}/": self._backend(part.name, part.position, part.model, part.words, stretches)
            for part in self._cast.parts
        }
        for backend in self._backends.values():
            if tamper is not None:
                tamper(backend)
        self._attempts = Attempts()
        self._balancer = Balancer(
            self._cast.pool,
            settings=self._settings,
            clock=self._clock,
            transport=ModelledTransport(self._backends, self._loop),
            rng=Random(f"{seed}/balancer"),
            observers=[self._attempts],
        )
        # With so few requests the floors would be all there is of the budgets.
        for budget in self._budgets:
            budget.floor = later.choice(FLOORS)

    @property
    def _budgets(self) -> tuple[Budget, Budget]:
        return self._balancer.pool.retries, self._balancer.pool.hedges

    def play(self) -> list[str]:
        try:
            self._loop.run_until_complete(self._play())
        finally:
            self._loop.close()
        return self.problems

    @property
    def trace(self) -> list[tuple[Any, ...]]:
        return [
            (one.question, one.text, one.moments, one.ended, type(one.error).__name__) for one in self.heard
        ]

    # What is played

    def _stretches(self) -> Iterator[Stretch]:
        chance, start = self._chance, self._loop.time()
        for _ in range(chance.randint(1, 6)):
            kinds = chance.sample(FAULTS, chance.randint(1, 3))
            effects = Effects(
                failures=tuple((kind, chance.choice((0.1, 0.3, 1.0)) / len(kinds)) for kind in kinds),
                rpm=chance.choice((None, None, 20.0)),
                tpm=chance.choice((None, None, 20_000.0)),
                concurrent=chance.choice((None, None, (1.0, 5.0))),
                latency=chance.choice(((1.0, 1.0), (1.0, 20.0))),
                speed=chance.choice(((1.0, 1.0), (1.0, 0.1))),
            )
            begin = chance.uniform(start, self._faults_until)
            end = min(self._faults_until, begin + chance.uniform(1, 60))
            backends = None if chance.random() < 0.2 else (chance.randint(1, len(self._cast.parts)),)
            phase = Phase("fault", effects, end - begin, backends=backends, cuts=chance.random() < 0.3)
            yield Stretch(begin, end, phase)

    def _backend(
        self, name: str, position: int, model_name: str, words: Any, stretches: Iterable[Stretch]
    ) -> ModelledBackend:
        chance = self._chance
        model = Model(
            # Well below every limit of `CHOICES`: what is late is late because of a fault.
            first_content=uniform(0.05, chance.choice((0.2, 0.6))),
            tokens_per_second=uniform(500, 900),
            chunks=chance.choice((2, 3, 8)),
            prefill=chance.choice((None, False)),
            wording=self._wordings[model_name],
            retry_after=chance.choice(("seconds", "date")),
        )
        own = [stretch for stretch in stretches if stretch.phase.concerns(name, position)]
        fate = Fate(model.effects, own)
        return ModelledBackend(name, model_name, words, model, fate, Random(f"{self.seed}/{position}"))

    async def _play(self) -> None:
        calls = [
            self._loop.create_task(self._call(number)) for number in range(1, self._chance.randint(20, 45))
        ]
        jumps = self._loop.create_task(self._jump())
        closes_early = self._chance.random() < 0.1
        if closes_early:
            await until(self._chance.uniform(self._loop.time(), self._faults_until), self._loop)
            await self._balancer.aclose()
        await asyncio.gather(*calls)
        self._check_permits()
        await jumps
        if not closes_early:
            await self._come_back()
        await self._balancer.aclose()
        self._check(closes_early)

    async def _jump(self) -> None:
        """The wall clock is set: forward, back, by seconds or hours."""
        for _ in range(self._chance.randint(0, 3)):
            await until(self._loop.time() + self._chance.uniform(1, 40), self._loop)
            self._clock.set_wall(self._clock.wall() + self._chance.choice((-7200, -5, 5, 7200, 86_400)))

    async def _call(self, number: int) -> None:
        chance = self._chance
        await until(chance.uniform(self._loop.time(), self._faults_until), self._loop)
        one = self._question(number)
        self.heard.append(one)
        hearing = self._loop.create_task(self._hear(one))
        if chance.random() < 0.2:
            self._loop.call_later(chance.choice((0.0, 0.3, 1.0, 3.0, 10.0)), hearing.cancel)
        try:
            await hearing
        except asyncio.CancelledError:
            one.left = True

    def _question(self, number: int) -> Heard:
        question = Question(number, self._chance.choice((1, 12, 60, 300)))
        return Heard(question, self._loop.time(), self._chance.random() < 0.8)

    async def _hear(self, one: Heard) -> None:
        text = prompt(one.question, one.question.number % 5, self._chance.choice((20, 500, 4000)))
        try:
            if one.stream:
                await self._listen(one, text)
            else:
                one.text = (await self._balancer.complete(text)).text
        except RequestError as error:
            one.error = error
        one.ended = self._loop.time()

    async def _listen(self, one: Heard, text: str) -> None:
        async with self._balancer.stream(text) as stream:
            async for chunk in stream:
                if chunk.text:
                    one.moments.append(self._loop.time())
                    one.text += chunk.text

    async def _come_back(self) -> None:
        """Once the faults have stopped, and every circuit and bench has had its time, all is answered."""
        await until(self._faults_until + 4 * 30 + 40, self._loop)
        for number in range(1001, 1006):
            one = self._question(number)
            self.heard.append(one)
            await self._hear(one)
            if one.error is not None:
                self._complain(f"request {number} failed long after the faults: {one.error!r}")
            await until(self._loop.time() + 5, self._loop)
        pool = self._balancer.pool
        for member in pool.members:
            if not member.breaker.admits(self._loop.time(), pool.settings.breaker):
                self._complain(f"{member!r} admits nothing long after the faults")

    # What must hold

    def _complain(self, problem: str) -> None:
        self.problems.append(problem)

    def _check(self, closes_early: bool) -> None:
        for one in self.heard:
            if not one.left:
                self._check_answer(one, closes_early)
                self._check_time(one)
        self._check_attempts()
        self._check_budgets()
        self._check_nothing_is_left()

    def _check_answer(self, one: Heard, closes_early: bool) -> None:
        """Whole, or a beginning and an error that says so and holds it."""
        number, texts = one.question.number, self._texts(one.question)
        if one.error is None:
            if one.text not in texts:
                self._complain(f"request {number} ended well with another text: {one.text[:80]!r}")
            return
        if not any(text.startswith(one.text) for text in texts):
            self._complain(f"request {number} heard what was not said: {one.text[:80]!r}")
        if one.stream and one.error.partial != one.text:
            self._complain(f"request {number}: partial {one.error.partial[:80]!r} is not what was heard")
        if one.text and not isinstance(one.error, StreamInterrupted | BalancerClosed):
            self._complain(f"request {number} broke off with {one.error!r}")
        if isinstance(one.error, BalancerClosed) and not closes_early:
            self._complain(f"request {number}: the balancer was not closed")

    def _texts(self, question: Question) -> list[str]:
        return [answer(question, wording) for wording in sorted(set(self._wordings.values()))]

    def _check_time(self, one: Heard) -> None:
        if one.ended is None:
            self._complain(f"request {one.question.number} never ended")
            return
        pool = self._balancer.pool.settings
        limit = pool.retry.request_timeout
        first = one.moments[0] if one.moments else one.ended
        hold = self._seconds("stream_hold_ms")
        if first > one.began + limit + hold + ROUNDING:
            took = first - one.began
            self._complain(
                f"request {one.question.number} took {took:.3f} s of {limit} s to its first content"
            )
        longest = self._seconds("stall_timeout_ms") + self._seconds("recovery_timeout_ms") + hold + LINGER
        moments = [*one.moments, one.ended]
        for before, after in itertools.pairwise(moments):
            if after - before > longest + ROUNDING:
                self._complain(f"request {one.question.number} was silent for {after - before:.3f} s")

    def _seconds(self, key: str) -> float:
        """A setting of milliseconds; 0 if the product has none of that name."""
        return float(self._balancer.setting(key)[0]) / 1000 if key in _KNOWN else 0.0

    def _check_attempts(self) -> None:
        """On each member no more than allowed; recovery counts anew, and a refused prefill not at all."""
        phases = 2 if "stream_recovery" in _KNOWN else 1
        allowed = self._balancer.pool.settings.retry.count * phases
        for request, started in self._attempts.started.items():
            for backend, count in started.items():
                most = allowed + self._attempts.refused.get(request, Counter())[backend]
                if count > most:
                    self._complain(f"request {request} asked {backend} {count} times of {most}")
            limit = self._balancer.pool.settings.retry.max_attempts
            if limit is not None and started.total() > limit:
                self._complain(f"request {request} made {started.total()} attempts of {limit}")
            if started.total() != self._attempts.promised[request]:
                self._complain(f"request {request}: {started} is not {self._attempts.promised[request]}")
        if any(count != 1 for count in self._attempts.ended.values()):
            self._complain(f"requests that did not end once: {self._attempts.ended}")

    def _check_budgets(self) -> None:
        settings, (retries, hedges) = self._balancer.pool.settings, self._budgets
        repeated = [(at, True) for at in self._attempts.repeats]
        self._check_budget("repeats", repeated, settings.retry.budget, retries.floor)
        self._check_budget("hedges", self._attempts.hedges, settings.hedge.budget, hedges.floor)

    def _check_budget(self, what: str, extras: list[tuple[float, bool]], share: float, floor: int) -> None:
        """As many as its floor and the share of the requests allow, of the newest ten whole seconds."""
        instants = [at for at, _ in extras]
        for number, (at, within) in enumerate(extras, 1):
            made, asked = _recent(instants[:number], at), _recent(self._attempts.began, at)
            if within and (share <= 0 or made > floor + share * asked + ROUNDING):
                self._complain(f"{made} {what} at {at:.3f}, beside {asked} requests")

    def _check_permits(self) -> None:
        """Nothing is in flight, so no probe can be out."""
        pool, now = self._balancer.pool, self._loop.time()
        for member in pool.members:
            if member.breaker.probing(now, pool.settings.breaker):
                self._complain(f"{member!r} has a probe out that nobody made")

    def _check_nothing_is_left(self) -> None:
        pool = self._balancer.pool
        if pool.metrics.in_flight or self._balancer.busy:
            self._complain(f"{pool.metrics.in_flight} requests in flight")
        if pool.metrics.requests != sum(self._attempts.ended.values()):
            self._complain(f"{pool.metrics.requests} requests, {self._attempts.ended.total()} ended")
        bill = in_all(map(of_member, pool.members))
        if abs((bill.usd or 0.0) - self._attempts.cost) > ROUNDING:
            self._complain(f"the requests cost {self._attempts.cost} $, the members {bill.usd} $")
        for member in pool.members:
            if member.metrics.in_flight:
                self._complain(f"{member!r} has attempts in flight")
        for backend in self._backends.values():
            if backend.in_flight:
                self._complain(f"{backend!r} has open connections")
        own = asyncio.current_task()
        if left := [task for task in asyncio.all_tasks(self._loop) if task is not own]:
            self._complain(f"tasks left behind: {left}")


def _recent(instants: Iterable[float], now: float) -> int:
    """Until `now`."""
    return sum(at <= now + ROUNDING and at // 1.0 + SPAN > now for at in instants)


def _settings(chance: Random, choices: dict[str, tuple[Any, ...]]) -> Iterator[tuple[str, Any]]:
    """Also those that are not used are drawn, so that a new setting changes no other choice."""
    for key, values in choices.items():
        value = chance.choice(values)
        if value is not None and key in _KNOWN:
            yield key, value


def _cast(chance: Random) -> tuple[Cast, dict[str, int]]:
    """A profile, and the wording of each model."""
    count = chance.randint(2, 4)
    models = [chance.choice(("m", "m", "n")) for _ in range(count)]
    members = [
        StandardProfile(
            f"b{position}",
            chance.choice(("openai", "openai", "anthropic")),
            model,
            settings={"base-url": "http://anywhere/v1", "price": PRICE, **_facts(chance)},
        )
        for position, model in enumerate(models)
    ]
    policy = chance.choice(sorted(BY_NAME))
    names = tuple(member.name for member in members)
    profile = LoadBalancerProfile("chaos", policy, names)
    return make_cast(profile, members), {"m": 0, "n": chance.choice((0, 1))}


def _facts(chance: Random) -> dict[str, Any]:
    return chance.choice(({}, {}, {"supports": ["prefill", "tools"]}, {"supports": []}))


# Seeds


def seeds(default: int) -> range:
    """One of the environment's choosing, as many as it says, or so many."""
    one = os.environ.get(SEED)
    if one is not None:
        return range(int(one), int(one) + 1)
    return range(int(os.environ.get(SEEDS, default)))


def violations(chosen: Iterable[int], **options: Any) -> list[str]:
    """What was violated, and how to see it again."""
    found = []
    logger = logging.getLogger("understudy")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        for seed in chosen:
            try:
                problems = Trial(seed, **options).play()
            except Exception as error:
                problems = [f"{type(error).__name__}: {error}"]
            if problems:
                found.append("\n  ".join([f"replay with: {COMMAND.format(seed=seed)}", *problems]))
    finally:
        logger.setLevel(level)
    return found
