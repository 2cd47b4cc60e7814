"""What a failure allows: the same member again, the next one, or nobody.

The table in `core.outcome` says it for each kind of failure, with these exceptions:

1. `failover_on_network_errors` off: connect errors, resets and timeouts end the walk.
2. `failover_status_codes` alone decides about the next backend, for a failure that has a status.
3. A failure that benches its member is not followed by a back-off on it; only by a wait for the bench's end,
   where the policy waits for its first (`core.candidates`).
4. A request that could not be said in a member's format was not asked: it makes nobody the first.

How its failures leave a member is its `Standing` in the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from understudy.core.outcome import RULES, Again, Failure, Next
from understudy.errors import FailureKind

if TYPE_CHECKING:
    from understudy.core.attempt import Attempt
    from understudy.core.settings import RetrySettings

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


class Standing(msgspec.Struct, eq=False):
    """How one member stands in this request: attempts made, and whether and when it may be asked again.

    `last_resort`: only if no other is left. `repeated`: a failure that allows one repeat has had it.
    `forgiven` are those attempts that do not count towards the allowed ones.
    """

    attempts: int = 0
    forgiven: int = 0
    ruled_out: bool = False
    last_resort: bool = False
    repeated: bool = False
    not_before: float = 0.0

    def __repr__(self) -> str:
        return f"<Standing after {self.attempts} attempts>"

    def is_free(self, now: float) -> bool:
        """Neither in its back-off nor a last resort."""
        return now >= self.not_before and not self.last_resort

    def has_attempts_left(self, count: int) -> bool:
        """Of so many that are allowed."""
        return not self.ruled_out and self.attempts - self.forgiven < count

    def judge(self, kind: FailureKind) -> Again:
        """What a failure's kind has to say about the same member."""
        again = RULES[kind].again
        if again is Again.NO or (again is Again.ONCE and self.repeated):
            self.ruled_out = True
        self.repeated = self.repeated or again is Again.ONCE
        return again


def ends_all(failure: Failure, retry: RetrySettings) -> bool:
    """Rule 1."""
    return failure.kind in _NETWORK and not retry.on_network_errors


def bench_seconds(failure: Failure) -> float | None:
    """For how long the member asked to be left alone, where that is heeded (rule 3)."""
    return failure.retry_after if failure.kind in _BENCHING else None


def next_after(attempt: Attempt, failure: Failure, retry: RetrySettings, all_: Sequence[Attempt]) -> Next:
    """Is the next one asked? YES, NO, or only one with a LARGER_WINDOW; `all_` are the request's attempts.

    There are three cases: the operator's statuses decide, who was asked first, the kind.
    """
    status = failure.deciding_status()
    if retry.status_codes is not None and status is not None:
        return Next.YES if status in retry.status_codes else Next.NO
    following = RULES[failure.kind].next
    if following is Next.NOT_FROM_FIRST:
        return Next.NO if attempt.member is _first_asked(all_).member else Next.YES
    return following


def _first_asked(attempts: Sequence[Attempt]) -> Attempt:
    return next(attempt for attempt in attempts if not _was_not_sent(attempt))


def _was_not_sent(attempt: Attempt) -> bool:
    """Rule 4."""
    match attempt.outcome:
        case Failure(kind=FailureKind.UNFIT, status=None, in_stream=False):
            return True
    return False
