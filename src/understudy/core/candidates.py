"""The members as one request sees them: in the policy's order, and how each of them stands.

1. The policy ranks once, when the request begins. The first one is asked that is eligible
   (`core.eligibility`) and has attempts left. Members below the rate floor, or with nothing left by their
   provider's account, come after all others. No member is asked again before its back-off is over, nor one
   that could not be connected to while another is left; nor one that another request waits for already.
2. Each is asked at most `failover_retry_count` times, and only while it is not ruled out (`core.standing`).
   Asking again takes room in the pool's budget for that (`core.budget`); switching is free.
3. Who failed is asked again first, after the back-off, where its failure allows it. A short Retry-After of
   the first-ranked member takes the back-off's place, if the policy waits for its first.
4. A member whose context window was too small rules out all others that are no larger; one of unknown
   window rules out only itself.
5. A member whose model can't take the request is never asked, waited for nor probed. What the request
   needs is looked at only where something is known of a member's model (`core.fit`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from understudy.core import backoff, eligibility
from understudy.core.outcome import Again, Failure
from understudy.core.skip import Skip
from understudy.core.standing import Standing, bench_seconds
from understudy.errors import SkipReason

if TYPE_CHECKING:
    from understudy.core.attempt import Attempt
    from understudy.core.demand import Demand
    from understudy.core.fit import Fit
    from understudy.core.member import Member
    from understudy.core.pool import Pool

_UNWELL = frozenset((SkipReason.BENCHED, SkipReason.CIRCUIT_OPEN, SkipReason.PROBE_IN_FLIGHT))


class Candidates(msgspec.Struct, eq=False):
    """One request's. `standings` has those that were asked, by their index."""

    pool: Pool
    demand: Demand
    fit: Fit | None
    order: Sequence[Member]
    standings: dict[int, Standing] = msgspec.field(default_factory=dict)
    _larger_than: int | None = None
    _unretried: bool = False

    def __repr__(self) -> str:
        return f"<Candidates of {self.pool.profile}, {len(self.standings)} asked>"

    # Who may be asked

    def first_eligible(self, now: float, request: int, skipped: list[tuple[Member, Skip]]) -> Member | None:
        """Rule 1. Who was passed over is put into `skipped`, with the reason."""
        settings, standings = self.pool.settings, self.standings
        larger_than, fit, demand = self._larger_than, self.fit, self.demand
        queue = self.pool.queue
        demand.takes_over = bool(standings)
        for member in self.order:
            standing = standings.get(member.index)
            if standing is not None and self.is_spent(standing, now):
                continue
            skip = eligibility.check(member, now, settings, larger_than, fit, demand)
            if skip is None or skip.is_soft:
                if standing is not None and not standing.is_free(now):
                    continue
                if queue.places and not queue.may_take(request, member.index):
                    skip = Skip(SkipReason.QUEUED)
                if skip is None:
                    return member
            elif skip.reason in _UNWELL:
                demand.takes_over = True
            skipped.append((member, skip))
        return None

    def askable(self, now: float) -> list[tuple[Member, Standing]]:
        """Members this request may still ask, now or later, in the policy's order, last resorts last."""
        askable = []
        for member in self.order:
            standing = self.standings.get(member.index) or Standing()
            if member.is_listed_only or self.is_spent(standing, now):
                continue
            if eligibility.unfit(member, self._larger_than, self.fit) is None:
                askable.append((member, standing))
        return sorted(askable, key=lambda pair: pair[1].last_resort)

    def has_another(self, member: Member, now: float) -> bool:
        """Could another member take over from this one?"""
        self.demand.takes_over = True
        for other in self.order:
            standing = self.standings.get(other.index)
            if other is member or (standing is not None and self.is_spent(standing, now)):
                continue
            skip = self.check(other, now)
            if skip is None or skip.is_soft:
                return True
        return False

    def check(self, member: Member, now: float) -> Skip | None:
        """Why this request may not ask the member now, whatever its standing; None if it may."""
        return eligibility.check(member, now, self.pool.settings, self._larger_than, self.fit, self.demand)

    def can_serve(self, member: Member, now: float) -> bool:
        """May the member be asked, if only as the last resort?"""
        return eligibility.can_serve(member, now, self.pool.settings, self._larger_than, self.demand)

    def no_room(self, member: Member, now: float) -> Skip | None:
        """Why the member is to have no more for now, if it is not."""
        return eligibility.no_room(member, now, self.demand)

    # How they stand

    def start(self, member: Member, now: float) -> int:
        """The member is asked; returns the number of the attempt on it."""
        standing = self.standings.setdefault(member.index, Standing())
        if standing.attempts:
            self.pool.retries.spend(now)
        standing.attempts += 1
        return standing.attempts

    def is_spent(self, standing: Standing, now: float) -> bool:
        """May the member not be asked any more? (rule 2)"""
        retry = self.pool.settings.retry
        if not standing.has_attempts_left(retry.count):
            return True
        return bool(standing.attempts) and not self.pool.retries.allows(now, retry.budget)

    def plan_again(self, attempt: Attempt, failure: Failure, now: float) -> Member | None:
        """Rule 3: who is to be asked again, and not before its standing allows it; None if nobody."""
        standing = self.standings[attempt.member.index]
        again = standing.judge(failure.kind)
        standing.last_resort = again is Again.LAST_RESORT
        if self.is_spent(standing, now):
            if standing.has_attempts_left(self.pool.settings.retry.count) and not standing.last_resort:
                self._count_unretried()
            return None
        if bench_seconds(failure) is None:
            standing.not_before = self.rested_at(attempt, now)
        elif self._waits_out(attempt.member, now):
            standing.not_before = attempt.member.benched_until
        else:
            return None
        return None if standing.last_resort else attempt.member

    def rested_at(self, attempt: Attempt, now: float) -> float:
        """When the back-off after this attempt is over."""
        return now + backoff.delay(self.pool.settings.retry.delay, attempt.number, self.demand.chance())

    def need_larger_than(self, member: Member) -> None:
        """Rule 4."""
        self._larger_than = max(self._larger_than or 0, member.settings.facts.context_limit or 0)

    def start_over(self, may_go_on: Callable[[Member], bool]) -> None:
        """Among these only, and with attempts of their own."""
        self.order = [member for member in self.order if may_go_on(member)]
        for standing in self.standings.values():
            standing.forgiven = standing.attempts

    def not_sooner(self, now: float) -> float | None:
        """How long the caller should stay away because the budget is used up; None if it is not."""
        retry = self.pool.settings.retry
        left = any(standing.has_attempts_left(retry.count) for standing in self.standings.values())
        if left and not self.pool.retries.allows(now, retry.budget):
            self._count_unretried()
            return self.pool.retries.eases_at(now) - now
        return None

    def _waits_out(self, member: Member, now: float) -> bool:
        """Is this the first-ranked member's short Retry-After?

        The bench is judged, not the header: another request's may have made it longer.
        """
        return (
            self.pool.policy.waits_for_first
            and member is self.order[0]
            and member.benched_until <= now + self.pool.settings.retry.retry_after_max
        )

    def _count_unretried(self) -> None:
        """Once per request."""
        self.pool.metrics.unretried += not self._unretried
        self._unretried = True
