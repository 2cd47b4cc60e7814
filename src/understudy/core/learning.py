"""What a member's health and the policy learn of an attempt, besides what `core.books` enters.

Each fact is told to whoever may want it: the policy; the member's slow start; its patience, if its clock is
adaptive; its ceilings, if it has any; its silence, if it has lost a race.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from understudy.core import ceiling
from understudy.core.slow_start import SlowStart
from understudy.errors import FailureKind

if TYPE_CHECKING:
    from understudy.core.attempt import Attempt
    from understudy.core.ceiling import Reservation, Used
    from understudy.core.consent import Taken
    from understudy.core.demand import Demand
    from understudy.core.fleet import Fleet
    from understudy.core.outcome import Failure, Outcome, Tokens
    from understudy.core.pool import Pool


def started(attempt: Attempt, pool: Pool, now: float, demand: Demand) -> None:
    """An attempt begins."""
    member, settings = attempt.member, attempt.settings
    pool.policy.picked(member, pool.members, now, demand)
    if settings.ceilings is not None:
        attempt.reservation = ceiling.reserve(member, now, demand)
    if settings.adaptive and attempt.stream:
        attempt.size_class = member.health.patience.of(now, demand.size)
    if member.health.silence.lost:
        attempt.is_trial = member.health.silence.tried(now, pool.settings.breaker.recovery_timeout)


def patience(attempt: Attempt, pool: Pool, now: float) -> float | None:
    """The member's own limit for the first content, where it is shorter than its setting.

    None where none is known, and where everything is slow.
    """
    limit = None if attempt.size_class is None else attempt.size_class.limit(now)
    if limit is None or limit >= attempt.limit or pool.strain.is_general(now, len(pool.members)):
        return None
    return limit


def began(attempt: Attempt, seconds: float, bucket: int, pool: Pool, now: float, demand: Demand) -> None:
    """Its first content came, after so many seconds, which are of this bucket of `core.latency`."""
    member, health = attempt.member, attempt.member.health
    pool.policy.began(member, now, seconds, demand)
    if health.silence.lost:
        _heard(attempt, seconds)
    if attempt.permit.closed_into is not None:
        health.slow_start = _slow_start(pool, now)
    elif health.slow_start is not None:
        health.slow_start = _eased(health.slow_start, now)
    if attempt.size_class is not None:
        attempt.size_class.began(now, bucket)
        pool.strain.began(member.index)


def failed(attempt: Attempt, failure: Failure, pool: Pool, now: float) -> None:
    """It came to nothing, or broke off."""
    member, health = attempt.member, attempt.member.health
    member.metrics.broken += attempt.committed_at is not None
    if not failure.blames_backend:
        return
    longest = attempt.settings.timeouts.first_content
    pool.policy.failed(member, now, attempt.asked_until(now) - attempt.started_at, longest)
    if health.slow_start is not None:
        health.slow_start.failed(now, member.metrics.in_flight)
    if failure.kind is FailureKind.TIMEOUT and attempt.size_class is not None:
        attempt.size_class.cut(now, now - attempt.started_at)
        if attempt.patience is not None:
            pool.strain.cut(member.index, now)


def abandoned(attempt: Attempt, pool: Pool, now: float) -> None:
    """It was cut short by nobody's fault."""
    if attempt.committed_at is not None:
        return
    seconds = now - attempt.started_at
    pool.policy.gave_up(attempt.member, now, seconds, stream=attempt.stream)
    if attempt.size_class is not None:
        attempt.size_class.cut(now, seconds)


def room_used(
    attempt: Attempt, reserved: Reservation, outcome: Outcome, tokens: Tokens | None, pool: Pool, now: float
) -> None:
    """It has ended, however it did: what it used of its member's ceilings."""
    used = ceiling.settle(attempt.member, reserved, outcome, tokens, now)
    if attempt.room is not None and pool.fleet is not None:
        _tell(attempt, attempt.room, used, pool.fleet)


def _heard(attempt: Attempt, seconds: float) -> None:
    """Who has lost races has said something, whenever it began to."""
    silence = attempt.member.health.silence
    if attempt.stream:
        silence.spoke(seconds)
    elif attempt.is_trial:
        silence.forget()


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


def _slow_start(pool: Pool, now: float) -> SlowStart | None:
    lasts = pool.settings.routing.slow_start
    return SlowStart(now, lasts, pool.settings.breaker.half_open_max) if lasts else None


def _eased(start: SlowStart, now: float) -> SlowStart | None:
    """One more first content; None when it has been long enough."""
    start.succeeded()
    return None if start.is_over(now) else start
