"""What is done when no member that may still be asked is eligible.

Rules, in the order in which `Waiting.choose` looks at them:

1. With `panic_mode`, a member that answers some requests is asked in spite of its circuit or its slow start
   (`core.panic`); as an early probe, if one is due by rule 3.
2. A member asked before that only its back-off holds back, or that it is a last resort, is asked, or waited
   for, if that is over in time; also if it would be by rule 1.
3. An open one gets an early probe, if a sixth of its recovery time has passed since the pool's last opening
   or probe start.
4. Else the walk waits, if one can be asked in time: for the first bench to end, probe to settle, or room
   under a ceiling; in all `wait_for_capacity_ms` at most. It stands in the pool's queue meanwhile
   (`core.queue`). Only open circuits and no probe in flight: no wait. But for an answer that broke off, an
   early probe is waited for as well: its caller listens, and nobody else may have the rest of it.
5. Else a member is asked that only its slow start held back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from understudy.core import eligibility, panic
from understudy.core.breaker import State
from understudy.errors import SkipReason

if TYPE_CHECKING:
    from understudy.core.candidates import Candidates
    from understudy.core.member import Member
    from understudy.core.skip import Skip
    from understudy.core.standing import Standing

_LOOK_AGAIN = 1.0  # a freed slot is announced; but not by the calls of a profile that was loaded anew


class Wait(NamedTuple):
    """Do nothing until the instant `until`; if `wakes`, a settled probe ends the wait early."""

    until: float
    wakes: bool


class Ask(NamedTuple):
    """Ask this member; `early`: as a probe that is not due yet; `anyway`: whatever its circuit says."""

    member: Member
    early: bool = False
    anyway: bool = False


class Waiting:
    """One request's. `since` is when the wait in the queue began that it is in, None if it is in none."""

    __slots__ = ("_candidates", "_request", "_waited", "since")

    def __init__(self, candidates: Candidates, request: int) -> None:
        self._candidates = candidates
        self._request = request
        self._waited = 0.0
        self.since: float | None = None

    def __repr__(self) -> str:
        return f"<Waiting of {self._request}, {self._waited} s so far>"

    def end(self, now: float) -> None:
        """The wait ended, however it did."""
        if self.since is not None:
            self._waited += now - self.since
            self.since = None

    def choose(self, now: float, deadline: float, *, broke_off: bool) -> Ask | Wait | None:
        """Whom to ask nevertheless, or how long to wait; None: give up. `deadline` is an instant."""
        return (
            self._in_panic(now)
            or self._rested(now, deadline)
            or self._early_probe(now)
            or self._wait(now, deadline, broke_off=broke_off)
            or self._despite_slow_start(now)
        )

    def _in_panic(self, now: float) -> Ask | None:
        """Rule 1."""
        for member, standing in self._candidates.askable(now):
            if standing.is_free(now) and panic.may_ask(member, self._candidates, self._request, now):
                return self._anyway(member, now)
        return None

    def _anyway(self, member: Member, now: float) -> Ask:
        """There are three cases: only its slow start held it, an early probe is due, neither."""
        settings = self._candidates.pool.settings.breaker
        if member.breaker.admits(now, settings):
            return Ask(member)
        is_open = member.breaker.state(now, settings) is State.OPEN
        early = is_open and now >= self._early_probe_at(member)
        return Ask(member, early=early, anyway=not early)

    def _rested(self, now: float, deadline: float) -> Ask | Wait | None:
        """Rule 2."""
        resting = []
        for member, standing in self._candidates.askable(now):
            if standing.attempts and (ask := self._rests(member, now)) is not None:
                resting.append((standing.not_before, ask))
        for instant, ask in resting:
            if now >= instant:
                return ask
        instants = [instant for instant, _ in resting if instant < deadline]
        if not instants:
            return None
        # Another one whose bench ends sooner, or whose probe settles, is asked instead.
        askable = self._candidates.askable(now)
        benches = [member.benched_until for member, _ in askable if member.benched_until > now]
        return Wait(min(instants + benches), wakes=True)

    def _rests(self, member: Member, now: float) -> Ask | None:
        """How the member would be asked if it were not for its standing."""
        if self._candidates.can_serve(member, now):
            return Ask(member)
        may_panic = panic.may_ask(member, self._candidates, self._request, now)
        return self._anyway(member, now) if may_panic else None

    def _early_probe(self, now: float) -> Ask | None:
        """Rule 3."""
        settings = self._candidates.pool.settings.breaker
        for member, standing in self._candidates.askable(now):
            held = now < member.benched_until or now < standing.not_before
            if held or member.breaker.state(now, settings) is not State.OPEN:
                continue
            if now >= self._early_probe_at(member) and self._candidates.no_room(member, now) is None:
                return Ask(member, early=True)
        return None

    def _early_probe_at(self, member: Member) -> float:
        pool = self._candidates.pool
        return pool.quiet_since + member.breaker.early_after(pool.settings.breaker)

    def _wait(self, now: float, deadline: float, *, broke_off: bool) -> Wait | None:
        """Rule 4: until the first of the benches and probes, if one of them can be in time."""
        settings, queue = self._candidates.pool.settings, self._candidates.pool.queue
        latest = min(now + settings.retry.wait_for_capacity - self._waited, deadline)
        in_time = [
            (member, standing)
            for member, standing in self._candidates.askable(now)
            if member.benched_until <= latest and standing.not_before <= latest
        ]
        rooms = {member: self._candidates.no_room(member, now) for member, _ in in_time}
        in_time = [pair for pair in in_time if _is_by(rooms[pair[0]], latest)]
        probed_by = latest if broke_off else None
        if latest <= now or not any(
            self._may_return(member, rooms[member], now, probed_by) for member, _ in in_time
        ):
            return None
        members = (member.index for member, _ in in_time)
        if not queue.join(self._request, members, settings.routing.queue_limit):
            return None
        instants = [
            self._looks_again(member, standing, rooms[member], now)
            for member, standing in in_time
            if queue.may_take(self._request, member.index)
        ]
        self.since = now
        return Wait(min([latest, *instants]), wakes=True)

    def _may_return(self, member: Member, full: Skip | None, now: float, probed_by: float | None) -> bool:
        """A probe in flight may settle at any moment, a bench ends; an open circuit is no reason, but for an
        answer that broke off, if an early probe is due by `probed_by`.

        Under a ceiling there will be room again; and who has room but is waited for by others may yet come.
        """
        pool = self._candidates.pool
        if member.breaker.probing(now, pool.settings.breaker):
            return True
        if member.breaker.state(now, pool.settings.breaker) is State.OPEN:
            return probed_by is not None and self._early_probe_at(member) <= probed_by
        waited_for = not pool.queue.may_take(self._request, member.index)
        return member.benched_until > now or full is not None or waited_for

    def _looks_again(self, member: Member, standing: Standing, full: Skip | None, now: float) -> float:
        """When a member is worth another look; an open circuit also when an early probe is due."""
        settings = self._candidates.pool.settings.breaker
        instant = member.breaker.next_probe_at(now, settings)
        if instant is None:
            instant = now
        elif member.breaker.state(now, settings) is State.OPEN:
            instant = min(instant, self._early_probe_at(member))
        if full is not None:
            instant = max(instant, full.until or now + _LOOK_AGAIN)
        return max(instant, member.benched_until, standing.not_before)

    def _despite_slow_start(self, now: float) -> Ask | None:
        """Rule 5: an outage must not be of our own making."""
        settings, demand = self._candidates.pool.settings, self._candidates.demand
        for member, standing in self._candidates.askable(now):
            skip = eligibility.check(member, now, settings, demand=demand)
            if skip is not None and skip.reason is SkipReason.SLOW_START and standing.is_free(now):
                return Ask(member)
        return None


def _is_by(full: Skip | None, latest: float) -> bool:
    """Is there room by then, as far as anybody knows?"""
    return full is None or full.until is None or full.until <= latest
