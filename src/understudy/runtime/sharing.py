"""One pool's exchange with all others that share it, in the background; and what requests ask of it.

Rules:

1. A beat takes the pool's report to the store and heeds the answer (`core.fleet`): every `BUSY` seconds while
   there are requests, every `IDLE` seconds without, and at once (after `PAUSE`) when something has happened
   that others should know. Every `WHOLE` seconds it asks for the whole picture, in case a change was lost.
   Chance makes each interval up to `SPREAD` shorter. After a beat that was the first, or late, or in vain, it
   takes any part of one: who began with others, or waited with them for one store, does not stay with them.
2. One beat at a time. It begins with the first request, or with `start`; it needs nobody to end it.
3. The process's numbers are published each second in which they changed, else every `STILL` seconds; whoever
   is silent for longer than `NUMBERS_LAST` is not counted any more.
4. What requests ask for, they wait for as `runtime.link` allows; else the process goes by itself. While one
   asks for room under a member's ceilings, the others that want some are gathered and asked for together: a
   burst is two round trips, and not as many as there are requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

import msgspec

from understudy.core import fleet_stats
from understudy.core.consent import REFUSED_FOR, Consent, Need, NeedLease, NeedRoom
from understudy.core.events import (
    BackendBenched,
    BreakerClosed,
    BreakerOpened,
    Event,
    OperatorActed,
    ProbeSettled,
    RequestEnded,
)
from understudy.core.fleet import Fleet
from understudy.core.pool import Pool
from understudy.core.shared import Room, Wanted
from understudy.runtime.link import HOT, PATIENCE, Link, within
from understudy.runtime.ports import Clock, Handle, StateUnavailable

BUSY = 0.5
IDLE = 0.85
SPREAD = 0.2
IDLE_AFTER = 10.0
PAUSE = 0.1
WHOLE = 10.0
PUBLISHED = 1.0
STILL = 5.0
NUMBERS_LAST = 15.0
LAST_WORDS = 0.25

_NEWS = frozenset((BackendBenched, BreakerClosed, BreakerOpened, OperatorActed, ProbeSettled))

_log = logging.getLogger("understudy.state")


class Sharing:
    """A pool's, in one process called `name`. An observer of the pool's engine.

    `tell` is called with facts that come from others, `wake` when there is something to look at again.
    """

    def __init__(
        self,
        link: Link,
        pool: Pool,
        clock: Clock,
        name: str,
        *,
        tell: Callable[[list[Event]], None],
        wake: Callable[[], None],
        jitter: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.link = link
        self.name = name
        self.fleet = pool.fleet = Fleet(pool, name)
        self.clock = clock
        self._tell = tell
        self._wake = wake
        self._jitter = jitter
        self._timer: Handle | None = None
        self._timer_at = 0.0
        self._beating: asyncio.Task[None] | None = None
        self._is_over = self._is_kicked = False
        self._began_at = self._busy_at = -IDLE_AFTER
        self._whole_at = self._published_at = -WHOLE
        self._published: object = None
        self._counters: dict[str, Counter] = {}

    def __repr__(self) -> str:
        return f"<Sharing of {self.fleet!r} as {self.name}, {self.link.state}>"

    def bind(self, pool: Pool) -> None:
        """The pool that is served from now on."""
        pool.fleet = self.fleet
        self.fleet.bind(pool)
        self.kick()

    def observe(self, event: Event) -> None:
        """Rule 1."""
        kind = type(event)
        if kind is RequestEnded:
            self._busy_at = event.at
        if kind in _NEWS or (kind is RequestEnded and self.fleet.has_moved):
            self.kick()
        if self._timer is None:
            self.start()

    def start(self) -> None:
        """Begin to beat; on a running event loop."""
        if self._timer is None and self._beating is None and not self._is_over:
            self._set_timer(self.clock.now())

    def kick(self) -> None:
        """Do not wait for the next beat."""
        self._is_kicked = True
        at = max(self.clock.now(), self._began_at + PAUSE)
        if self._timer is not None and at < self._timer_at:
            self._set_timer(at)

    async def close(self) -> None:
        """Say goodbye, if anybody listens. Idempotent."""
        if self._is_over:
            return
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for counter in self._counters.values():
            counter.close()
        if self._beating is not None:
            await asyncio.wait((self._beating,), timeout=LAST_WORDS)
        if self._beating is not None:
            self._beating.cancel()
        elif self.link.is_quick:
            with suppress(StateUnavailable):
                await within(self.clock, LAST_WORDS, self._leave())

    async def numbers(self) -> Mapping[str, bytes]:
        """Those of all processes, as last published; raises `StateUnavailable`."""
        pool = self.fleet.pool.profile
        return await within(self.clock, LAST_WORDS, self.link.store.numbers(pool))

    # What requests ask for (rule 4)

    def begin(self, need: Need, consent: Consent) -> asyncio.Task[None]:
        """Ask, while the link is quick. It takes as long as it takes; `end` has to be called."""
        if isinstance(need, NeedLease):
            self.fleet.asks(need.member, self.clock.now() + HOT)
        return asyncio.ensure_future(self._ask(need, consent))

    def end(self, need: Need, asking: asyncio.Task[None]) -> None:
        """Whatever has come of it."""
        asking.cancel()
        if isinstance(need, NeedLease):
            self.fleet.asks_no_more(need.member)

    def is_late(self, need: Need, consent: Consent) -> None:
        """It is not there, or the caller has waited long enough."""
        self.link.hurt()
        self.kick()
        self.has_no_answer(need, consent)

    def has_no_answer(self, need: Need, consent: Consent) -> None:
        now = self.clock.now()
        if isinstance(need, NeedRoom):
            consent.has_no_answer(need, now)
        else:
            self.fleet.has_lease(need.member, now)

    async def _ask(self, need: Need, consent: Consent) -> None:
        try:
            if isinstance(need, NeedRoom):
                await self._ask_for_room(need, consent)
            else:
                await self._ask_for_lease(need)
        except StateUnavailable:
            self.is_late(need, consent)
        except Exception:
            _log.exception("[state] a bug while asking %r", self.link.store)
            self.is_late(need, consent)

    async def _ask_for_room(self, need: NeedRoom, consent: Consent) -> None:
        member = need.member.identity
        if member not in self._counters:
            self._counters[member] = Counter(self, member)
        room = await self._counters[member].ask(need.wanted)
        consent.has_room(need, room, self.clock.now())

    async def _ask_for_lease(self, need: NeedLease) -> None:
        breaker, pool = need.member.breaker, self.fleet.pool
        seconds = breaker.lease_seconds(pool.settings.breaker)
        holder = self.fleet.lease(need.member)
        ends = breaker.verdict(pool.settings.breaker).until - self.clock.now()
        lease = await self.link.store.lease(
            pool.profile, need.member.identity, holder, breaker.epoch, seconds, ends
        )
        if lease.granted:
            self.fleet.has_lease(need.member, self.clock.now())
        else:
            self.fleet.is_refused(need.member, lease.seconds or REFUSED_FOR, self.clock.now())
            self.kick()

    # The beat

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self.clock.call_at(at, self._begin)

    def _begin(self) -> None:
        """Rule 2."""
        self._timer = None
        self._beating = asyncio.ensure_future(self._beat())

    async def _beat(self) -> None:
        self._began_at = self.clock.now()
        self._is_kicked = False
        was_quick = self.link.is_quick
        try:
            await self._exchange()
            await self._tell_usage()
            await self._publish()
        except StateUnavailable:
            pass  # the link has said so
        except Exception:
            _log.exception("[state] a bug while sharing %s", self.fleet.pool.profile)
        finally:
            self._beating = None
            if not self._is_over:
                now = self.clock.now()
                is_in_step = was_quick and self.link.is_quick and now < self._began_at + HOT
                self._set_timer(max(now, self._next(is_in_step)))

    def _next(self, is_in_step: bool) -> float:
        """The next beat's instant."""
        if self._is_kicked:
            return self._began_at + PAUSE
        interval = BUSY if self._began_at < self._busy_at + IDLE_AFTER else IDLE
        if is_in_step:
            return self._began_at + interval * (1 - SPREAD * self._jitter())
        return self.clock.now() + interval * (1 - self._jitter())

    async def _exchange(self) -> None:
        fleet, link = self.fleet, self.link
        is_whole = self._began_at >= self._whole_at + WHOLE
        was_quick = link.is_quick
        report = fleet.report(self._began_at, whole=is_whole)
        report = msgspec.structs.replace(report, proves=link.must_prove)
        picture = await link.ask(lambda: link.store.exchange(fleet.pool.profile, report))
        if is_whole:
            self._whole_at = self._began_at
        events = fleet.heed(report, picture, self.clock.now())
        if events:
            self._tell(events)
        if events or picture.records or link.is_quick != was_quick or fleet.looks_again(self.clock.now()):
            self._wake()

    async def _tell_usage(self) -> None:
        """What attempts used of ceilings beyond what they reserved, or less."""
        for member, usage in self.fleet.take_spent(self.clock.now()).items():
            spend = partial(self.link.store.spend, self.fleet.pool.profile, member, usage)
            try:
                await self.link.ask(spend)
            except StateUnavailable:
                self.fleet.put_back(member, usage, self.clock.now())

    async def _publish(self) -> None:
        """Rule 3."""
        counts = fleet_stats.counts(self.fleet.pool)
        lasts = STILL if counts == self._published else PUBLISHED
        if self._began_at < self._published_at + lasts:
            return
        numbers = fleet_stats.written(self.fleet.pool, self.clock.now())
        pool = self.fleet.pool.profile
        await self.link.ask(partial(self.link.store.publish, pool, self.name, numbers, NUMBERS_LAST))
        self._published, self._published_at = counts, self._began_at

    async def _leave(self) -> None:
        """Leases are returned, and the process is counted no more."""
        await self._exchange()
        await self._tell_usage()
        await self.link.store.withdraw(self.fleet.pool.profile, self.name)


class Counter:
    """Where room under one member's ceilings is asked for, by one call at a time (rule 4)."""

    def __init__(self, sharing: Sharing, member: str) -> None:
        self._sharing = sharing
        self._member = member
        self._waiting: list[tuple[Wanted, asyncio.Future[Room]]] = []
        self._asking: asyncio.Task[None] | None = None

    def ask(self, wanted: Wanted) -> asyncio.Future[Room]:
        """Raises `StateUnavailable`. Who waits no longer cancels it."""
        future: asyncio.Future[Room] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, future))
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._ask_for_all())
        return future

    def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()

    async def _ask_for_all(self) -> None:
        try:
            while self._waiting:
                await self._ask_for_those_who_wait()
        finally:
            self._asking = None

    async def _ask_for_those_who_wait(self) -> None:
        asked, self._waiting = self._waiting, []
        link, pool = self._sharing.link, self._sharing.fleet.pool.profile
        try:
            reserving = link.store.reserve(pool, self._member, [wanted for wanted, _ in asked])
            rooms = await within(self._sharing.clock, PATIENCE, reserving)
        except Exception as error:
            for _, future in asked:
                if not future.done():
                    future.set_exception(error)
            return
        for (wanted, future), room in zip(asked, rooms, strict=True):
            self._hand_over(wanted, future, room)

    def _hand_over(self, wanted: Wanted, future: asyncio.Future[Room], room: Room) -> None:
        """Who has left meanwhile leaves its room."""
        if not future.done():
            future.set_result(room)
        elif room.granted:
            now = self._sharing.clock.now()
            self._sharing.fleet.spend(self._member, now, -wanted.tokens, -1, room.second)
