"""One request's walk over the pool: whom to ask next, when to wait, when to give up.

The runtime calls `next_step`, carries it out, reports how that goes, up to `settle`, and asks again.

Rules, in the order in which `next_step` looks at them:

1. A failure after which nobody may be asked (`core.standing`) ends the walk, whatever the other of two that
   ran at once brought; the request's deadline ends the walk, and so does an attempt that it cut short.
   A request makes at most `max_attempts`.
2. The backend that just failed is asked again where its failure's kind allows it and it has attempts
   left, after the back-off (`core.candidates`). Where its circuit has opened meanwhile, or it is benched for
   longer, or drained, or the deadline comes first, the walk moves on.
3. Else the first eligible member in the policy's order is asked (`core.candidates`); switching never waits.
4. When no member that may still be asked is eligible: an early probe, a wait for capacity, or a member that
   only its slow start held back (`core.waiting`); else the walk gives up.
5. If every member asked ended empty but properly, the last empty answer is the answer.

And beside them:

6. Once the caller was shown content, the answer is never begun again, but gone on with
   (`core.broken_answer`). Content that has arrived and was not shown binds nobody.
7. Where others share the pool, their consent may be needed before a member is asked (`core.consent`). The
   walk looks anew when they have answered, or have not in time.
8. While a stream's only attempt says nothing, a second member may be asked too (`core.hedging`).

Every attempt that was started is settled exactly once; leaving the dispatch settles what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from understudy.core import broken_answer, cost, eligibility, hedging, latency, learning, verdict
from understudy.core.attempt import Attempt
from understudy.core.books import Books
from understudy.core.broken_answer import BrokenAnswer
from understudy.core.candidates import Candidates
from understudy.core.consent import Consent, Need, NeedLease, NeedRoom
from understudy.core.cost import Bill
from understudy.core.deadline import Deadline
from understudy.core.demand import Demand
from understudy.core.events import (
    BackendSkipped,
    Event,
    FieldsLeftOut,
    Recovered,
    RequestEnded,
    WaitingForCapacity,
)
from understudy.core.fit import Fit, Needs
from understudy.core.outcome import Abandoned, Failure, Next, Outcome, Success, Tokens
from understudy.core.recovery import Shown
from understudy.core.standing import ends_all, next_after
from understudy.core.waiting import Ask, Wait, Waiting
from understudy.core.window import StreamEvidence
from understudy.errors import Cause, FailureKind, RequestError, SkipEntry, SkipReason, TrailEntry

if TYPE_CHECKING:
    from understudy.core.member import Member
    from understudy.core.pool import Pool
    from understudy.core.skip import Skip

__all__ = ["AcceptEmpty", "Dispatch", "GiveUp", "Need", "NeedLease", "NeedRoom", "Step", "Wait"]


class GiveUp(NamedTuple):
    """Raise `error`."""

    error: RequestError


class AcceptEmpty(NamedTuple):
    """The last attempt's empty answer is the answer (rule 5)."""

    attempt: Attempt


Step = Attempt | Wait | GiveUp | AcceptEmpty | Need


class Dispatch:
    """One request. To `leave` it settles what is unsettled and ends the request."""

    __slots__ = (
        "_again",
        "_attempts",
        "_blocked",
        "_books",
        "_broken",
        "_candidates",
        "_causes",
        "_cut_short",
        "_ended",
        "_is_over",
        "_late",
        "_recorded",
        "_request_timeout",
        "_shown",
        "_speaker",
        "_steps",
        "_waiting",
        "began",
        "consent",
        "deadline",
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
        self._request_timeout = pool.settings.retry.request_timeout
        self.deadline = Deadline(now + self._request_timeout)
        fit = None if needs is None else Fit(needs, pool.members)
        demand = Demand(needs, pool.settings, jitter, stream)
        self._candidates = Candidates(pool, demand, fit, pool.policy.rank(pool.members, now, demand))
        self._books = Books(pool, self.request)
        self.consent = None if pool.fleet is None else Consent(pool.fleet, demand)
        self._attempts: list[Attempt] = []
        self._steps: list[Attempt | BackendSkipped] = []
        self._recorded: set[tuple[int, SkipReason]] = set()
        self._causes: list[Cause] = []
        self._late: Attempt | None = None  # beside which a hedge was made
        self._shown: Shown | None = None
        self._speaker: Attempt | None = None  # whose content was shown last
        self._broken: BrokenAnswer | None = None
        self._waiting: Waiting | None = None
        self._again: Member | None = None
        self._is_over = False
        self._blocked = False
        self._cut_short = False
        self._ended = False

    def __repr__(self) -> str:
        return f"<Dispatch {self.request} of {self.pool.profile}, {len(self._attempts)} attempts>"

    # What the runtime asks

    def next_step(self, now: float) -> Step:
        """Whom to ask, how long to wait, or why to give up. Not while an attempt is running."""
        if self._waiting is not None:
            self._waiting.end(now)
        if self._is_over:
            return GiveUp(self._all_failed(now) if self._broken is None else self._interrupted(now))
        if self._cut_short or now >= self.deadline.at:
            return GiveUp(self._too_late(now))
        if self._attempts and self._all_attempts_made():
            return self._give_up(now)
        if self._again is not None:
            step = self._ask_again(self._again, now)
            if step is not None:
                return step
        return self._give_up(now) if self._blocked else self._ask_next(now)

    @property
    def events(self) -> list[Event]:
        """The facts that were not taken yet."""
        return self._books.events

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
    def bill(self) -> Bill:
        """What the attempts cost so far."""
        usd, unpriced = cost.of_attempts(self._attempts)
        return Bill(usd, unpriced=unpriced)

    @property
    def causes(self) -> tuple[Cause, ...]:
        return tuple(self._causes)

    @property
    def is_recovering(self) -> bool:
        """Did the answer break off, and may somebody go on with it?"""
        return self._broken is not None and not self._is_over

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
        events, self._books.events = self._books.events, []
        return events

    # What the runtime reports

    def commit(self, attempt: Attempt, now: float) -> None:
        """The attempt's first content arrived (unary: its answer). Good news for its breaker."""
        attempt.committed_at = now
        member, seconds = attempt.member, now - attempt.started_at
        bucket = latency.bucket_of(seconds)
        self._books.opened(attempt, seconds, bucket, now)
        learning.began(attempt, seconds, bucket, self.pool, now, self._candidates.demand)
        if self.pool.queue.places and (attempt.permit.probe or member.health.slow_start is not None):
            self._announce(member, now)
        if self.stream:
            attempt.evidence = StreamEvidence(member.window, now)

    def reconsider(self, attempt: Attempt, now: float) -> None:
        """Its limit has passed. If nobody could take over, or all are slow, it has its setting's time."""
        are_all_slow = self.pool.strain.is_general(now, len(self.pool.members))
        if are_all_slow or not self._candidates.has_another(attempt.member, now):
            attempt.relax()

    def hedge_at(self, attempt: Attempt, now: float) -> float | None:
        """When `hedge` is worth a call, if the attempt has said nothing until then; None: never."""
        if self._late is not None:
            return None
        return hedging.late_at(attempt, self.pool, now)

    def hedge(self, late: Attempt, now: float) -> Attempt | Need | None:
        """A second attempt besides the late one, or what it needs; None if nobody may be asked."""
        if self._late is not None or self._all_attempts_made() or self.deadline.passed(now):
            return None
        if not hedging.has_budget(late, self.pool, now):
            return None
        member = hedging.second(self._candidates, now)
        if member is None:
            return None
        need = None if self.consent is None else self.consent.needed(member, now)
        if need is not None:
            return need
        self._late = late
        self.events.append(hedging.start(late, member, self.pool, self.request, now))
        attempt = self._start(member, now)
        assert isinstance(attempt, Attempt), "it needs nothing any more"
        attempt.is_hedge = True
        return attempt

    def show(self, attempt: Attempt, shown: Shown) -> None:
        """The attempt's first content goes out (rule 6). `shown` tells what the caller has, from now on.

        What another one's failure meant for the walk, that ran beside it, is of no account any more.
        """
        self._again = None
        self._is_over = self._blocked = False
        self._shown = shown
        self._speaker = attempt

    def resume(self, attempt: Attempt, now: float) -> None:
        """The first content goes out of an attempt that goes on with the answer."""
        assert self._broken is not None, "nothing broke off"
        self._speaker = attempt
        self.pool.metrics.recovered += 1
        attempt.member.metrics.recovered += 1
        self.events.append(Recovered(now, self.request, attempt.member.name, now - self._broken.at))

    def settle(self, attempt: Attempt, outcome: Outcome, now: float, tokens: Tokens | None = None) -> None:
        """The attempt ended: breaker, window and metrics learn of it, and the walk goes on or ends."""
        if attempt.outcome is not None:
            return
        attempt.outcome = outcome
        attempt.ended_at = now
        if tokens is not None:
            self._books.tokens(attempt, tokens, now)
        if attempt.malformed_events:
            attempt.member.metrics.malformed_events += attempt.malformed_events
        if attempt.left_out:
            self.events.append(FieldsLeftOut(now, self.request, attempt.member.name, attempt.left_out))
        match outcome:
            case Success():
                self._books.succeeded(attempt, now)
            case Failure():
                self._failed(attempt, outcome, now)
                learning.failed(attempt, outcome, self.pool, now)
            case _:
                self._cut_short = self._cut_short or not outcome.lost
                self._books.abandoned(attempt, outcome, now)
                learning.abandoned(attempt, self.pool, now)
                if outcome.lost and attempt is self._late:
                    self.events.extend(hedging.lost(attempt, self._attempts, self.pool, self.request, now))
        cost.ended(attempt, outcome, tokens, self._candidates.demand)
        if attempt.reservation is not None:
            learning.room_used(attempt, attempt.reservation, outcome, tokens, self.pool, now)
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
        for attempt in self._attempts:
            if attempt.outcome is None:
                self.settle(attempt, Abandoned(), now)
        if not self._ended:
            self.pool.metrics.cancelled += 1
            self._end("cancelled", None, False, now)

    # Whom to ask

    def _ask_again(self, member: Member, now: float) -> Step | None:
        """Rule 2. None when the walk moves on."""
        standing = self._candidates.standings[member.index]
        not_before = standing.not_before
        held = member.benched_until > not_before or not member.breaker.admits(now, self.pool.settings.breaker)
        held = held or self._candidates.no_room(member, now) is not None
        spent = member.is_listed_only or self._candidates.is_spent(standing, now)
        if held or spent or self.deadline.at <= not_before:
            self._again = None
            return None
        if now < not_before:
            return Wait(not_before, wakes=False)
        self._again = None
        return self._start(member, now)

    def _ask_next(self, now: float) -> Step:
        """Rules 3 and 4."""
        skipped: list[tuple[Member, Skip]] = []
        chosen = self._candidates.first_eligible(now, self.request, skipped)
        if chosen is None:
            chosen = eligibility.last_resort(skipped)
        for member, skip in skipped:
            if member is not chosen:
                self._record_skip(member, skip, now)
        return self._nevertheless(now) if chosen is None else self._start(chosen, now)

    def _nevertheless(self, now: float) -> Step:
        """Rule 4."""
        if self._waiting is None:
            self._waiting = Waiting(self._candidates, self.request)
        step = self._waiting.choose(now, self.deadline.at, broke_off=self._broken is not None)
        match step:
            case Ask(member):
                return self._start(member, now, early=step.early, anyway=step.anyway)
            case Wait(until):
                if self._waiting.since is not None:
                    self.events.append(WaitingForCapacity(now, self.request, until))
                return step
        return self._give_up(now)

    def _start(
        self, member: Member, now: float, *, early: bool = False, anyway: bool = False
    ) -> Attempt | Need:
        """An attempt on the member, or what it needs first (rule 7)."""
        if self.consent is not None:
            need = self.consent.needed(member, now, anyway=anyway)
            if need is not None:
                return need
        permit = self._books.permit(member, now, early=early, anyway=anyway)
        attempt = Attempt.begin(member, self._candidates.start(member, now), permit, now, stream=self.stream)
        self._attempts.append(attempt)
        self._steps.append(attempt)
        if self.consent is not None:
            attempt.room = self.consent.take(member)
        learning.started(attempt, self.pool, now, self._candidates.demand)
        if attempt.size_class is not None:
            self._be_patient(attempt, now)
        if self.pool.queue.places:
            self._leave_queue(now)
        self._books.started(attempt, now)
        if self._broken is not None and self._shown is not None:
            self.events.append(self._broken.go_on(attempt, self._shown, self.request, now))
        return attempt

    def _be_patient(self, attempt: Attempt, now: float) -> None:
        """It gets no longer than its member's own recent answers suggest.

        Once per request: where two are late, it is likely to be the question that takes long.
        """
        limit = learning.patience(attempt, self.pool, now)
        if limit is None or (len(self._attempts) > 1 and any(one.was_hurried for one in self._attempts)):
            return
        attempt.hurry(limit)

    def _all_attempts_made(self) -> bool:
        most = self.pool.settings.retry.max_attempts
        return most is not None and len(self._attempts) >= most

    def _record_skip(self, member: Member, skip: Skip, now: float) -> None:
        """Once per member and reason: waiting and looking again is not another skip."""
        if (member.index, skip.reason) not in self._recorded:
            self._recorded.add((member.index, skip.reason))
            self._steps.append(self._books.skipped(member, skip, now))

    # Who waits

    def _announce(self, member: Member, now: float) -> None:
        """There may be room for whoever waits for this member first."""
        first = self.pool.queue.first(member.index)
        if first is not None:
            self._books.turn_came(first, now)

    def _leave_queue(self, now: float) -> None:
        for request in self.pool.queue.leave(self.request):
            self._books.turn_came(request, now)

    # What a failure means

    def _failed(self, attempt: Attempt, failure: Failure, now: float) -> None:
        said = failure.message, failure.body, failure.param
        self._causes.append(Cause(attempt.member.name, failure.kind, failure.status, *said))
        self._books.failed(attempt, failure, now)
        stays = ends_all(failure, self.pool.settings.retry)
        if self._shown is not None:
            self._broke_off(attempt, failure, self._shown, now, stays=stays)
        elif stays:
            self._is_over = True
        else:
            self._plan(attempt, failure, now)

    def _plan(self, attempt: Attempt, failure: Failure, now: float) -> None:
        """Whom the walk may ask after it; of two at once, neither takes back what the other's meant."""
        self._again = self._candidates.plan_again(attempt, failure, now) or self._again
        stands = self._blocked and (attempt.is_hedge or attempt is self._late)
        self._blocked = not self._next_allowed(attempt, failure) or stands

    def _next_allowed(self, attempt: Attempt, failure: Failure) -> bool:
        following = next_after(attempt, failure, self.pool.settings.retry, self._attempts)
        if following is Next.LARGER_WINDOW:
            self._candidates.need_larger_than(attempt.member)
        return following is not Next.NO

    def _broke_off(
        self, attempt: Attempt, failure: Failure, shown: Shown, now: float, *, stays: bool
    ) -> None:
        """After content was shown (rule 6)."""
        settings = self.pool.settings.recovery
        if attempt is self._speaker:
            self._broken = BrokenAnswer(self._causes[-1], len(self._causes), now)
        if broken_answer.has_refused_prefill(attempt, failure):
            broken_answer.forgive(attempt, self._candidates)
            return
        allowed = not stays and broken_answer.can_go_on(shown, settings)
        if not (allowed and self._next_allowed(attempt, failure)):
            self._is_over = True
            return
        if attempt is self._speaker:
            self.deadline = broken_answer.start_over(
                self._candidates, attempt.member, self._attempts, settings, now
            )
        broken_answer.put_last(attempt, failure, self._candidates, now)

    # How it ends

    def _give_up(self, now: float) -> GiveUp | AcceptEmpty:
        if not self._attempts:
            demand, fit = self._candidates.demand, self._candidates.fit
            return GiveUp(verdict.unavailable(self.pool, fit, self.began, self.trail, now, demand))
        if self._broken is not None:
            return GiveUp(self._interrupted(now))
        last = {attempt.member.index: attempt.outcome for attempt in self._attempts}
        if all(isinstance(o, Failure) and o.kind is FailureKind.EMPTY and o.terminal for o in last.values()):
            return AcceptEmpty(self._attempts[-1])
        return GiveUp(self._all_failed(now, self._not_sooner(now)))

    def _all_failed(self, now: float, least: float | None = None) -> RequestError:
        demand, fit = self._candidates.demand, self._candidates.fit
        return verdict.failed(self.pool, fit, self._causes, self.trail, now, least=least, demand=demand)

    def _not_sooner(self, now: float) -> float | None:
        """How long the caller should stay away because a limit was reached; None if none was."""
        if self._all_attempts_made():
            return self.pool.settings.retry.delay
        return self._candidates.not_sooner(now)

    def _too_late(self, now: float) -> RequestError:
        if self._broken is not None:
            return self._interrupted(now)
        return verdict.too_late(self._request_timeout, self._causes, self.trail)

    def _interrupted(self, now: float) -> RequestError:
        broken = self._broken
        assert broken is not None, "nothing broke off"
        since = self._causes[broken.causes :]
        demand, fit = self._candidates.demand, self._candidates.fit
        returns = verdict.returns_after(self.pool, fit, now, self._not_sooner(now), demand)
        return verdict.interrupted(broken.cause, since, self._causes, self.trail, returns)

    def _end(self, result: str, backend: str | None, failed_over: bool, now: float) -> None:
        self._ended = True
        if self.consent is not None:
            self.consent.give_back()
        if self.pool.queue.places:
            self._leave_queue(now)
        usd, unpriced = cost.of_attempts(self._attempts)
        self._books.events.append(
            RequestEnded(
                now,
                self.request,
                result,
                backend,
                len(self._attempts),
                failed_over,
                now - self.began,
                usd,
                unpriced > 0,
            )
        )


def _skip_entry(skipped: BackendSkipped, began: float) -> SkipEntry:
    until = None if skipped.until is None else skipped.until - began
    return SkipEntry(skipped.backend, skipped.reason, until)


def _has_lost(outcome: Outcome | None) -> bool:
    return isinstance(outcome, Abandoned) and outcome.lost
