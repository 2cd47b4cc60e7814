"""What a member's health and the policy learn of an attempt, besides breaker, window and metrics.

Each fact is told to whoever may want it: the policy; the member's history; its slow start; its patience, if
its clock is adaptive; its ceilings, if it has any; its silence, if it has lost a race;
what has been spent on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from understudy.core import ceiling, cost
from understudy.core.outcome import Failure, Success
from understudy.core.slow_start import SlowStart
from understudy.errors import FailureKind

if TYPE_CHECKING:
    from understudy.core.attempt import Attempt, Tokens
    from understudy.core.ceiling import Used
    from understudy.core.consent import Taken
    from understudy.core.demand import Demand
    from understudy.core.fleet import Fleet
    from understudy.core.outcome import Outcome
    from understudy.core.pool import Pool


def started(attempt: Attempt, pool: Pool, now: float, demand: Demand) -> None:
    """An attempt begins."""
    member, settings = attempt.member, attempt.settings
    pool.policy.picked(member, pool.members, now, demand)
    if settings.ceilings is not None:
        attempt.reservation = ceiling.reserve(member, now, demand)
    if member.health.silence.lost:
        attempt.is_trial = member.health.silence.tried(now, pool.settings.breaker.recovery_timeout)


def patience(attempt: Attempt, pool: Pool, now: float, demand: Demand) -> float | None:
    """The member's own limit for the first content, where it is shorter than its setting.

    None where none is known, and where everything is slow.
    """
    if not attempt.stream:
        return None
    limit = attempt.member.health.patience.limit(now, demand.size)
    if limit is None or limit >= attempt.limit or pool.strain.is_general(now, len(pool.members)):
        return None
    return limit


def began(attempt: Attempt, pool: Pool, now: float, demand: Demand) -> None:
    """Its first content came."""
    member, seconds = attempt.member, now - attempt.started_at
    pool.policy.began(member, now, seconds, demand)
    member.health.history.began(now, seconds)
    if member.health.silence.lost:
        member.health.silence.spoke(seconds)
    if attempt.permit.closed_into is not None:
        member.health.slow_start = _slow_start(pool, now)
    elif member.health.slow_start is not None:
        member.health.slow_start = _eased(member.health.slow_start, now)
    if attempt.settings.adaptive and attempt.stream:
        member.health.patience.began(now, demand.size, seconds)
        pool.strain.began(member.index)


def ended(
    attempt: Attempt, outcome: Outcome, tokens: Tokens | None, pool: Pool, now: float, demand: Demand
) -> None:
    """It ended, however it did."""
    attempt.member.health.history.ended(now, outcome)
    cost.ended(attempt, outcome, tokens, demand)
    if attempt.reservation is not None:
        used = ceiling.settle(attempt.member, attempt.reservation, outcome, tokens, now)
        if attempt.room is not None and pool.fleet is not None:
            _tell(attempt, attempt.room, used, pool.fleet)
    if isinstance(outcome, Success):
        return
    if isinstance(outcome, Failure):
        attempt.member.metrics.broken += attempt.committed_at is not None
        _failed(attempt, outcome, pool, now, demand)
    elif attempt.committed_at is None:
        _given_up(attempt, pool, now, demand)


def lost_race(late: Attempt, won_in: float, pool: Pool, now: float) -> bool:
    """It has lost without a word to a hedge that needed so long. True if its member is asked last now."""
    lasts = pool.settings.breaker.recovery_timeout
    return late.member.health.silence.lost_race(now, won_in, lasts)


def _tell(attempt: Attempt, room: Taken, used: Used, fleet: Fleet) -> None:
    """The others hear what it used beyond what they know, or less; who was refused may look again."""
    more = used.tokens - room.tokens, used.requests - room.requests
    fleet.spend(attempt.member.identity, room.at, *more, room.second)
    if more < (0, 0):
        attempt.member.health.full = None


def _failed(attempt: Attempt, failure: Failure, pool: Pool, now: float, demand: Demand) -> None:
    if not failure.blames_backend:
        return
    member = attempt.member
    longest = attempt.settings.timeouts.first_content
    pool.policy.failed(member, now, attempt.asked_until(now) - attempt.started_at, longest)
    if member.health.slow_start is not None:
        member.health.slow_start.failed(now, member.metrics.in_flight)
    if failure.kind is FailureKind.TIMEOUT and attempt.settings.adaptive and attempt.stream:
        member.health.patience.cut(now, demand.size, now - attempt.started_at)
        if attempt.patience is not None:
            pool.strain.cut(member.index, now)


def _given_up(attempt: Attempt, pool: Pool, now: float, demand: Demand) -> None:
    seconds = now - attempt.started_at
    pool.policy.gave_up(attempt.member, now, seconds)
    if attempt.settings.adaptive and attempt.stream:
        attempt.member.health.patience.cut(now, demand.size, seconds)


def _slow_start(pool: Pool, now: float) -> SlowStart | None:
    lasts = pool.settings.routing.slow_start
    return SlowStart(now, lasts, pool.settings.breaker.half_open_max) if lasts else None


def _eased(start: SlowStart, now: float) -> SlowStart | None:
    """One more first content; None when it has been long enough."""
    start.succeeded()
    return None if start.is_over(now) else start
