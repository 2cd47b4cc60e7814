"""The circuit breaker of one member.

::

              enough counted failures               its time has passed (or an early probe)
    closed ---------------------------------> open ---------------------------------------> half-open
       ^                                       ^                                               |  |
       |                                       |          a probe fails with a counted failure |  |
       |                                       +-----------------------------------------------+  |
       +------------------------------------------------------------------------------------------+
                            a probe's first content (unary: its answer)

Rules:

1. Two series hold the newest 20 outcomes (or as many as the threshold, if that is larger):
   *openings* (first content, or a unary answer: good; a counted failure before content: bad) and
   *endings* (a stream's terminal marker: good; a counted failure after content: bad).
2. An outcome lies inside the window until ``window + threshold x its own duration`` after it was
   settled: quick failures age out as configured, and three timeouts of a sequential caller still meet.
3. A counted failure opens the circuit when at least ``threshold`` failures of both series lie inside
   the window, and the bad ones are at least ``failure_rate`` of the series the new one belongs to. While
   that series is not full yet, attempts whose outcome is still open count towards it as not bad: of a
   hundred requests at once, the first three to fail say little.
   A rate of 0 goes by the plain count of failures inside the window, however many successes there were.
4. Open becomes half-open once its time has passed. That is decided when asked; there are no timers.
5. Half-open admits ``half_open_max`` probes. A probe's lease lasts ``max(recovery, 5 s)``; then its slot
   is free, and its late outcome still counts unless the breaker has moved on since.
6. A probe's first content closes the circuit and empties both series. If that same attempt then fails
   with a counted failure, the circuit opens again, unless it has moved on since.
7. A failed probe opens the circuit for ``max(recovery, 4 x the probe's own duration)``, always.
8. A probe that ends without blame hands its permit back: still half-open, the next request probes.
9. Outcomes of permits from before the last transition decide nothing, with the exception of rule 6;
   they are only remembered as the last failure.
10. From any history, once nothing is in flight and the shown next-probe instant has passed, the breaker
    admits a request.
11. Asking changes nothing: `state`, `next_probe_at`, `admits` and `failures` only look.
12. Disabled, it admits everything and never opens; taking a permit then closes it.
13. A member *answers some* of what it is asked if, no longer ago than `failure_window`, an opening or an
    ending went well that came as soon after one of its kind that had failed, and of neither kind the
    newest `FAILED_IN_A_ROW` have all failed. In an outage whatever is asked fails, one after the other,
    and none of that comes about; whose answers all break off is of no use to anybody, however well they
    begin. An ending is good news of an attempt that began no sooner than the first of those that broke
    off in the row: what was on its way before an outage may still end well. It is seen in every state,
    from stale permits as well; a probe that goes well ends a row of failures, but says no more. Whoever
    has nobody else may ask such a member `anyway`: the outcome of that counts for this rule alone.
14. Forced closed by an operator it is as if disabled, forced open it admits nothing and nothing moves it,
    whatever the settings say. `reset` takes the force away and leaves it closed, with nothing remembered.

Where other processes have a breaker for the same member (`core.fleet`):

15. A probe that closes the circuit raises the epoch. `adopt` takes over another's verdict of a higher epoch,
    or of the same one if that is open and its deadline later; but not while a probe of ours is out, whose
    word will be the newer one.
16. While another process probes (`elsewhere_until`) it admits none, nor while the leave to probe is being
    asked for (`is_asking`). `leased_until` is for how long we have a leave that was not used yet. Whatever
    the settings say, no more than one probe is out at a time.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from itertools import chain
from math import inf

import msgspec

from understudy.core.settings import BreakerSettings
from understudy.core.shared import Verdict

SERIES_LENGTH = 20
SHORTEST_LEASE = 5.0
PROBE_COST = 4.0
EARLY_FRACTION = 6.0
FAILED_IN_A_ROW = 10


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


# What an attempt has not come to yet (rule 3): plain numbers, because every request counts with them.
_OPENING, _ENDING, _NOTHING = 0, 1, 2
_ANYWAY = -1  # the generation of permits that decide nothing (rule 13)


class Permit(msgspec.Struct, eq=False):
    """Leave for one attempt; remembers which generation of the breaker gave it."""

    generation: int
    granted_at: float
    probe: bool
    awaits: int = _NOTHING
    closed_into: int | None = None  # the generation this probe's first content began (rule 6)

    def __repr__(self) -> str:
        return f"<Permit {'probe' if self.probe else 'plain'}, generation {self.generation}>"


class _Outcome(msgspec.Struct, frozen=True, gc=False):
    settled_at: float
    duration: float
    good: bool

    def inside(self, now: float, settings: BreakerSettings) -> bool:
        lasts = settings.failure_window + settings.failure_threshold * self.duration
        return now < self.settled_at + lasts


class Breaker:
    """One member's circuit. Settings come with every call, so a live change holds from the next one on.

    `phase` is the state as last moved by a permit or an outcome; `state` also sees time.
    """

    __slots__ = (
        "_answered_at",
        "_broken_in_a_row",
        "_broken_since",
        "_endings",
        "_failed_in_a_row",
        "_failures",
        "_generation",
        "_longest_open",
        "_openings",
        "_probes",
        "_undecided",
        "elsewhere_until",
        "epoch",
        "forced",
        "is_asking",
        "is_shared",
        "last_failure_at",
        "leased_until",
        "opened_at",
        "phase",
    )

    def __init__(self) -> None:
        self.phase = State.CLOSED
        self._generation = 0
        self._openings: deque[_Outcome] = deque()
        self._endings: deque[_Outcome] = deque()
        self._failures: deque[_Outcome] = deque()
        self._probes: list[Permit] = []
        self._undecided = [0, 0, 0]  # those that await their opening, their ending; the last is of no account
        self._longest_open = 0.0
        self._failed_in_a_row = 0  # openings
        self._broken_in_a_row = 0  # endings
        self._broken_since = inf  # the begin of whichever of these attempts began first
        self._answered_at: float | None = None  # after a failure (rule 13)
        self.forced: State | None = None
        self.opened_at: float | None = None
        self.last_failure_at: float | None = None
        self.epoch = 0
        self.elsewhere_until = 0.0
        self.leased_until = 0.0
        self.is_asking = False
        self.is_shared = False

    def __repr__(self) -> str:
        return f"<Breaker {self.phase}, {len(self._probes)} probes out, {len(self._failures)} failures>"

    # Questions

    def state(self, now: float, settings: BreakerSettings) -> State:
        if self._is_off(settings):
            return State.CLOSED
        if self.phase is State.OPEN and now >= self._open_until(settings):
            return State.HALF_OPEN
        return self.phase

    def admits(self, now: float, settings: BreakerSettings) -> bool:
        """Would `try_acquire` give a permit?"""
        if self.phase is State.CLOSED or self._is_off(settings):
            return True
        if self.phase is State.OPEN:
            return now >= self._open_until(settings) and now >= self.elsewhere_until
        return len(self._leased(now, settings)) < self._most(settings) and now >= self.elsewhere_until

    def probing(self, now: float, settings: BreakerSettings) -> bool:
        """Is a probe in flight whose lease has not run out, here or elsewhere?"""
        if self.phase is State.CLOSED or self._is_off(settings):
            return False
        return now < self.elsewhere_until or self.is_probed_here(now, settings)

    def is_probed_here(self, now: float, settings: BreakerSettings) -> bool:
        return self.phase is State.HALF_OPEN and bool(self._leased(now, settings))

    def next_probe_at(self, now: float, settings: BreakerSettings) -> float | None:
        """When a probe will be admitted; not later than `now` if at once, None while closed.

        Infinity if it is forced open.
        """
        if self.phase is State.CLOSED or self._is_off(settings):
            return None
        if self.phase is State.OPEN:
            return max(self._open_until(settings), self.elsewhere_until)
        leased, most = self._leased(now, settings), self._most(settings)
        if len(leased) < most:
            return max(now, self.elsewhere_until)
        return sorted(probe.granted_at for probe in leased)[len(leased) - most] + _lease(settings)

    def early_after(self, settings: BreakerSettings) -> float:
        """How long after the pool's last opening or probe start an early probe is allowed."""
        return self._open_for(settings) / EARLY_FRACTION

    def failures(self, now: float, settings: BreakerSettings) -> int:
        """Counted failures inside the window."""
        return sum(outcome.inside(now, settings) for outcome in self._failures)

    def answers_some(self, now: float, settings: BreakerSettings) -> bool:
        """Rule 13. Not if an operator keeps it open."""
        if self._answered_at is None or self.forced is State.OPEN:
            return False
        is_fresh = now < self._answered_at + settings.failure_window
        return is_fresh and max(self._failed_in_a_row, self._broken_in_a_row) < FAILED_IN_A_ROW

    # Takings

    def try_acquire(self, now: float, settings: BreakerSettings) -> Permit | None:
        """A permit, or None. An open circuit whose time has passed turns half-open here (rule 4)."""
        if self.phase is not State.CLOSED:
            if not self._is_off(settings):
                return self._probe(now, settings) if self.admits(now, settings) else None
            self._close()
        self._undecided[_OPENING] += 1
        return Permit(self._generation, now, False, _OPENING)

    def try_acquire_early(self, now: float, settings: BreakerSettings) -> Permit | None:
        """A probe's permit from an open circuit before its time; the caller decides whether it may."""
        if self.state(now, settings) is not State.OPEN:
            return None
        return self._probe(now, settings)

    def acquire_anyway(self, now: float) -> Permit:
        """Leave for an attempt on a member that `answers_some`, though the breaker does not admit it."""
        return Permit(_ANYWAY, now, False)

    # What is known elsewhere (rules 15 and 16)

    def lacks_lease(self, now: float, settings: BreakerSettings) -> bool:
        """Would a permit be a probe's, without leave of all others?"""
        return self.phase is not State.CLOSED and not self._is_off(settings) and now >= self.leased_until

    def lease_seconds(self, settings: BreakerSettings) -> float:
        """For how long a probe keeps others out."""
        return _lease(settings)

    def verdict(self, settings: BreakerSettings) -> Verdict:
        """As others are told."""
        forced = "" if self.forced is None else str(self.forced)
        if self.phase is State.CLOSED or self.opened_at is None:
            return Verdict(self.epoch, forced=forced)
        until = self.opened_at if forced else self._open_until(settings)
        return Verdict(self.epoch, True, self.opened_at, until, forced)

    def adopt(self, verdict: Verdict, now: float, settings: BreakerSettings) -> bool:
        """Another's verdict; did it change anything?"""
        forced = "" if self.forced is None else str(self.forced)
        if verdict.epoch < self.epoch or (verdict.epoch == self.epoch and verdict.forced < forced):
            return False
        if verdict.epoch > self.epoch or verdict.forced > forced:
            return self._obey(verdict, now, settings)
        if not verdict.is_open or forced or self._is_off(settings) or self.is_probed_here(now, settings):
            return False
        return self._stay_open(verdict, settings)

    # An operator's hand (rule 14)

    def force(self, state: State, now: float) -> None:
        """`state` is open or closed."""
        self.forced = state
        if state is State.OPEN:
            self._move(State.OPEN)
            self.opened_at = now
            self._longest_open = inf
        else:
            self._close()

    def reset(self) -> None:
        self.forced = None
        self._close()

    def forget(self) -> None:
        """What was counted, and nothing else: another process was reset."""
        self._openings.clear()
        self._endings.clear()
        self._failures.clear()

    # Outcomes

    def record_opening(self, permit: Permit, now: float, settings: BreakerSettings) -> None:
        """First content, or a unary answer."""
        if self._failed_in_a_row:
            self._failed_in_a_row = 0
            self._answered(permit, now, settings)
        if permit.probe:
            self.hand_back(permit)
            if permit.generation == self._generation:
                self._close()
                self.epoch += 1
                permit.closed_into = self._generation
        elif permit.generation == self._generation:
            self._undecided[permit.awaits] -= 1
            self._undecided[_ENDING] += 1
            permit.awaits = _ENDING
            _append(self._openings, _Outcome(now, now - permit.granted_at, True), settings)

    def record_ending(self, permit: Permit, now: float, settings: BreakerSettings) -> None:
        """A stream's terminal marker."""
        if permit.granted_at >= self._broken_since:
            self._broken_in_a_row, self._broken_since = 0, inf
            self._answered(permit, now, settings)
        self.hand_back(permit)
        if permit.generation == self._generation:
            _append(self._endings, _Outcome(now, now - permit.granted_at, True), settings)

    def record_failure(
        self, permit: Permit, now: float, settings: BreakerSettings, *, after_content: bool
    ) -> None:
        """A counted failure.

        There are four cases: from before the last transition, of the probe that closed the circuit, of
        a probe still out, of a plain attempt.
        """
        self.hand_back(permit)
        self.last_failure_at = now
        if after_content:
            self._broken_in_a_row += 1
            self._broken_since = min(self._broken_since, permit.granted_at)
        else:
            self._failed_in_a_row += 1
        reopens = permit.closed_into == self._generation
        if permit.generation != self._generation and not reopens:
            return
        outcome = _Outcome(now, now - permit.granted_at, False)
        _append(self._failures, outcome, settings)
        if reopens:
            self._open(now, settings)
        elif permit.probe:
            self._open(now, settings, longest=PROBE_COST * outcome.duration)
        else:
            self._record_bad(outcome, _ENDING if after_content else _OPENING, settings)

    def hand_back(self, permit: Permit) -> None:
        """The attempt ended without blame (rule 8), or well and without an ending of its own.

        It is out no longer, neither as a probe nor as an attempt without an outcome.
        """
        if permit.probe:
            if permit in self._probes:
                self._probes.remove(permit)
        elif permit.generation == self._generation:
            self._undecided[permit.awaits] -= 1
            permit.awaits = _NOTHING

    # Inside

    def _obey(self, verdict: Verdict, now: float, settings: BreakerSettings) -> bool:
        """There are three cases: forced, open, closed. What was counted while closed stays so."""
        before = self.phase, self.forced
        self.epoch = verdict.epoch
        self.forced = State(verdict.forced) if verdict.forced else None
        if self.forced is not None:
            self.force(self.forced, verdict.since or now)
        elif verdict.is_open and not self._is_off(settings):
            self._open_as(verdict)
        elif self.phase is not State.CLOSED:
            self._close()
        return (self.phase, self.forced) != before

    def _stay_open(self, verdict: Verdict, settings: BreakerSettings) -> bool:
        was_closed = self.phase is State.CLOSED
        if was_closed or verdict.until > self._open_until(settings):
            self._open_as(verdict)
        return was_closed

    def _open_as(self, verdict: Verdict) -> None:
        self._move(State.OPEN)
        self.opened_at = verdict.since
        self._longest_open = verdict.until - verdict.since

    def _record_bad(self, outcome: _Outcome, which: int, settings: BreakerSettings) -> None:
        series = (self._openings, self._endings)[which]
        _append(series, outcome, settings)
        if self._must_open(series, self._undecided[which], outcome.settled_at, settings):
            self._open(outcome.settled_at, settings)

    def _answered(self, permit: Permit, now: float, settings: BreakerSettings) -> None:
        """Rule 13: the first good opening after bad ones, or ending."""
        assert self.last_failure_at is not None  # it was one of them, or later
        if not permit.probe and now < self.last_failure_at + settings.failure_window:
            self._answered_at = now

    def _must_open(
        self, series: deque[_Outcome], undecided: int, now: float, settings: BreakerSettings
    ) -> bool:
        if settings.failure_rate <= 0:
            return self.failures(now, settings) >= settings.failure_threshold
        both = chain(self._openings, self._endings)
        if sum(not o.good and o.inside(now, settings) for o in both) < settings.failure_threshold:
            return False
        newest = [outcome.good for outcome in series if outcome.inside(now, settings)]
        room = max(SERIES_LENGTH, settings.failure_threshold) - len(newest)
        return newest.count(False) / (len(newest) + min(undecided, room)) >= settings.failure_rate

    def _probe(self, now: float, settings: BreakerSettings) -> Permit:
        if self.phase is State.OPEN:
            self._move(State.HALF_OPEN)
        self._probes = self._leased(now, settings)
        permit = Permit(self._generation, now, True)
        self._probes.append(permit)
        self.leased_until = 0.0
        return permit

    def _open(self, now: float, settings: BreakerSettings, longest: float = 0.0) -> None:
        if self._is_off(settings):
            return
        self._move(State.OPEN)
        self.opened_at = now
        self._longest_open = longest

    def _close(self) -> None:
        self._move(State.CLOSED)
        self.opened_at = None
        self.forget()

    def _move(self, phase: State) -> None:
        self.phase = phase
        self._generation += 1
        self._probes = []
        self._undecided = [0, 0, 0]
        self.elsewhere_until = self.leased_until = 0.0

    def _is_off(self, settings: BreakerSettings) -> bool:
        return not settings.enabled if self.forced is None else self.forced is State.CLOSED

    def _leased(self, now: float, settings: BreakerSettings) -> list[Permit]:
        lease = _lease(settings)
        return [probe for probe in self._probes if now < probe.granted_at + lease]

    def _most(self, settings: BreakerSettings) -> int:
        return 1 if self.is_shared else settings.half_open_max

    def _open_for(self, settings: BreakerSettings) -> float:
        return max(settings.recovery_timeout, self._longest_open)

    def _open_until(self, settings: BreakerSettings) -> float:
        assert self.opened_at is not None  # open always has its instant
        return self.opened_at + self._open_for(settings)


def _lease(settings: BreakerSettings) -> float:
    return max(settings.recovery_timeout, SHORTEST_LEASE)


def _append(series: deque[_Outcome], outcome: _Outcome, settings: BreakerSettings) -> None:
    series.append(outcome)
    while (length := len(series)) > SERIES_LENGTH and length > settings.failure_threshold:
        series.popleft()
