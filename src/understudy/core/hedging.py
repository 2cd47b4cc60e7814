"""A second attempt besides a stream's only one, while that says nothing.

1. Once per request: after `hedge` says so, a fixed time or a percentile of the member's own first contents,
   of which `ENOUGH_TO_BE_LATE` must be known; a probe is hedged at once. Never for an attempt that goes on
   with a broken answer.
2. Within the pool's budget for it (`core.budget`), the request's attempts and its deadline; a probe's hedge
   whatever the budget.
3. It is made on the first member in the policy's order that was not asked yet, whose circuit is closed and
   that nothing else speaks against.

Whoever speaks first goes on, the other is told that it lost (`runtime.race`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from understudy.core.breaker import State
from understudy.core.events import Hedged

if TYPE_CHECKING:
    from understudy.core.attempt import Attempt
    from understudy.core.candidates import Candidates
    from understudy.core.member import Member
    from understudy.core.pool import Pool
    from understudy.core.settings import HedgeSettings

ENOUGH_TO_BE_LATE = 20
"""So many first contents a percentile needs."""


def late_at(attempt: Attempt, settings: HedgeSettings, now: float) -> float | None:
    """When the attempt is late, if it has said nothing until then; None: never (rule 1)."""
    if not settings.is_on or not attempt.stream or attempt.way is not None:
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


def has_budget(late: Attempt, pool: Pool, now: float) -> bool:
    """Rule 2."""
    return late.permit.probe or pool.hedges.allows(now, pool.settings.hedge.budget)


def second(candidates: Candidates, now: float) -> Member | None:
    """Who is asked besides; None if nobody may be (rule 3)."""
    candidates.demand.takes_over = True
    for member in candidates.order:
        if member.index not in candidates.standings and _is_healthy(member, candidates, now):
            return member
    return None


def start(late: Attempt, member: Member, pool: Pool, request: int, now: float) -> Hedged:
    """The member is about to be asked besides."""
    pool.hedges.spend(now)
    pool.metrics.hedged += 1
    member.metrics.hedged += 1
    return Hedged(now, request, late.member.name, now - late.started_at, member.name)


def _is_healthy(member: Member, candidates: Candidates, now: float) -> bool:
    closed = member.breaker.state(now, candidates.pool.settings.breaker) is State.CLOSED
    return closed and candidates.check(member, now) is None
