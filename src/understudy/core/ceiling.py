"""An operator's ceilings of one member, and what each attempt takes of them.

1. Ceilings are passed by no more than what estimates were wrong by. Windows are those of the last minute
   (`core.sliding`).
2. An attempt reserves the tokens of its prompt, and the most that its answer may have, when it begins. When
   it ends, what it really used takes the place of that: what it did not use is free again at once.
3. Of an attempt without an account of its tokens, a refusal has used none. One that was cut off, or given up,
   has used its prompt: the backend will have read it.
4. What was never sent (no connection, a request that can't be written) was no attempt in the minute's count.
5. Where a pool is shared, tokens and requests are limited for all together as well: what the others said last
   (`Full`) stands against an attempt that needs as much (`core.consent`).
6. Takeovers are attempts that step in for another member: one that failed in the same request, or that was
   passed over, better ranked, for its health.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from understudy.core.outcome import Failure, Outcome, Tokens, prompt_was_read
from understudy.core.skip import Skip
from understudy.errors import FailureKind, SkipReason

if TYPE_CHECKING:
    from understudy.core.demand import Demand
    from understudy.core.member import Member
    from understudy.core.settings import Ceilings
    from understudy.core.sliding import Portion

_NEVER_SENT = frozenset((FailureKind.CONNECT, FailureKind.UNFIT))


class Full(NamedTuple):
    """What those who share the pool said: no room for `least` tokens before `until`.

    It holds until `asked_again_at`; then they are asked again.
    """

    reason: SkipReason
    until: float
    asked_again_at: float
    least: float = 0.0

    def holds(self, member: Member, now: float, demand: Demand) -> bool:
        """But against whom there was room for before."""
        if now >= self.asked_again_at or member in demand.rooms:
            return False
        return demand.most(member.settings.facts) >= self.least


def check(member: Member, ceilings: Ceilings, now: float, demand: Demand) -> Skip | None:
    """Which ceiling stands against one more attempt, if any does."""
    health = member.health
    if ceilings.concurrency is not None and member.metrics.in_flight >= ceilings.concurrency:
        return Skip(SkipReason.CONCURRENCY)
    if ceilings.requests is not None:
        room_at = health.asked.room_at(now, 1, ceilings.requests)
        if room_at > now:
            return Skip(SkipReason.RPM_LIMIT, room_at)
    if ceilings.tokens is not None:
        room_at = health.tokens.room_at(now, demand.most(member.settings.facts), ceilings.tokens)
        if room_at > now:
            return Skip(SkipReason.TPM_LIMIT, room_at)
    full = health.full
    if full is not None and full.holds(member, now, demand):
        return Skip(full.reason, full.until)
    if ceilings.takeovers is not None and demand.takes_over:
        room_at = health.taken_over.room_at(now, 1, ceilings.takeovers)
        if room_at > now:
            return Skip(SkipReason.FAILOVER_BUDGET, room_at)
    return None


class Reservation(msgspec.Struct, frozen=True):
    """What one attempt has taken of its member's ceilings."""

    prompt: int
    tokens: int
    of_tokens: Portion
    of_asked: Portion


class Used(NamedTuple):
    """What one attempt used of its member's ceilings in the end."""

    tokens: int
    requests: int


def reserve(member: Member, now: float, demand: Demand) -> Reservation:
    """An attempt begins."""
    health, limited = member.health, member.settings.ceilings
    prompt = reserved = 0
    if limited is not None and limited.tokens is not None:
        facts = member.settings.facts
        prompt = demand.prompt(facts)
        reserved = prompt + demand.answer(facts)
    if demand.takes_over:
        health.taken_over.add(now, 1)
    return Reservation(prompt, reserved, health.tokens.add(now, reserved), health.asked.add(now, 1))


def settle(
    member: Member, reserved: Reservation, outcome: Outcome, tokens: Tokens | None, now: float
) -> Used:
    """The attempt has ended (rules 2 to 4); returns what it used in the end."""
    health = member.health
    used = _prompt_used(reserved, outcome) if tokens is None else tokens.input + tokens.output
    if used > reserved.tokens:
        health.tokens.add(now, used - reserved.tokens)
    else:
        health.tokens.revise(now, reserved.of_tokens, used - reserved.tokens)
    if isinstance(outcome, Failure) and outcome.kind in _NEVER_SENT:
        health.asked.revise(now, reserved.of_asked, -1)
        return Used(used, 0)
    return Used(used, 1)


def _prompt_used(reserved: Reservation, outcome: Outcome) -> int:
    return reserved.prompt if prompt_was_read(outcome) else 0
