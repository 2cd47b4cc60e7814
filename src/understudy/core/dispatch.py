"""One request's walk over the pool: whom to ask next, when to wait, when to give up.

The runtime calls `next_step`, carries it out, reports how that goes, up to `settle`, and asks again.

Rules, in the order in which `next_step` looks at them:

1. A failure after which nobody may be asked ends the walk, whatever the other of two that ran at once
   brought; the request's deadline ends the walk, and so
   does an attempt that it cut short.
2. The backend that just failed is asked again where its failure's kind allows it and it has attempts
   left, after the back-off. A short Retry-After of the first-ranked member takes the back-off's place,
   if the policy waits for its first. Where its circuit has opened meanwhile, or it is benched for
   longer, or drained, or the deadline comes first, the walk moves on.
3. Else the first eligible member in the policy's order is asked; switching never waits. Members below
   the rate floor, or with nothing left by their provider's account, come after all others. No member is
   asked again before its back-off is over, nor one that could not be connected to while another is left;
   nor one that another request waits for already.
4. When no member that may still be asked is eligible: an open one gets an early probe, if a sixth of
   its recovery time has passed since the pool's last opening or probe start;
5. else the walk waits, if one can be asked in time: for the first bench to end, probe to settle, or room
   under a ceiling. It stands in the pool's queue meanwhile (`core.queue`). For an answer that broke off, an
   early probe is waited for as well: its caller listens, and nobody else may have the rest of it;
6. else a member is asked that only its slow start held back; else the walk gives up. Only open circuits and
   no probe in flight: no wait.

What a failure allows is the table in `core.outcome`, with these exceptions:

7. `failover_on_network_errors` off: connect errors, resets and timeouts end the walk.
8. `failover_status_codes` alone decides about the next backend, for a failure that has a status.
9. A failure that benches its member is not followed by a back-off on it, only by rule 2's wait.
10. If every member asked ended empty but properly, the last empty answer is the answer.
11. A member whose context window was too small rules out all others that are no larger; one of unknown
    window rules out only itself.
12. Once the caller was shown content, the answer is never begun again, but gone on with, as far as
    `core.recovery` allows: the walk starts over among those who may go on with it, and with attempts of its
    own, those that broke it off last, until `recovery_timeout_ms` after the break. Else the failure ends the
    walk. Content that has arrived and was not shown binds nobody.
13. A member whose model can't take the request is never asked, waited for nor probed. What the request
    needs is looked at only where something is known of a member's model (`core.fit`).
14. A request makes at most `max_attempts`, and asks a member again only while the pool's budget for that
    (`core.budget`) has room; switching is free.
15. A member that refuses a prefilled answer is not blamed for it, and is asked for a replay.
16. While a stream's only attempt says nothing, a second member may be asked too (`hedge_at`, `hedge`), once
    per request and within a budget; a probe at once, and whatever the budget. Whoever speaks first goes on,
    the other is told that it lost.

Every attempt that was started is settled exactly once; leaving the dispatch settles what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from understudy.core import backoff, eligibility, learning, recovery, verdict
from understudy.core.attempt import Attempt, Tokens
from understudy.core.breaker import Permit, State
from understudy.core.deadline import Deadline
from understudy.core.demand import Demand
from understudy.core.eligibility import Skip
from understudy.core.events import (
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    BackendBenched,
    BackendSkipped,
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    ConfigurationWarning,
    Event,
    FieldsLeftOut,
    FirstContent,
    Hedged,
    ProbeSettled,
    Recovered,
    RecoveryStarted,
    RequestEnded,
    TurnCame,
    WaitingForCapacity,
)
from understudy.core.fit import Fit, Needs
from understudy.core.outcome import RULES, Abandoned, Again, Failure, Next, Outcome, Success
from understudy.core.recovery import Shown, Way
from understudy.core.window import StreamEvidence
from understudy.errors import Cause, FailureKind, RequestError, SkipEntry, SkipReason, TrailEntry

if TYPE_CHECKING:
    from understudy.core.member import Member
    from understudy.core.pool import Pool

_NETWORK = frozenset(
    (
        FailureKind.CONNECT,
        FailureKind.RESET,
        FailureKind.TIMEOUT,
        FailureKind.STALL,
        FailureKind.TRUNCATED,
    )
)
_BENCHING = frozenset((FailureKind.RATE_LIMITED, FailureKind.SERVER_ERROR))
_PREFILL_REFUSED = frozenset((FailureKind.INVALID_REQUEST, FailureKind.UNFIT))
_OPERATORS_TO_MEND = frozenset((FailureKind.AUTH, FailureKind.MODEL_NOT_FOUND))
_UNWELL = frozenset((SkipReason.BENCHED, SkipReason.CIRCUIT_OPEN, SkipReason.PROBE_IN_FLIGHT))
_LOOK_AGAIN = 1.0  # a freed slot is announced; but not by the calls of a profile that was loaded anew


ENOUGH_TO_BE_LATE = 20
"""So many first contents a percentile needs."""


class Wait(NamedTuple):
    """Do nothing until the instant `until`; if `wakes`, a settled probe ends the wait early."""

    until: float
    wakes: bool


class GiveUp(NamedTuple):
    """Raise `error`."""

    error: RequestError


class AcceptEmpty(NamedTuple):
    """The last attempt's empty answer is the answer (rule 10)."""

    attempt: Attempt


Step = Attempt | Wait | GiveUp | AcceptEmpty


class _Standing:
    """How one member stands in this request: attempts made, and whether and when it may be asked again.

    `last_resort`: only if no other is left. `repeated`: a failure that allows one repeat has had it.
    `forgiven` are those attempts that do not count towards the allowed ones.
    """

    __slots__ = ("attempts", "forgiven", "last_resort", "not_before", "repeated", "ruled_out")

    def __init__(self) -> None:
        self.attempts = 0
        self.forgiven = 0
        self.ruled_out = False
        self.last_resort = False
        self.repeated = False
        self.not_before = 0.0

    def is_free(self, now: float) -> bool:
        """Neither in its back-off nor a last resort."""
        return now >= self.not_before and not self.last_resort


class _Break:
    """Where an answer broke off, and when; `causes` were known before. None has gone on with it so far."""

    __slots__ = ("at", "cause", "causes")

    def __init__(self, cause: Cause, causes: int, at: float) -> None:
        self.cause = cause
        self.causes = causes
        self.at = at


class Dispatch:
    """One request. A context manager: leaving it settles what is unsettled and ends the request."""

    __slots__ = (
        "_again",
        "_attempts",
        "_blocked",
        "_break",
        "_causes",
        "_cut_short",
        "_demand",
        "_ended",
        "_fit",
        "_is_over",
        "_jitter",
        "_larger_than",
        "_late",
        "_order",
        "_recorded",
        "_request_timeout",
        "_running",
        "_shown",
        "_speaker",
        "_standings",
        "_steps",
        "_unretried",
        "_waited",
        "_waiting_since",
        "began",
        "deadline",
        "events",
        "pool",
        "request",
        "stream",
    )

    def __init__(
        self,
        pool: Pool,
        now: float,
        jitter: Callable[[], float],
        *,
        stream: bool,
        needs: Needs | None = None,
    ) -> None:
        self.pool = pool
        self.began = now
        self.request = pool.begin(now)
        self.stream = stream
        self.events: list[Event] = []
        self._jitter = jitter
        self._request_timeout = pool.settings.retry.request_timeout
        self.deadline = Deadline(now + self._request_timeout)
        self._demand = Demand(needs, pool.settings, jitter)
        self._order: Sequence[Member] = pool.policy.rank(pool.members, now, self._demand)
        self._standings: dict[int, _Standing] = {}
        self._attempts: list[Attempt] = []
        self._steps: list[Attempt | BackendSkipped] = []
        self._recorded: set[tuple[int, SkipReason]] = set()
        self._causes: list[Cause] = []
        self._running: list[Attempt] = []
        self._late: Attempt | None = None  # beside which a hedge was made
        self._shown: Shown | None = None
        self._speaker: Attempt | None = None  # whose content was shown last
        self._break: _Break | None = None
        self._again: Member | None = None
        self._is_over = False
        self._blocked = False
        self._unretried = False
        self._cut_short = False
        self._larger_than: int | None = None
        self._fit = None if needs is None else Fit(needs, pool.members)
        self._waited = 0.0
        self._waiting_since: float | None = None
        self._ended = False

    def __repr__(self) -> str:
        return f"<Dispatch {self.request} of {self.pool.profile}, {len(self._attempts)} attempts>"

    # What the runtime asks

    def next_step(self, now: float) -> Step:
        """Whom to ask, how long to wait, or why to give up. Not while an attempt is running."""
        if self._waiting_since is not None:
            self._waited += now - self._waiting_since
            self._waiting_since = None
        if self._is_over:
            return GiveUp(self._all_failed(now) if self._break is None else self._interrupted(now))
        if self._cut_short or self.deadline.passed(now):
            return GiveUp(self._too_late(now))
        if self._attempts and self._all_attempts_made():
            return self._give_up(now)
        if self._again is not None:
            step = self._ask_again(self._again, now)
            if step is not None:
                return step
        return self._give_up(now) if self._blocked else self._ask_next(now)

    @property
    def trail(self) -> tuple[TrailEntry, ...]:
        """Every attempt and every skipped member so far, in order."""
        began = self.began
        return tuple(
            step.entry(began) if isinstance(step, Attempt) else _skip_entry(step, began)
            for step in self._steps
        )

    @property
    def attempts(self) -> int:
        """How many were started so far."""
        return len(self._attempts)

    @property
    def causes(self) -> tuple[Cause, ...]:
        return tuple(self._causes)

    @property
    def is_recovering(self) -> bool:
        """Did the answer break off, and may somebody go on with it?"""
        return self._break is not None and not self._is_over

    def time_asking(self, now: float) -> float:
        """Seconds spent on attempts, each up to its first content; those of two at once count once."""
        total = covered = 0.0
        for attempt in self._attempts:
            until = attempt.asked_until(now)
            total += max(0.0, until - max(attempt.started_at, covered))
            covered = max(covered, until)
        return total

    def take_events(self) -> list[Event]:
        """The facts since the last call."""
        events, self.events = self.events, []
        return events

    # What the runtime reports

    def commit(self, attempt: Attempt, now: float) -> None:
        """The attempt's first content arrived (unary: its answer). Good news for its breaker."""
        attempt.committed_at = now
        member = attempt.member
        member.metrics.first_content.record(now - attempt.started_at)
        before = member.breaker.phase
        member.breaker.record_opening(attempt.permit, now, self.pool.settings.breaker)
        if member.breaker.phase is not before:
            self._emit_transition(member, now)
        if attempt.permit.probe:
            self.events.append(ProbeSettled(now, self.request, member.name))
        learning.began(attempt, self.pool, now, self._demand)
        if self.pool.queue.places and (attempt.permit.probe or member.health.slow_start is not None):
            self._announce(member, now)
        if self.stream:
            attempt.evidence = StreamEvidence(member.window, now)
        self.events.append(FirstContent(now, self.request, member.name, now - attempt.started_at))

    def hedge_at(self, attempt: Attempt, now: float) -> float | None:
        """When `hedge` is worth a call, if the attempt has said nothing until then (rule 16); None: never."""
        settings = self.pool.settings.hedge
        if not settings.is_on or self._late is not None or not self.stream or attempt.way is not None:
            return None
        if attempt.permit.probe:
            return now
        if settings.percentile is None:
            return None if settings.after is None else now + settings.after
        first_content = attempt.member.metrics.first_content
        if first_content.count < ENOUGH_TO_BE_LATE:
            return None
        usual = first_content.percentile(settings.percentile)
        return None if usual is None else now + usual

    def hedge(self, late: Attempt, now: float) -> Attempt | None:
        """A second attempt besides the late one; None if nobody may be asked."""
        settings = self.pool.settings
        within = late.permit.probe or self.pool.hedges.allows(now, settings.hedge.budget)
        if not within or self._late is not None or self._all_attempts_made() or self.deadline.passed(now):
            return None
        self._demand.takes_over = True
        for member in self._order:
            if member.index not in self._standings and self._is_healthy(member, now):
                return self._hedge(late, member, now)
        return None

    def _is_healthy(self, member: Member, now: float) -> bool:
        settings = self.pool.settings
        closed = member.breaker.state(now, settings.breaker) is State.CLOSED
        if not closed:
            return False
        return eligibility.check(member, now, settings, self._larger_than, self._fit, self._demand) is None

    def _hedge(self, late: Attempt, member: Member, now: float) -> Attempt:
        self._late = late
        self.pool.hedges.spend(now)
        self.pool.metrics.hedged += 1
        member.metrics.hedged += 1
        self.events.append(Hedged(now, self.request, late.member.name, now - late.started_at, member.name))
        attempt = self._start(member, now)
        attempt.is_hedge = True
        return attempt

    def show(self, attempt: Attempt, shown: Shown) -> None:
        """The attempt's first content goes out (rule 12). `shown` tells what the caller has, from now on.

        What another one's failure meant for the walk, that ran beside it, is of no account any more.
        """
        self._again = None
        self._is_over = self._blocked = False
        self._shown = shown
        self._speaker = attempt

    def resume(self, attempt: Attempt, now: float) -> None:
        """The first content goes out of an attempt that goes on with the answer."""
        assert self._break is not None, "nothing broke off"
        self._speaker = attempt
        self.pool.metrics.recovered += 1
        attempt.member.metrics.recovered += 1
        self.events.append(Recovered(now, self.request, attempt.member.name, now - self._break.at))

    def settle(self, attempt: Attempt, outcome: Outcome, now: float, tokens: Tokens | None = None) -> None:
        """The attempt ended: breaker, window and metrics learn of it, and the walk goes on or ends."""
        if attempt.outcome is not None:
            return
        attempt.outcome = outcome
        attempt.ended_at = now
        self._running.remove(attempt)
        self._count_tokens(attempt, tokens, now)
        attempt.member.metrics.malformed_events += attempt.malformed_events
        if attempt.left_out:
            self.events.append(FieldsLeftOut(now, self.request, attempt.member.name, attempt.left_out))
        match outcome:
            case Success():
                self._succeeded(attempt, now)
            case Failure():
                self._failed(attempt, outcome, now)
            case _:
                self._abandoned(attempt, outcome, now)
        learning.ended(attempt, outcome, tokens, self.pool, now, self._demand)
        if self.pool.queue.places:
            self._announce(attempt.member, now)

    def answered(self, now: float) -> None:
        """The caller has the whole answer."""
        if self._ended:
            return
        last, failed_over = self._attempts[-1], False
        if len(self._attempts) > 1:
            asked = [attempt for attempt in self._attempts if not _has_lost(attempt.outcome)]
            last = next((one for one in asked if isinstance(one.outcome, Success)), asked[-1])
            failed_over = len({attempt.member.index for attempt in asked}) > 1
        last.accepted = isinstance(last.outcome, Failure)
        self.pool.metrics.answered += 1
        self.pool.metrics.failed_over += failed_over
        self._end("answered", last.member.name, failed_over, now)

    def failed(self, now: float) -> None:
        """The caller gets an error."""
        if not self._ended:
            self.pool.metrics.failed += 1
            self._end("failed", None, False, now)

    def leave(self, now: float) -> None:
        """The caller is gone, or done: settle what is left. Idempotent."""
        for attempt in tuple(self._running):
            self.settle(attempt, Abandoned(), now)
        if not self._ended:
            self.pool.metrics.cancelled += 1
            self._end("cancelled", None, False, now)

    # Whom to ask

    def _ask_again(self, member: Member, now: float) -> Step | None:
        """Rule 2. None when the walk moves on."""
        standing = self._standings[member.index]
        not_before = standing.not_before
        held = member.benched_until > not_before or not member.breaker.admits(now, self.pool.settings.breaker)
        held = held or eligibility.no_room(member, now, self._demand) is not None
        if held or member.is_listed_only or self._spent(standing, now) or self.deadline.at <= not_before:
            self._again = None
            return None
        if now < not_before:
            return Wait(not_before, wakes=False)
        self._again = None
        return self._start(member, now)

    def _ask_next(self, now: float) -> Step:
        """Rules 3 to 6."""
        skipped: list[tuple[Member, Skip]] = []
        chosen = self._first_eligible(now, skipped)
        if chosen is None:
            chosen = eligibility.last_resort(skipped)
        for member, skip in skipped:
            if member is not chosen:
                self._record_skip(member, skip, now)
        if chosen is not None:
            return self._start(chosen, now)
        step = self._rested(now) or self._early_probe(now) or self._wait(now)
        return step or self._despite_slow_start(now) or self._give_up(now)

    def _first_eligible(self, now: float, skipped: list[tuple[Member, Skip]]) -> Member | None:
        settings, standings = self.pool.settings, self._standings
        larger_than, fit, demand = self._larger_than, self._fit, self._demand
        queue = self.pool.queue
        demand.takes_over = bool(self._attempts)
        for member in self._order:
            standing = standings.get(member.index)
            if standing is not None and self._spent(standing, now):
                continue
            skip = eligibility.check(member, now, settings, larger_than, fit, demand)
            if skip is None or skip.is_soft:
                if standing is not None and not standing.is_free(now):
                    continue
                if queue.places and not queue.may_take(self.request, member.index):
                    skip = Skip(SkipReason.QUEUED)
                if skip is None:
                    return member
            elif skip.reason in _UNWELL:
                demand.takes_over = True
            skipped.append((member, skip))
        return None

    def _rested(self, now: float) -> Step | None:
        """A member asked before that only its back-off holds back, or that it is a last resort."""
        settings = self.pool.settings
        resting = [
            (standing.not_before, member)
            for member, standing in self._askable(now)
            if standing.attempts
            and eligibility.can_serve(member, now, settings, self._larger_than, self._demand)
        ]
        for instant, member in resting:
            if now >= instant:
                return self._start(member, now)
        instants = [instant for instant, _ in resting if instant < self.deadline.at]
        if not instants:
            return None
        # Another one whose bench ends sooner, or whose probe settles, is asked instead.
        benches = [member.benched_until for member, _ in self._askable(now) if member.benched_until > now]
        return Wait(min(instants + benches), wakes=True)

    def _early_probe(self, now: float) -> Step | None:
        settings = self.pool.settings.breaker
        for member, standing in self._askable(now):
            held = now < member.benched_until or now < standing.not_before
            if held or member.breaker.state(now, settings) is not State.OPEN:
                continue
            if now >= self._early_probe_at(member) and eligibility.no_room(member, now, self._demand) is None:
                return self._start(member, now, early=True)
        return None

    def _early_probe_at(self, member: Member) -> float:
        return self.pool.quiet_since + member.breaker.early_after(self.pool.settings.breaker)

    def _wait(self, now: float) -> Wait | None:
        """Rule 5: until the first of the benches and probes, if one of them can be in time."""
        latest = min(now + self.pool.settings.retry.wait_for_capacity - self._waited, self.deadline.at)
        in_time = [
            (member, standing)
            for member, standing in self._askable(now)
            if member.benched_until <= latest and standing.not_before <= latest
        ]
        rooms = {member: eligibility.no_room(member, now, self._demand) for member, _ in in_time}
        in_time = [pair for pair in in_time if _is_by(rooms[pair[0]], latest)]
        if latest <= now or not any(
            self._may_return(member, rooms[member], now, latest) for member, _ in in_time
        ):
            return None
        queue, limit = self.pool.queue, self.pool.settings.routing.queue_limit
        if not queue.join(self.request, (member.index for member, _ in in_time), limit):
            return None
        instants = [
            self._looks_again(member, standing, rooms[member], now)
            for member, standing in in_time
            if queue.may_take(self.request, member.index)
        ]
        until = min([latest, *instants])
        self._waiting_since = now
        self.events.append(WaitingForCapacity(now, self.request, until))
        return Wait(until, wakes=True)

    def _may_return(self, member: Member, full: Skip | None, now: float, latest: float) -> bool:
        """Rule 6: a probe in flight may settle at any moment, a bench ends; an open circuit is no reason, but
        for an answer that broke off.

        Under a ceiling there will be room again; and who has room but is waited for by others may yet come.
        """
        settings = self.pool.settings.breaker
        if member.breaker.probing(now, settings):
            return True
        if member.breaker.state(now, settings) is State.OPEN:
            return self._break is not None and self._early_probe_at(member) <= latest
        waited_for = not self.pool.queue.may_take(self.request, member.index)
        return member.benched_until > now or full is not None or waited_for

    def _looks_again(self, member: Member, standing: _Standing, full: Skip | None, now: float) -> float:
        """When a member is worth another look; an open circuit also when an early probe is due."""
        settings = self.pool.settings.breaker
        instant = member.breaker.next_probe_at(now, settings)
        if instant is None:
            instant = now
        elif member.breaker.state(now, settings) is State.OPEN:
            instant = min(instant, self._early_probe_at(member))
        if full is not None:
            instant = max(instant, full.until or now + _LOOK_AGAIN)
        return max(instant, member.benched_until, standing.not_before)

    def _despite_slow_start(self, now: float) -> Step | None:
        """Rule 6: an outage must not be of our own making."""
        for member, standing in self._askable(now):
            skip = eligibility.check(member, now, self.pool.settings, demand=self._demand)
            if skip is not None and skip.reason is SkipReason.SLOW_START and standing.is_free(now):
                return self._start(member, now)
        return None

    def _announce(self, member: Member, now: float) -> None:
        """There may be room for whoever waits for this member first."""
        first = self.pool.queue.first(member.index)
        if first is not None:
            self.events.append(TurnCame(now, first))

    def _leave_queue(self, now: float) -> None:
        if self.pool.queue.places:
            self.events += [TurnCame(now, request) for request in self.pool.queue.leave(self.request)]

    def _askable(self, now: float) -> list[tuple[Member, _Standing]]:
        """Members this request may still ask, now or later, in the policy's order, last resorts last."""
        askable = []
        for member in self._order:
            standing = self._standings.get(member.index) or _Standing()
            if member.is_listed_only or self._spent(standing, now):
                continue
            if eligibility.unfit(member, self._larger_than, self._fit) is None:
                askable.append((member, standing))
        return sorted(askable, key=lambda pair: pair[1].last_resort)

    def _spent(self, standing: _Standing, now: float) -> bool:
        """May the member not be asked any more? Asking again takes room in the budget (rule 14)."""
        retry = self.pool.settings.retry
        if not self._has_attempts_left(standing):
            return True
        return bool(standing.attempts) and not self.pool.retries.allows(now, retry.budget)

    def _has_attempts_left(self, standing: _Standing) -> bool:
        made = standing.attempts - standing.forgiven
        return not standing.ruled_out and made < self.pool.settings.retry.count

    def _count_unretried(self) -> None:
        """Once per request."""
        self.pool.metrics.unretried += not self._unretried
        self._unretried = True

    def _all_attempts_made(self) -> bool:
        most = self.pool.settings.retry.max_attempts
        return most is not None and len(self._attempts) >= most

    def _start(self, member: Member, now: float, *, early: bool = False) -> Attempt:
        permit = self._permit(member, now, early=early)
        standing = self._standings.setdefault(member.index, _Standing())
        if standing.attempts:
            self.pool.retries.spend(now)
        standing.attempts += 1
        attempt = Attempt(member, standing.attempts, permit, now, stream=self.stream)
        self._attempts.append(attempt)
        self._steps.append(attempt)
        self._running.append(attempt)
        learning.started(attempt, self.pool, now, self._demand)
        if attempt.settings.adaptive:
            self._be_patient(attempt, now)
        member.metrics.requests += 1
        self._leave_queue(now)
        self.events.append(
            AttemptStarted(
                now,
                self.request,
                member.name,
                attempt.number,
                self.pool.settings.retry.count,
                self.pool.policy.name,
                permit.probe,
            )
        )
        if self._break is not None and self._shown is not None:
            self._goes_on(attempt, self._break.cause.backend, self._shown, now)
        return attempt

    def _goes_on(self, attempt: Attempt, broken: str, shown: Shown, now: float) -> None:
        way = attempt.way = recovery.way_of(attempt.member, shown)
        self.events.append(
            RecoveryStarted(now, self.request, broken, shown.tokens, attempt.member.name, str(way))
        )

    def _be_patient(self, attempt: Attempt, now: float) -> None:
        """Whoever could be taken over from gets no longer than its own recent answers suggest."""
        limit = learning.patience(attempt, self.pool, now, self._demand)
        if limit is not None and self._has_another(attempt.member, now):
            attempt.hurry(limit)

    def _has_another(self, member: Member, now: float) -> bool:
        """Could another member take over from this one?"""
        settings = self.pool.settings
        for other in self._order:
            standing = self._standings.get(other.index)
            if other is member or (standing is not None and self._spent(standing, now)):
                continue
            skip = eligibility.check(other, now, settings, self._larger_than, self._fit, self._demand)
            if skip is None or skip.is_soft:
                return True
        return False

    def _permit(self, member: Member, now: float, *, early: bool) -> Permit:
        breaker = member.breaker
        before = breaker.phase
        take = breaker.try_acquire_early if early else breaker.try_acquire
        permit = take(now, self.pool.settings.breaker)
        assert permit is not None, "asked without leave"
        if permit.probe:
            self.pool.quiet_since = now
        if breaker.phase is not before:
            self._emit_transition(member, now, early=early)
        return permit

    def _give_up(self, now: float) -> GiveUp | AcceptEmpty:
        if not self._attempts:
            return GiveUp(
                verdict.unavailable(self.pool, self._fit, self.began, self.trail, now, self._demand)
            )
        if self._break is not None:
            return GiveUp(self._interrupted(now))
        last = {attempt.member.index: attempt.outcome for attempt in self._attempts}
        if all(isinstance(o, Failure) and o.kind is FailureKind.EMPTY and o.terminal for o in last.values()):
            return AcceptEmpty(self._attempts[-1])
        return GiveUp(self._all_failed(now, self._not_sooner(now)))

    def _all_failed(self, now: float, least: float | None = None) -> RequestError:
        return verdict.failed(
            self.pool, self._fit, self._causes, self.trail, now, least=least, demand=self._demand
        )

    def _not_sooner(self, now: float) -> float | None:
        """How long the caller should stay away because a limit was reached (rule 14); None if none was."""
        retry = self.pool.settings.retry
        if self._all_attempts_made():
            return retry.delay
        left = any(map(self._has_attempts_left, self._standings.values()))
        if left and not self.pool.retries.allows(now, retry.budget):
            self._count_unretried()
            return self.pool.retries.eases_at(now) - now
        return None

    def _too_late(self, now: float) -> RequestError:
        if self._break is not None:
            return self._interrupted(now)
        return verdict.too_late(self._request_timeout, self._causes, self.trail)

    def _interrupted(self, now: float) -> RequestError:
        broken = self._break
        assert broken is not None, "nothing broke off"
        since = self._causes[broken.causes :]
        least = self._not_sooner(now)
        returns = verdict.returns_after(self.pool, self._fit, now, least, self._demand)
        return verdict.interrupted(broken.cause, since, self._causes, self.trail, returns)

    def _record_skip(self, member: Member, skip: Skip, now: float) -> None:
        """Once per member and reason: waiting and looking again is not another skip."""
        if (member.index, skip.reason) in self._recorded:
            return
        self._recorded.add((member.index, skip.reason))
        member.metrics.skipped(skip.reason)
        skipped = BackendSkipped(
            now,
            self.request,
            member.name,
            skip.reason,
            skip.until,
            skip.rate,
            member.settings.tpm_threshold,
            self.pool.settings.tpm_measure,
        )
        self._steps.append(skipped)
        self.events.append(skipped)

    # What an end means

    def _succeeded(self, attempt: Attempt, now: float) -> None:
        member = attempt.member
        duration = now - attempt.started_at
        if self.stream:
            member.breaker.record_ending(attempt.permit, now, self.pool.settings.breaker)
        else:
            member.breaker.hand_back(attempt.permit)
        member.metrics.succeeded(duration)
        rate = member.window.serving_rate(now) if member.settings.tpm_threshold is not None else None
        self.events.append(
            AttemptSucceeded(
                now, self.request, member.name, attempt.number, duration, self.pool.policy.name, rate
            )
        )

    def _abandoned(self, attempt: Attempt, outcome: Abandoned, now: float) -> None:
        self._cut_short = self._cut_short or not outcome.lost
        attempt.member.metrics.cancelled += 1
        attempt.member.metrics.lost += outcome.lost
        self._release(attempt, now)
        duration = now - attempt.started_at
        self.events.append(
            AttemptAbandoned(
                now, self.request, attempt.member.name, attempt.number, duration, outcome.message
            )
        )

    def _failed(self, attempt: Attempt, failure: Failure, now: float) -> None:
        member, duration = attempt.member, now - attempt.started_at
        attempt.status = failure.status if attempt.status is None else attempt.status
        member.metrics.failed(failure, duration)
        said = failure.message, failure.body, failure.param
        self._causes.append(Cause(member.name, failure.kind, failure.status, *said))
        self.events.append(
            AttemptFailed(
                now,
                self.request,
                member.name,
                attempt.number,
                self.pool.settings.retry.count,
                failure,
                duration,
                attempt.limit,
                self.pool.policy.name,
            )
        )
        if failure.kind in _OPERATORS_TO_MEND:
            self.events.append(ConfigurationWarning(now, self.request, member.name, failure.message))
        self._blame(attempt, failure, now)
        self._bench(member, failure, now)
        self._decide(attempt, failure, now)

    def _blame(self, attempt: Attempt, failure: Failure, now: float) -> None:
        if not failure.counts:
            self._release(attempt, now)
            return
        member = attempt.member
        before = member.breaker.phase
        member.breaker.record_failure(
            attempt.permit, now, self.pool.settings.breaker, after_content=attempt.committed_at is not None
        )
        if member.breaker.phase is not before:
            self._emit_transition(member, now)
        self._probe_settled(attempt, now)

    def _release(self, attempt: Attempt, now: float) -> None:
        attempt.member.breaker.hand_back(attempt.permit)
        self._probe_settled(attempt, now)

    def _probe_settled(self, attempt: Attempt, now: float) -> None:
        if attempt.permit.probe and attempt.committed_at is None:
            self.events.append(ProbeSettled(now, self.request, attempt.member.name))

    def _bench(self, member: Member, failure: Failure, now: float) -> None:
        seconds = _bench_seconds(failure)
        if seconds is None:
            return
        until = member.bench(now, seconds, self.pool.settings.retry.bench_max)
        self.events.append(BackendBenched(now, self.request, member.name, until - now))

    def _decide(self, attempt: Attempt, failure: Failure, now: float) -> None:
        """What the walk may do after a failure (rules 7 and 12, then those of its kind)."""
        stays = failure.kind in _NETWORK and not self.pool.settings.retry.on_network_errors
        if self._shown is not None:
            self._broke_off(attempt, failure, self._shown, now, stays=stays)
        elif stays:
            self._is_over = True
        else:
            self._plan_again(attempt, failure, now)
            stands = self._blocked and (attempt.is_hedge or attempt is self._late)
            self._blocked = not self._next_allowed(attempt, failure) or stands

    def _plan_again(self, attempt: Attempt, failure: Failure, now: float) -> None:
        standing, again = self._judge(attempt, failure)
        standing.last_resort = again is Again.LAST_RESORT
        if self._spent(standing, now):
            if self._has_attempts_left(standing) and not standing.last_resort:
                self._count_unretried()
            return
        if _bench_seconds(failure) is None:
            standing.not_before = self._rested_at(attempt, now)
        elif self._waits_out(attempt.member, now):
            standing.not_before = attempt.member.benched_until
        else:
            return
        if again is not Again.LAST_RESORT:
            self._again = attempt.member

    def _judge(self, attempt: Attempt, failure: Failure) -> tuple[_Standing, Again]:
        """What the failure's kind has to say about the same member."""
        standing = self._standings[attempt.member.index]
        again = RULES[failure.kind].again
        if again is Again.NO or (again is Again.ONCE and standing.repeated):
            standing.ruled_out = True
        standing.repeated = standing.repeated or again is Again.ONCE
        return standing, again

    def _rested_at(self, attempt: Attempt, now: float) -> float:
        return now + backoff.delay(self.pool.settings.retry.delay, attempt.number, self._jitter())

    # After content was shown (rule 12)

    def _broke_off(
        self, attempt: Attempt, failure: Failure, shown: Shown, now: float, *, stays: bool
    ) -> None:
        if attempt is self._speaker:
            self._break = _Break(self._causes[-1], len(self._causes), now)
        if attempt.way is Way.CONTINUATION and failure.kind in _PREFILL_REFUSED:
            self._refused_prefill(attempt)
        elif stays or not self._can_go_on(attempt, failure, shown):
            self._is_over = True
        else:
            if attempt is self._speaker:
                self._start_over(attempt.member, now)
            self._plan_recovery(attempt, failure, now)

    def _can_go_on(self, attempt: Attempt, failure: Failure, shown: Shown) -> bool:
        is_on = self.pool.settings.recovery.scope != "off"
        return is_on and shown.can_be_matched and self._next_allowed(attempt, failure)

    def _start_over(self, speaker: Member, now: float) -> None:
        """Among those who may go on with the answer. A later break is a new start for the clock alone."""
        settings = self.pool.settings.recovery
        self.deadline = Deadline(now + settings.timeout, "recovery_timeout_ms")
        if all(attempt.way is None for attempt in self._attempts):
            self._order = [
                member for member in self._order if recovery.may_go_on(member, speaker, settings.scope)
            ]
            for standing in self._standings.values():
                standing.forgiven = standing.attempts

    def _plan_recovery(self, attempt: Attempt, failure: Failure, now: float) -> None:
        standing, _ = self._judge(attempt, failure)
        standing.last_resort = True
        if _bench_seconds(failure) is None:
            standing.not_before = self._rested_at(attempt, now)

    def _refused_prefill(self, attempt: Attempt) -> None:
        """Rule 15."""
        attempt.member.health.refuses_prefill = True
        self._standings[attempt.member.index].forgiven += 1

    def _waits_out(self, member: Member, now: float) -> bool:
        """Is this the first-ranked member's short Retry-After? (rule 2)

        The bench is judged, not the header: another request's may have made it longer.
        """
        return (
            self.pool.policy.waits_for_first
            and member is self._order[0]
            and member.benched_until <= now + self.pool.settings.retry.retry_after_max
        )

    def _next_allowed(self, attempt: Attempt, failure: Failure) -> bool:
        """There are three cases: the operator's statuses decide, the context window, the kind."""
        status = failure.deciding_status()
        codes = self.pool.settings.retry.status_codes
        if codes is not None and status is not None:
            return status in codes
        match RULES[failure.kind].next:
            case Next.LARGER_WINDOW:
                limit = attempt.member.settings.facts.context_limit or 0
                self._larger_than = max(self._larger_than or 0, limit)
                return True
            case Next.NOT_FROM_FIRST:
                return attempt.member is not self._first_asked()
            case following:
                return following is Next.YES

    def _first_asked(self) -> Member:
        """Whose format could not say the request was not asked."""
        return next(attempt.member for attempt in self._attempts if not _was_not_sent(attempt))

    # Bookkeeping

    def _count_tokens(self, attempt: Attempt, tokens: Tokens | None, now: float) -> None:
        if tokens is None:
            return
        member = attempt.member
        member.metrics.tokens(tokens.input, tokens.output, estimated=tokens.estimated)
        member.window.add(now, tokens.input + tokens.output)
        if attempt.evidence is not None and tokens.visible is not None:
            attempt.evidence.correct(now, tokens.visible)

    def _emit_transition(self, member: Member, now: float, *, early: bool = False) -> None:
        breaker, settings = member.breaker, self.pool.settings.breaker
        match breaker.phase:
            case State.OPEN:
                self.pool.quiet_since = now
                failures = breaker.failures(now, settings)
                until = breaker.next_probe_at(now, settings) or now
                self.events.append(BreakerOpened(now, self.request, member.name, failures, until - now))
            case State.HALF_OPEN:
                self.events.append(BreakerHalfOpened(now, self.request, member.name, early))
            case _:
                self.events.append(BreakerClosed(now, self.request, member.name))

    def _end(self, result: str, backend: str | None, failed_over: bool, now: float) -> None:
        self._ended = True
        self._leave_queue(now)
        self.events.append(
            RequestEnded(
                now, self.request, result, backend, len(self._attempts), failed_over, now - self.began
            )
        )


def _bench_seconds(failure: Failure) -> float | None:
    """For how long the member asked to be left alone, where that is heeded."""
    return failure.retry_after if failure.kind in _BENCHING else None


def _is_by(full: Skip | None, latest: float) -> bool:
    """Is there room by then, as far as anybody knows?"""
    return full is None or full.until is None or full.until <= latest


def _skip_entry(skipped: BackendSkipped, began: float) -> SkipEntry:
    until = None if skipped.until is None else skipped.until - began
    return SkipEntry(skipped.backend, skipped.reason, until)


def _has_lost(outcome: Outcome | None) -> bool:
    return isinstance(outcome, Abandoned) and outcome.lost


def _was_not_sent(attempt: Attempt) -> bool:
    match attempt.outcome:
        case Failure(kind=FailureKind.UNFIT, status=None, in_stream=False):
            return True
    return False
