"""One request's walk over the pool: whom to ask next, when to wait, when to give up.

The runtime calls `next_step`, carries it out, reports `commit` and `settle`, and asks again.

Rules, in the order in which `next_step` looks at them:

1. A verdict that a failure has already brought stands; the request's deadline ends the walk, and so
   does an attempt that it cut short.
2. The backend that just failed is asked again where its failure's kind allows it and it has attempts
   left, after the back-off. A short Retry-After of the first-ranked member takes the back-off's place,
   if the policy waits for its first. Where its circuit has opened meanwhile, or it is benched for
   longer, or drained, or the deadline comes first, the walk moves on.
3. Else the first eligible member in the policy's order is asked; switching never waits. Members below
   the rate floor come after all others, fastest first. No member is asked again before its back-off
   is over, nor one that could not be connected to while another is left.
4. When no member that may still be asked is eligible: an open one gets an early probe, if a sixth of
   its recovery time has passed since the pool's last opening or probe start;
5. else the walk waits for the first bench to end or probe to settle, if that can be in time;
6. else it gives up. Only open circuits and no probe in flight: no wait.

What a failure allows is the table in `core.outcome`, with these exceptions:

7. `failover_on_network_errors` off: connect errors, resets and timeouts end the walk.
8. `failover_status_codes` alone decides about the next backend, for a failure that has a status.
9. A failure that benches its member is not followed by a back-off on it, only by rule 2's wait.
10. If every member asked ended empty but properly, the last empty answer is the answer.
11. A member whose context window was too small rules out all others that are no larger; one of unknown
    window rules out only itself.
12. After its first content a request is never begun again elsewhere: a failure then ends the walk.
13. A member whose model can't take the request is never asked, waited for nor probed. What the request
    needs is looked at only where something is known of a member's model (`core.fit`).

Every attempt that was started is settled exactly once; leaving the dispatch settles what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from understudy.core import backoff, eligibility, verdict
from understudy.core.attempt import Attempt, Tokens
from understudy.core.breaker import Permit, State
from understudy.core.deadline import Deadline
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
    ProbeSettled,
    RequestEnded,
    WaitingForCapacity,
)
from understudy.core.fit import Fit, Needs
from understudy.core.outcome import RULES, Abandoned, Again, Failure, Next, Outcome, Success
from understudy.core.window import StreamEvidence
from understudy.errors import Cause, FailureKind, RequestError, SkipEntry, SkipReason, TrailEntry

if TYPE_CHECKING:
    from understudy.core.member import Member
    from understudy.core.pool import Pool

_NETWORK = frozenset((FailureKind.CONNECT, FailureKind.RESET, FailureKind.TIMEOUT))
_BENCHING = frozenset((FailureKind.RATE_LIMITED, FailureKind.SERVER_ERROR))
_OPERATORS_TO_MEND = frozenset((FailureKind.AUTH, FailureKind.MODEL_NOT_FOUND))


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
    """

    __slots__ = ("attempts", "last_resort", "not_before", "repeated", "ruled_out")

    def __init__(self) -> None:
        self.attempts = 0
        self.ruled_out = False
        self.last_resort = False
        self.repeated = False
        self.not_before = 0.0

    def is_free(self, now: float) -> bool:
        """Neither in its back-off nor a last resort."""
        return now >= self.not_before and not self.last_resort


class Dispatch:
    """One request. A context manager: leaving it settles what is unsettled and ends the request."""

    __slots__ = (
        "_again",
        "_attempts",
        "_blocked",
        "_causes",
        "_cut_short",
        "_ended",
        "_fit",
        "_jitter",
        "_larger_than",
        "_order",
        "_recorded",
        "_request_timeout",
        "_running",
        "_standings",
        "_steps",
        "_verdict",
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
        self.request = pool.begin()
        self.stream = stream
        self.events: list[Event] = []
        self._jitter = jitter
        self._request_timeout = pool.settings.retry.request_timeout
        self.deadline = Deadline(now + self._request_timeout)
        self._order: Sequence[Member] = pool.policy.rank(pool.members, now)
        self._standings: dict[int, _Standing] = {}
        self._attempts: list[Attempt] = []
        self._steps: list[Attempt | BackendSkipped] = []
        self._recorded: set[tuple[int, SkipReason]] = set()
        self._causes: list[Cause] = []
        self._running: Attempt | None = None
        self._again: Member | None = None
        self._verdict: GiveUp | None = None
        self._blocked = False
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
        if self._verdict is not None:
            return self._verdict
        if self._cut_short or self.deadline.passed(now):
            return GiveUp(verdict.too_late(self._request_timeout, self._causes, self.trail))
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

    def time_asking(self, now: float) -> float:
        """Seconds spent on attempts, each up to its first content."""
        return sum(attempt.time_asking(now) for attempt in self._attempts)

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
        if self.stream:
            attempt.evidence = StreamEvidence(member.window, now)
        self.events.append(FirstContent(now, self.request, member.name, now - attempt.started_at))

    def settle(self, attempt: Attempt, outcome: Outcome, now: float, tokens: Tokens | None = None) -> None:
        """The attempt ended: breaker, window and metrics learn of it, and the walk goes on or ends."""
        if attempt.outcome is not None:
            return
        attempt.outcome = outcome
        attempt.ended_at = now
        self._running = None
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

    def answered(self, now: float) -> None:
        """The caller has the whole answer."""
        if self._ended:
            return
        last = self._attempts[-1]
        last.accepted = isinstance(last.outcome, Failure)
        failed_over = len(self._standings) > 1  # another member was asked too
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
        if self._running is not None:
            self.settle(self._running, Abandoned(), now)
        if not self._ended:
            self.pool.metrics.cancelled += 1
            self._end("cancelled", None, False, now)

    # Whom to ask

    def _ask_again(self, member: Member, now: float) -> Step | None:
        """Rule 2. None when the walk moves on."""
        standing = self._standings[member.index]
        not_before = standing.not_before
        held = member.benched_until > not_before or not member.breaker.admits(now, self.pool.settings.breaker)
        if held or member.is_listed_only or self._spent(standing) or self.deadline.at <= not_before:
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
            chosen = self._fastest(skipped)
        for member, skip in skipped:
            if member is not chosen:
                self._record_skip(member, skip, now)
        if chosen is not None:
            return self._start(chosen, now)
        return self._rested(now) or self._early_probe(now) or self._wait(now) or self._give_up(now)

    def _first_eligible(self, now: float, skipped: list[tuple[Member, Skip]]) -> Member | None:
        settings, standings = self.pool.settings, self._standings
        larger_than, fit = self._larger_than, self._fit
        for member in self._order:
            standing = standings.get(member.index)
            if standing is not None and self._spent(standing):
                continue
            skip = eligibility.check(member, now, settings, larger_than, fit)
            if skip is None or skip.reason is SkipReason.LOW_TPM:
                if standing is not None and not standing.is_free(now):
                    continue
                if skip is None:
                    return member
            skipped.append((member, skip))
        return None

    def _fastest(self, skipped: list[tuple[Member, Skip]]) -> Member | None:
        """Of the members below the floor."""
        slow = [(skip.rate or 0.0, member) for member, skip in skipped if skip.reason is SkipReason.LOW_TPM]
        return max(slow, key=lambda pair: pair[0])[1] if slow else None

    def _rested(self, now: float) -> Step | None:
        """A member asked before that only its back-off holds back, or that it is a last resort."""
        settings = self.pool.settings
        resting = [
            (standing.not_before, member)
            for member, standing in self._askable()
            if standing.attempts and eligibility.can_serve(member, now, settings, self._larger_than)
        ]
        for instant, member in resting:
            if now >= instant:
                return self._start(member, now)
        instants = [instant for instant, _ in resting if instant < self.deadline.at]
        if not instants:
            return None
        # Another one whose bench ends sooner, or whose probe settles, is asked instead.
        benches = [member.benched_until for member, _ in self._askable() if member.benched_until > now]
        return Wait(min(instants + benches), wakes=True)

    def _early_probe(self, now: float) -> Step | None:
        settings = self.pool.settings.breaker
        for member, standing in self._askable():
            held = now < member.benched_until or now < standing.not_before
            if held or member.breaker.state(now, settings) is not State.OPEN:
                continue
            if now >= self._early_probe_at(member):
                return self._start(member, now, early=True)
        return None

    def _early_probe_at(self, member: Member) -> float:
        return self.pool.quiet_since + member.breaker.early_after(self.pool.settings.breaker)

    def _wait(self, now: float) -> Wait | None:
        """Rule 5: until the first of the benches and probes, if one of them can be in time."""
        latest = min(now + self.pool.settings.retry.wait_for_capacity - self._waited, self.deadline.at)
        in_time = [
            (member, standing)
            for member, standing in self._askable()
            if member.benched_until <= latest and standing.not_before <= latest
        ]
        if latest <= now or not any(self._may_return(member, now) for member, _ in in_time):
            return None
        until = min([latest, *(self._looks_again(member, standing, now) for member, standing in in_time)])
        self._waiting_since = now
        self.events.append(WaitingForCapacity(now, self.request, until))
        return Wait(until, wakes=True)

    def _may_return(self, member: Member, now: float) -> bool:
        """Rule 6: a probe in flight may settle at any moment, a bench ends; an open circuit is no reason."""
        settings = self.pool.settings.breaker
        if member.breaker.probing(now, settings):
            return True
        return member.benched_until > now and member.breaker.state(now, settings) is not State.OPEN

    def _looks_again(self, member: Member, standing: _Standing, now: float) -> float:
        """When a member is worth another look; an open circuit also when an early probe is due."""
        settings = self.pool.settings.breaker
        instant = member.breaker.next_probe_at(now, settings)
        if instant is None:
            instant = now
        elif member.breaker.state(now, settings) is State.OPEN:
            instant = min(instant, self._early_probe_at(member))
        return max(instant, member.benched_until, standing.not_before)

    def _askable(self) -> list[tuple[Member, _Standing]]:
        """Members this request may still ask, now or later, in the policy's order, last resorts last."""
        askable = []
        for member in self._order:
            standing = self._standings.get(member.index) or _Standing()
            if member.is_listed_only or self._spent(standing):
                continue
            if eligibility.unfit(member, self._larger_than, self._fit) is None:
                askable.append((member, standing))
        return sorted(askable, key=lambda pair: pair[1].last_resort)

    def _spent(self, standing: _Standing) -> bool:
        return standing.ruled_out or standing.attempts >= self.pool.settings.retry.count

    def _start(self, member: Member, now: float, *, early: bool = False) -> Attempt:
        permit = self._permit(member, now, early=early)
        standing = self._standings.setdefault(member.index, _Standing())
        standing.attempts += 1
        attempt = Attempt(member, standing.attempts, permit, now, stream=self.stream)
        self._attempts.append(attempt)
        self._steps.append(attempt)
        self._running = attempt
        member.metrics.requests += 1
        self.pool.policy.picked(member)
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
        return attempt

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
            return GiveUp(verdict.unavailable(self.pool, self._fit, self.began, self.trail, now))
        last = {attempt.member.index: attempt.outcome for attempt in self._attempts}
        if all(isinstance(o, Failure) and o.kind is FailureKind.EMPTY and o.terminal for o in last.values()):
            return AcceptEmpty(self._attempts[-1])
        return GiveUp(verdict.failed(self.pool, self._fit, self._causes, self.trail, now))

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
        self._cut_short = True
        attempt.member.metrics.cancelled += 1
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
        if stays or attempt.committed_at is not None:
            self._verdict = GiveUp(verdict.failed(self.pool, self._fit, self._causes, self.trail, now))
            return
        self._plan_again(attempt, failure, now)
        self._blocked = not self._next_allowed(attempt, failure)

    def _plan_again(self, attempt: Attempt, failure: Failure, now: float) -> None:
        standing = self._standings[attempt.member.index]
        again = RULES[failure.kind].again
        if again is Again.NO or (again is Again.ONCE and standing.repeated):
            standing.ruled_out = True
        standing.repeated = standing.repeated or again is Again.ONCE
        standing.last_resort = again is Again.LAST_RESORT
        if self._spent(standing):
            return
        if _bench_seconds(failure) is None:
            standing.not_before = now + backoff.delay(
                self.pool.settings.retry.delay, attempt.number, self._jitter()
            )
        elif self._waits_out(attempt.member, now):
            standing.not_before = attempt.member.benched_until
        else:
            return
        if again is not Again.LAST_RESORT:
            self._again = attempt.member

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
        self.events.append(
            RequestEnded(
                now, self.request, result, backend, len(self._attempts), failed_over, now - self.began
            )
        )


def _bench_seconds(failure: Failure) -> float | None:
    """For how long the member asked to be left alone, where that is heeded."""
    return failure.retry_after if failure.kind in _BENCHING else None


def _skip_entry(skipped: BackendSkipped, began: float) -> SkipEntry:
    until = None if skipped.until is None else skipped.until - began
    return SkipEntry(skipped.backend, skipped.reason, until)


def _was_not_sent(attempt: Attempt) -> bool:
    match attempt.outcome:
        case Failure(kind=FailureKind.UNFIT, status=None, in_stream=False):
            return True
    return False
