"""A second attempt besides the only one, while that says nothing.

1. Once per request: after `hedge` says so, a fixed time or a percentile of the member's own first contents,
   of which `ENOUGH_TO_BE_LATE` must be known, else of all members' together. Those of streams alone: whole
   answers take several times as long. Since the start: by its latest alone, a member that has become slower
   would soon not be late any more. Never for an attempt that goes on with a broken answer, nor for one whose
   answer is not streamed, unless it is a probe or a trial (2): nobody knows when such an answer is late.
2. Within the pool's budget for it (`core.budget`), the request's attempts and its deadline. The hedge of a
   probe, or of a trial of a member that has been silent (`core.silence`), is made at once, whatever the
   budget; after a start that such a member needs to be heard, if it has lost races before.
3. It is made on the first member in the policy's order that was not asked yet, whose circuit is closed and
   that nothing else speaks against.

Whoever speaks first goes on, the other is told that it lost (`runtime.race`). So is `core.silence`, if that
was the late one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from understudy.core import learning
from understudy.core.breaker import State
from understudy.core.events import FellSilent, Hedged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from understudy.core.attempt import Attempt
    from understudy.core.candidates import Candidates
    from understudy.core.member import Member
    from understudy.core.pool import Pool

ENOUGH_TO_BE_LATE = 20
"""So many first contents a percentile needs."""


def late_at(attempt: Attempt, pool: Pool, now: float) -> float | None:
    """When the attempt is late, if it has said nothing until then; None: never (rules 1 and 2)."""
    settings = pool.settings.hedge
    if not settings.is_on or attempt.way is not None or not (attempt.stream or _is_in_doubt(attempt)):
        return None
    after = settings.after if settings.percentile is None else _usual(attempt, settings.percentile, pool)
    if _is_in_doubt(attempt):
        after = attempt.member.health.silence.start(after)
    return None if after is None else now + after


def _usual(attempt: Attempt, percent: int, pool: Pool) -> float | None:
    """Seconds; None if too little is known."""
    for starts in (attempt.member.health.starts, pool.metrics.starts):
        if starts.count >= ENOUGH_TO_BE_LATE:
            return starts.lately(percent)
    return None


def _is_in_doubt(attempt: Attempt) -> bool:
    return attempt.permit.probe or attempt.is_trial


def has_budget(late: Attempt, pool: Pool, now: float) -> bool:
    """Rule 2."""
    return _is_in_doubt(late) or pool.hedges.allows(now, pool.settings.hedge.budget)


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


def lost(
    late: Attempt, attempts: Sequence[Attempt], pool: Pool, request: int, now: float
) -> Iterator[FellSilent]:
    """The late one of two has lost; of the request's `attempts` the winner is the only one that has begun."""
    for winner in attempts:
        if winner.committed_at is not None and late.committed_at is None:
            won_in = winner.committed_at - winner.started_at
            if learning.lost_race(late, won_in, pool, now):
                silence = late.member.health.silence
                yield FellSilent(now, request, late.member.name, silence.lost, silence.until - now)


def _is_healthy(member: Member, candidates: Candidates, now: float) -> bool:
    closed = member.breaker.state(now, candidates.pool.settings.breaker) is State.CLOSED
    return closed and candidates.check(member, now) is None
