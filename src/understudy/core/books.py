"""What breaker, window, metrics and history are told of a request's attempts, and observers of that.

1. A first content is good news for the breaker, and settles a probe. A stream that ends well is told it as
   well; a unary call only hands its permit back.
2. A failure that counts goes to the breaker; all others, and whatever was abandoned, hand the permit back.
3. A member that asks to be left alone, for a failure of that kind, is benched.
4. Tokens count towards the window however an attempt ended.
5. Each fact is told once, in the order in which it came about.

What else is learnt of an attempt is in `core.learning`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from understudy.core.breaker import Permit, State
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
    FirstContent,
    Panicked,
    ProbeSettled,
    TurnCame,
)
from understudy.core.standing import bench_seconds
from understudy.errors import FailureKind

if TYPE_CHECKING:
    from understudy.core.attempt import Attempt
    from understudy.core.member import Member
    from understudy.core.outcome import Abandoned, Failure, Tokens
    from understudy.core.pool import Pool
    from understudy.core.skip import Skip

_OPERATORS_TO_MEND = frozenset((FailureKind.AUTH, FailureKind.MODEL_NOT_FOUND))


class Books(msgspec.Struct, eq=False):
    """One request's. `events` are the facts that were not taken yet; `panics`: it asked somebody anyway."""

    pool: Pool
    request: int
    events: list[Event] = msgspec.field(default_factory=list)
    panics: bool = False

    def __repr__(self) -> str:
        return f"<Books of {self.request}, {len(self.events)} facts>"

    def permit(self, member: Member, now: float, *, early: bool, anyway: bool = False) -> Permit:
        breaker = member.breaker
        if anyway:
            self._panicked(member, now)
            return breaker.acquire_anyway(now)
        before = breaker.phase
        take = breaker.try_acquire_early if early else breaker.try_acquire
        permit = take(now, self.pool.settings.breaker)
        assert permit is not None, "asked without leave"
        if permit.probe:
            self.pool.quiet_since = now
        if breaker.phase is not before:
            self._transition(member, now, early=early)
        return permit

    def _panicked(self, member: Member, now: float) -> None:
        """Counted once per request."""
        self.pool.metrics.panicked += not self.panics
        self.panics = True
        self.events.append(Panicked(now, self.request, member.name))

    def skipped(self, member: Member, skip: Skip, now: float) -> BackendSkipped:
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
        self.events.append(skipped)
        return skipped

    def started(self, attempt: Attempt, now: float) -> None:
        attempt.member.metrics.started()
        self.events.append(
            AttemptStarted(
                now,
                self.request,
                attempt.member.name,
                attempt.number,
                self.pool.settings.retry.count,
                self.pool.policy.name,
                attempt.permit.probe,
            )
        )

    def opened(self, attempt: Attempt, after: float, bucket: int, now: float) -> None:
        """Its first content, after so many seconds of this bucket, is good news for its breaker (rule 1)."""
        member, breaker = attempt.member, attempt.member.breaker
        member.metrics.first_content.enter(after, bucket)
        member.health.history.began(now, after, bucket)
        if attempt.stream and self.pool.settings.hedge.percentile is not None:
            member.health.starts.enter(after, bucket)
            self.pool.metrics.starts.enter(after, bucket)
        before = breaker.phase
        breaker.record_opening(attempt.permit, now, self.pool.settings.breaker)
        if breaker.phase is not before:
            self._transition(member, now)
        if attempt.permit.probe:
            self.events.append(ProbeSettled(now, self.request, member.name))
        self.events.append(FirstContent(now, self.request, member.name, after))

    def tokens(self, attempt: Attempt, tokens: Tokens, now: float) -> None:
        """Rule 4."""
        member = attempt.member
        member.metrics.tokens(tokens)
        member.window.add(now, tokens.input + tokens.output)
        if attempt.evidence is not None and tokens.visible is not None:
            attempt.evidence.correct(now, tokens.visible)

    def succeeded(self, attempt: Attempt, now: float) -> None:
        member = attempt.member
        duration = now - attempt.started_at
        if attempt.stream:
            member.breaker.record_ending(attempt.permit, now, self.pool.settings.breaker)
        else:
            member.breaker.hand_back(attempt.permit)
        member.metrics.succeeded(duration)
        member.health.history.succeeded(now)
        rate = member.window.serving_rate(now) if member.settings.tpm_threshold is not None else None
        self.events.append(
            AttemptSucceeded(
                now, self.request, member.name, attempt.number, duration, self.pool.policy.name, rate
            )
        )

    def abandoned(self, attempt: Attempt, outcome: Abandoned, now: float) -> None:
        attempt.member.metrics.abandoned(lost=outcome.lost)
        self._release(attempt, now)
        duration = now - attempt.started_at
        self.events.append(
            AttemptAbandoned(
                now, self.request, attempt.member.name, attempt.number, duration, outcome.message
            )
        )

    def failed(self, attempt: Attempt, failure: Failure, now: float) -> None:
        member, duration = attempt.member, now - attempt.started_at
        attempt.status = failure.status if attempt.status is None else attempt.status
        member.metrics.failed(failure, duration)
        member.health.history.failed(now, failure)
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

    def turn_came(self, request: int, now: float) -> None:
        self.events.append(TurnCame(now, request))

    def _blame(self, attempt: Attempt, failure: Failure, now: float) -> None:
        """Rule 2."""
        if not failure.counts:
            self._release(attempt, now)
            return
        member = attempt.member
        before = member.breaker.phase
        member.breaker.record_failure(
            attempt.permit, now, self.pool.settings.breaker, after_content=attempt.committed_at is not None
        )
        if member.breaker.phase is not before:
            self._transition(member, now)
        self._probe_settled(attempt, now)

    def _release(self, attempt: Attempt, now: float) -> None:
        attempt.member.breaker.hand_back(attempt.permit)
        self._probe_settled(attempt, now)

    def _probe_settled(self, attempt: Attempt, now: float) -> None:
        if attempt.permit.probe and attempt.committed_at is None:
            self.events.append(ProbeSettled(now, self.request, attempt.member.name))

    def _bench(self, member: Member, failure: Failure, now: float) -> None:
        """Rule 3."""
        seconds = bench_seconds(failure)
        if seconds is None:
            return
        until = member.bench(now, seconds, self.pool.settings.retry.bench_max)
        self.events.append(BackendBenched(now, self.request, member.name, until - now))

    def _transition(self, member: Member, now: float, *, early: bool = False) -> None:
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
