"""What a pool knows of the others that share it, and what it has to tell them.

The pool decides by what its own members hold, as if it were alone. At each beat the runtime takes a `report`
to the store and brings back a `Picture` for `heed`. Rules:

1. What is told is what the pool has and the store is not known to have. So what was lost on the way is told
   again, and a store that has lost its memory learns all of it anew.
2. What is heard is joined with what is held (`core.shared`): nothing is ever shortened or undone by hearsay,
   but by a higher epoch. It is offered to the breaker again at each beat, which may have had reason to wait.
3. A store that began anew, or went back to an earlier change, is known to have nothing.
4. What an operator did is told until it has arrived once. Until then no other's word moves the member.
5. A lease that no probe needs any more is returned; one that was given and not used, at the next beat.
6. A circuit that another process closed is eased in here too (`core.slow_start`).
7. Of what attempts took of ceilings, and gave back, the store hears once: what may have been lost on the way
   is told again if it was taken, and not if it was given back. So a ceiling is rather too low than too high.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from understudy.core.breaker import State
from understudy.core.events import Event, VerdictAdopted
from understudy.core.policies.failover_sticky import FailoverSticky
from understudy.core.shared import (
    Cursor,
    Picture,
    Pin,
    Record,
    Report,
    Told,
    Usage,
    joined,
    moved,
)
from understudy.core.sliding import SPAN
from understudy.core.slow_start import SlowStart

if TYPE_CHECKING:
    from understudy.core.member import Member
    from understudy.core.pool import Pool

LEAST = 0.001
"""Deadlines that differ by less are the same."""


class _Known(NamedTuple):
    """What the store is known to have, by our clock."""

    change: int
    record: Record


class _Act(NamedTuple):
    member: str
    action: str
    id: str


class Spent(msgspec.Struct):
    """Of a member's ceilings, in one second."""

    tokens: float = 0.0
    requests: float = 0.0


class Fleet:
    """`name` tells this process from all others."""

    def __init__(self, pool: Pool, name: str) -> None:
        self.name = name
        self.spent: dict[tuple[str, float, int], Spent] = {}
        self._known: dict[str, _Known] = {}
        self._resets: dict[str, int] = {}
        self._leases: dict[str, str] = {}
        self._returned: dict[str, str] = {}
        self._acts: list[_Act] = []
        self._numbers = 0
        self._cursor = Cursor()
        self._pin = Pin()
        self.bind(pool)

    def __repr__(self) -> str:
        return f"<Fleet of {self.pool!r}, {len(self._known)} known>"

    def bind(self, pool: Pool) -> None:
        """The pool that is served from now on: what is known of members is looked at again."""
        self.pool = pool
        self._members = {member.identity: member for member in pool.members}
        self._stays = _stays(pool)
        for member in pool.members:
            member.breaker.is_shared = True
        self._acts = [act for act in self._acts if act.member in self._members]
        self._forget()

    # Telling

    def report(self, now: float, *, whole: bool = False) -> Report:
        """`whole`: hear all that the store has, and not only what is new (rule 1)."""
        self._look_at_pin()
        acts = [self._told(act.member, now, act) for act in self._acts]
        acted = {told.member for told in acts}
        news = (self._news(member, now) for member in self._members.values() if member.identity not in acted)
        cursor = Cursor() if whole else self._cursor
        return Report(cursor, (*acts, *(told for told in news if told is not None)), self._pin)

    def acted(self, member: Member, action: str) -> None:
        """An operator has taken the member in hand, and it has obeyed already."""
        self._numbers += 1
        self._acts.append(_Act(member.identity, action, f"{self.name}.{self._numbers}"))
        member.breaker.epoch += 1
        if action == "reset":
            self._resets[member.identity] = self.resets_of(member.identity) + 1

    # Hearing

    def heed(self, report: Report, picture: Picture, now: float) -> list[Event]:
        """The answer to this report; the facts that follow from it."""
        if picture.cursor.born != self._cursor.born or picture.cursor.change < self._cursor.change:
            self._forget()
        self._cursor = picture.cursor
        arrived = {told.action_id for told in report.told}
        self._acts = [act for act in self._acts if act.id not in arrived]
        self._forget_returned(report)
        if report.cursor == Cursor():  # what is not in a whole picture is not there
            self._known = {member: self._known[member] for member in picture.records if member in self._known}
        for identity, (change, record) in picture.records.items():
            known = self._known.get(identity)
            if identity in self._members and (known is None or known.change != change):
                self._learn(identity, change, moved(record, now), now)
        self._heed_pin(picture.pin, now)
        return list(self._obey_all(now))

    def resets_of(self, identity: str) -> int:
        """How often operators have reset the member, as far as we know."""
        return self._resets.get(identity, 0)

    @property
    def has_moved(self) -> bool:
        """Do requests stay with another member than the others know?"""
        return _stays(self.pool) != self._stays

    # Leases

    def lease(self, member: Member) -> str:
        """A name for the leave to probe it, which is about to be asked for; the one that we may have yet."""
        if member.identity not in self._leases:
            self._numbers += 1
            self._leases[member.identity] = f"{self.name}.{self._numbers}"
        return self._leases[member.identity]

    def asks(self, member: Member, until: float) -> None:
        """The leave to probe it is being asked for: nobody else here does so meanwhile."""
        member.breaker.is_asking = True
        member.breaker.elsewhere_until = until

    def asks_no_more(self, member: Member) -> None:
        """With an answer, or without one."""
        if member.breaker.is_asking:
            member.breaker.is_asking = False
            member.breaker.elsewhere_until = 0.0

    def has_lease(self, member: Member, now: float) -> None:
        """It was given; or nobody answers, and we go by ourselves."""
        breaker = member.breaker
        breaker.is_asking = False
        breaker.elsewhere_until = 0.0
        breaker.leased_until = now + breaker.lease_seconds(self.pool.settings.breaker)

    def is_refused(self, member: Member, seconds: float, now: float) -> None:
        """Another has it for so long."""
        self._leases.pop(member.identity, None)
        member.breaker.is_asking = False
        member.breaker.elsewhere_until = now + seconds

    # Ceilings

    def spend(self, member: str, at: float, tokens: float, requests: float, second: int = 0) -> None:
        """An attempt that began at this instant, in the store's `second`, took so much, or gave it back."""
        spent = self.spent.setdefault((member, at // 1.0, second), Spent())
        spent.tokens += tokens
        spent.requests += requests

    def take_spent(self, now: float) -> dict[str, list[Usage]]:
        """By member; none of it is known here any more."""
        spent, self.spent = self.spent, {}
        usage: dict[str, list[Usage]] = {}
        for (member, at, second), amount in spent.items():
            if now - at <= SPAN and (amount.tokens or amount.requests):
                told = Usage(now - at, amount.tokens, amount.requests, second)
                usage.setdefault(member, []).append(told)
        return usage

    def put_back(self, member: str, usage: Iterable[Usage], now: float) -> None:
        """It may not have arrived (rule 7)."""
        for ago, tokens, requests, second in usage:
            self.spend(member, now - ago, max(0.0, tokens), max(0.0, requests), second)

    def looks_again(self, now: float) -> bool:
        """Is there a refusal that has been long enough ago to ask again?"""
        over = [
            member
            for member in self._members.values()
            if member.health.full is not None and now >= member.health.full.asked_again_at
        ]
        for member in over:
            member.health.full = None
        return bool(over)

    # Inside

    def _forget(self) -> None:
        self._cursor = Cursor()
        self._known = {}

    def _own(self, member: Member) -> Record:
        verdict = member.breaker.verdict(self.pool.settings.breaker)
        verdict = verdict._replace(drained=member.health.drained)
        return Record(verdict, self.resets_of(member.identity), member.benched_until)

    def _news(self, member: Member, now: float) -> Told | None:
        """What the store lacks of a member, if it lacks anything."""
        known = self._known.get(member.identity)
        returned = self._needless_lease(member, now)
        if not returned and not _adds(self._own(member), Record() if known is None else known.record, now):
            return None
        return Told(member.identity, moved(self._own(member), -now), returned=returned)

    def _told(self, identity: str, now: float, act: _Act) -> Told:
        return Told(identity, moved(self._own(self._members[identity]), -now), act.action, act.id)

    def _needless_lease(self, member: Member, now: float) -> str:
        """Rule 5."""
        breaker = member.breaker
        if member.identity in self._returned:
            return self._returned[member.identity]
        is_needed = breaker.is_asking or breaker.is_probed_here(now, self.pool.settings.breaker)
        if is_needed or member.identity not in self._leases:
            return ""
        breaker.leased_until = 0.0
        self._returned[member.identity] = self._leases.pop(member.identity)
        return self._returned[member.identity]

    def _forget_returned(self, report: Report) -> None:
        for told in report.told:
            if told.returned:
                self._returned.pop(told.member, None)

    def _learn(self, identity: str, change: int, record: Record, now: float) -> None:
        self._known[identity] = _Known(change, record)
        ours = self._leases.get(identity), self._returned.get(identity)
        held_elsewhere = bool(record.holder) and record.holder not in ours
        breaker = self._members[identity].breaker
        if not breaker.is_asking:
            breaker.elsewhere_until = record.held_until if held_elsewhere else 0.0
        if held_elsewhere:
            self.pool.quiet_since = max(self.pool.quiet_since, now)

    def _obey_all(self, now: float) -> Iterator[Event]:
        pending = {act.member for act in self._acts}
        for identity, (_, record) in self._known.items():
            if identity not in pending:
                yield from self._obey(self._members[identity], record, now)

    def _obey(self, member: Member, record: Record, now: float) -> Iterator[Event]:
        """Rules 2 and 6."""
        breaker, settings = member.breaker, self.pool.settings
        was_open = breaker.phase is not State.CLOSED
        is_reset = self._obey_bench(member, record)
        if record.verdict.epoch >= breaker.epoch:
            member.health.drained = record.verdict.drained or (
                member.health.drained and record.verdict.epoch == breaker.epoch
            )
        if not breaker.adopt(record.verdict, now, settings.breaker):
            return
        if was_open and breaker.phase is State.CLOSED and not is_reset and settings.routing.slow_start:
            most = settings.breaker.half_open_max
            member.health.slow_start = SlowStart(now, settings.routing.slow_start, most)
        if breaker.phase is State.OPEN:
            self.pool.quiet_since = now
        yield VerdictAdopted(now, 0, member.name, str(breaker.phase))

    def _obey_bench(self, member: Member, record: Record) -> bool:
        """Was the member reset elsewhere?"""
        resets = self.resets_of(member.identity)
        if record.resets > resets:
            self._resets[member.identity] = record.resets
            member.benched_until = record.benched_until
            member.health.exhausted_until = 0.0
            member.health.slow_start = None
            member.breaker.forget()
            return True
        if record.resets == resets:
            member.benched_until = max(member.benched_until, record.benched_until)
        return False

    # The pin

    def _look_at_pin(self) -> None:
        """Has our policy moved since we looked?"""
        stays = _stays(self.pool)
        if stays != self._stays:
            self._stays = stays
            member = "" if stays is None else self.pool.members[stays].identity
            self._pin = Pin(self._pin.epoch + 1, member)

    def _heed_pin(self, pin: Pin, now: float) -> None:
        self._look_at_pin()
        if pin <= self._pin:
            return
        self._pin = pin
        policy = self.pool.policy
        if isinstance(policy, FailoverSticky) and (not pin.member or pin.member in self._members):
            policy.move(self._members[pin.member].index or None if pin.member else None, now)
            self._stays = policy.stays


def _stays(pool: Pool) -> int | None:
    policy = pool.policy
    stays = policy.stays if isinstance(policy, FailoverSticky) else None
    return None if stays is None or stays >= len(pool.members) else stays


def _adds(own: Record, known: Record, now: float) -> bool:
    """Does our record say anything that the known one does not? What is over says nothing."""
    both = joined(own, known)
    if both.verdict[:2] != known.verdict[:2] or both.verdict[4:] != known.verdict[4:]:
        return True
    if both.verdict.until > max(now, known.verdict.until + LEAST):
        return True
    return both.resets > known.resets or both.benched_until > max(now, known.benched_until + LEAST)
