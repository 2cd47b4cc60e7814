"""An answer that broke off after the caller was shown some of it: how the walk goes on with it.

Who may go on, and in which way, says `core.recovery`. Besides:

1. What was shown is never begun again. Where the failure allows nobody else, or recovery is off, or what was
   shown cannot be matched, the walk ends.
2. The walk starts over among those who may go on, and with attempts of its own, until `recovery_timeout_ms`
   after the break. A later break is a new start for the clock alone.
3. Those that broke it off come last.
4. A member that refuses a prefilled answer is not blamed for it, and is asked for a replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from understudy.core import recovery
from understudy.core.deadline import Deadline
from understudy.core.events import RecoveryStarted
from understudy.core.recovery import Way
from understudy.core.standing import bench_seconds
from understudy.errors import Cause, FailureKind

if TYPE_CHECKING:
    from understudy.core.attempt import Attempt
    from understudy.core.candidates import Candidates
    from understudy.core.member import Member
    from understudy.core.outcome import Failure
    from understudy.core.recovery import Shown
    from understudy.core.settings import RecoverySettings

_PREFILL_REFUSED = frozenset((FailureKind.INVALID_REQUEST, FailureKind.UNFIT))


class BrokenAnswer:
    """Where an answer broke off, and when; `causes` were known before. None has gone on with it so far."""

    __slots__ = ("at", "cause", "causes")

    def __init__(self, cause: Cause, causes: int, at: float) -> None:
        self.cause = cause
        self.causes = causes
        self.at = at

    def __repr__(self) -> str:
        return f"<BrokenAnswer by {self.cause.backend}>"

    def go_on(self, attempt: Attempt, shown: Shown, request: int, now: float) -> RecoveryStarted:
        """The attempt is to go on with it."""
        way = attempt.way = recovery.way_of(attempt.member, shown)
        backend = self.cause.backend
        return RecoveryStarted(now, request, backend, shown.tokens, attempt.member.name, str(way))


def can_go_on(shown: Shown, settings: RecoverySettings) -> bool:
    """Rule 1, but for what the failure allows."""
    return settings.scope != "off" and shown.can_be_matched


def start_over(
    candidates: Candidates,
    speaker: Member,
    attempts: Sequence[Attempt],
    settings: RecoverySettings,
    now: float,
) -> Deadline:
    """Rule 2. Returns the deadline for going on."""
    if all(attempt.way is None for attempt in attempts):
        candidates.start_over(lambda member: recovery.may_go_on(member, speaker, settings.scope))
    return Deadline(now + settings.timeout, "recovery_timeout_ms")


def put_last(attempt: Attempt, failure: Failure, candidates: Candidates, now: float) -> None:
    """Rule 3."""
    standing = candidates.standings[attempt.member.index]
    standing.judge(failure.kind)
    standing.last_resort = True
    if bench_seconds(failure) is None:
        standing.not_before = candidates.rested_at(attempt, now)


def has_refused_prefill(attempt: Attempt, failure: Failure) -> bool:
    return attempt.way is Way.CONTINUATION and failure.kind in _PREFILL_REFUSED


def forgive(attempt: Attempt, candidates: Candidates) -> None:
    """Rule 4."""
    attempt.member.health.refuses_prefill = True
    candidates.standings[attempt.member.index].forgiven += 1
