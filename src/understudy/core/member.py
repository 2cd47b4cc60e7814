"""One position of a profile, alive: its settings and everything known about its health."""

from __future__ import annotations

from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING

from understudy.core.breaker import Breaker, State
from understudy.core.facts import Facts
from understudy.core.history import History
from understudy.core.latency import Latency
from understudy.core.load import Load
from understudy.core.metrics import MemberMetrics
from understudy.core.patience import Patience
from understudy.core.settings import MemberSettings, PoolSettings
from understudy.core.silence import Silence
from understudy.core.sliding import Minute
from understudy.core.slow_start import SlowStart
from understudy.core.window import TokenWindow
from understudy.errors import SkipReason

if TYPE_CHECKING:
    from understudy.core.ceiling import Full

LONGEST_EXHAUSTION = 3600.0


class Health:
    """What is known of a member, whatever its settings: it outlives a profile that is loaded anew.

    `benched_until` is an instant; `drained`: an operator lets it finish and gives it nothing more.
    `refuses_prefill`: it did not want to go on with an answer that somebody else began.
    `exhausted_until`: the instant until which it has nothing left to give, by its own account.
    `full`: what others said of its ceilings, that share the pool. `starts`: in what times its streams began,
    counted while hedging goes by percentiles. `load`: how soon they begin, `whole_load`: how soon a whole
    answer comes, for policies that go by it.
    """

    __slots__ = (
        "asked",
        "benched_until",
        "breaker",
        "drained",
        "exhausted_until",
        "full",
        "history",
        "load",
        "metrics",
        "patience",
        "refuses_prefill",
        "silence",
        "slow_start",
        "starts",
        "taken_over",
        "tokens",
        "whole_load",
        "window",
    )

    def __init__(self) -> None:
        self.breaker = Breaker()
        self.window = TokenWindow()
        self.metrics = MemberMetrics()
        self.history = History()
        self.benched_until = 0.0
        self.exhausted_until = 0.0
        self.drained = False
        self.refuses_prefill = False
        self.load = Load()
        self.whole_load = Load()
        self.patience = Patience()
        self.silence = Silence()
        self.starts = Latency()
        self.slow_start: SlowStart | None = None
        self.tokens = Minute()
        self.asked = Minute()
        self.full: Full | None = None
        self.taken_over = Minute()


class Member:
    """A backend as a pool knows it; the same backend listed twice is two of these.

    `problem` is why it cannot be asked at all, None if it can. `identity` is what processes that share its
    pool call it: the same for the same backend, model and key.
    """

    __slots__ = (
        "breaker",
        "health",
        "identity",
        "index",
        "load",
        "metrics",
        "name",
        "problem",
        "seed",
        "settings",
        "whole_load",
        "window",
    )

    def __init__(
        self,
        name: str,
        index: int,
        settings: MemberSettings,
        problem: SkipReason | None = None,
        health: Health | None = None,
        identity: str = "",
    ) -> None:
        self.name = name
        self.identity = identity or name
        self.seed = int.from_bytes(blake2b(name.encode(), digest_size=8).digest())
        self.index = index
        self.settings = settings
        self.problem = problem
        self.health = health or Health()
        self.breaker = self.health.breaker
        self.load = self.health.load
        self.whole_load = self.health.whole_load
        self.window = self.health.window
        self.metrics = self.health.metrics

    def __repr__(self) -> str:
        return f"<Member {self.name}, {self.breaker!r}, {self.metrics.in_flight} in flight>"

    @property
    def benched_until(self) -> float:
        return self.health.benched_until

    @benched_until.setter
    def benched_until(self, instant: float) -> None:
        self.health.benched_until = instant

    @property
    def is_listed_only(self) -> bool:
        """It is there to be seen, and not to be asked."""
        return self.problem is not None or self.health.drained

    # What policies judge

    @property
    def in_flight(self) -> int:
        return self.metrics.in_flight

    @property
    def max_concurrency(self) -> int | None:
        ceilings = self.settings.ceilings
        return None if ceilings is None else ceilings.concurrency

    @property
    def facts(self) -> Facts:
        return self.settings.facts

    def share_if_up(self, now: float, settings: PoolSettings) -> float | None:
        """None if it is benched, out of order, or kept out by its circuit.

        One question where there were two: those that compare members ask it of each, with each request.
        """
        health, breaker = self.health, self.breaker
        if now < health.benched_until or health.drained or self.problem is not None:
            return None
        if breaker.phase is not State.CLOSED and not breaker.admits(now, settings.breaker):
            return None
        weight, slow_start = self.settings.weight, health.slow_start
        return weight if slow_start is None else weight * slow_start.share(now)

    def share(self, now: float) -> float:
        """Its weight, less while it is eased in after an outage."""
        slow_start = self.health.slow_start
        return self.settings.weight if slow_start is None else self.settings.weight * slow_start.share(now)

    def well_since(self, now: float, settings: PoolSettings) -> float:
        """The instant from which on nothing has spoken against it; later than `now` while something does."""
        if self.is_listed_only:
            return inf
        latest = max(self.benched_until, self.breaker.last_failure_at or 0.0)
        probe_at = self.breaker.next_probe_at(now, settings.breaker)
        half_open = self.breaker.phase is State.HALF_OPEN
        if probe_at is None or (half_open and probe_at <= now):
            return latest
        return max(latest, probe_at)

    # Its provider's word

    def bench(self, now: float, seconds: float, longest: float) -> float:
        """Leave the member alone for `seconds`, at most `longest`; never shortens a bench.

        Returns the instant the bench ends.
        """
        self.benched_until = max(self.benched_until, now + min(seconds, longest))
        return self.benched_until

    def exhaust(self, now: float, seconds: float) -> None:
        """Its limit is used up for `seconds`, but an hour at most: it is asked last until then."""
        self.health.exhausted_until = now + min(seconds, LONGEST_EXHAUSTION)
