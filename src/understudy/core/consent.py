"""What a request needs of the others that share its pool before a member may be asked.

Nothing, as a rule: a pool decides by itself (`core.fleet`). But:

1. A probe needs a lease, so that the member is probed by one process at a time.
2. A member with `tpm_limit` or `rpm_limit` needs room that all who share the pool have together. It is asked
   for before the lease: it is easier given back.
3. Where nobody answers, the process goes by itself: one probe at a time of its own, and ceilings by what it
   has used itself; what it used is told later. With `ceilings_fail_closed` no room is as good as a refusal.
4. Room that was given is taken by the next attempt on the member, or given back. What an attempt did not use
   in the end is given back, too (`core.ceiling`).
5. A refusal holds for whoever needs as much, until there will be room, but is looked at again after
   `LOOKS_AGAIN` seconds: others may have given room back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from understudy.core.ceiling import Full
from understudy.core.shared import Room, Wanted
from understudy.errors import SkipReason

if TYPE_CHECKING:
    from understudy.core.demand import Demand
    from understudy.core.fleet import Fleet
    from understudy.core.member import Member

LOOKS_AGAIN = 1.0
REFUSED_FOR = 0.5
"""Seconds, where a refusal does not say for how long."""


class NeedLease(NamedTuple):
    """Ask for the leave to probe this member, and then for the next step again."""

    member: Member


class NeedRoom(NamedTuple):
    """Ask for room under this member's ceilings, and then for the next step again."""

    member: Member
    wanted: Wanted


Need = NeedLease | NeedRoom


class Taken(NamedTuple):
    """What the others know of one attempt's use of its member's ceilings.

    `at` is when it was taken, by our clock; `second` by the store's, 0 if nobody knows of it.
    """

    at: float
    tokens: float
    requests: float
    second: int = 0


class Consent:
    """One request's."""

    __slots__ = ("_demand", "_fleet", "_rooms")

    def __init__(self, fleet: Fleet, demand: Demand) -> None:
        self._fleet = fleet
        self._demand = demand
        self._rooms: dict[Member, Taken] = {}
        demand.rooms = self._rooms

    def __repr__(self) -> str:
        return f"<Consent, {len(self._rooms)} rooms>"

    def needed(self, member: Member, now: float, *, anyway: bool = False) -> Need | None:
        """What has to be asked for before the member may be; None if nothing has (rules 1 and 2).

        Whoever asks `anyway`, in spite of its circuit, is no probe.
        """
        ceilings = member.settings.ceilings
        is_limited = ceilings is not None and (ceilings.tokens is not None or ceilings.requests is not None)
        if ceilings is not None and is_limited and member not in self._rooms:
            tokens = self._demand.most(member.settings.facts) if ceilings.tokens is not None else 0
            return NeedRoom(member, Wanted(tokens, ceilings.tokens, ceilings.requests))
        if not anyway and member.breaker.lacks_lease(now, self._fleet.pool.settings.breaker):
            return NeedLease(member)
        return None

    # What was answered

    def has_room(self, need: NeedRoom, room: Room, now: float) -> None:
        """There are two cases: it was given, or refused."""
        member, wanted = need
        if room.granted:
            self._rooms[member] = Taken(now, wanted.tokens, 1, room.second)
            return
        reason = SkipReason(room.ceiling)
        least = wanted.tokens if reason is SkipReason.TPM_LIMIT else 0
        member.health.full = Full(reason, now + room.seconds, now + min(room.seconds, LOOKS_AGAIN), least)

    def has_no_answer(self, need: NeedRoom, now: float) -> None:
        """Rule 3."""
        if self._fleet.pool.settings.ceilings_fail_closed:
            until = now + REFUSED_FOR
            need.member.health.full = Full(SkipReason.CEILING_UNKNOWN, until, until)
        else:
            self._rooms[need.member] = Taken(now, 0, 0)

    # Rule 4

    def take(self, member: Member) -> Taken | None:
        """An attempt on this member begins; whatever others had is given back."""
        taken = self._rooms.pop(member, None)
        self.give_back()
        return taken

    def give_back(self) -> None:
        for member, taken in self._rooms.items():
            less = -taken.tokens, -taken.requests
            self._fleet.spend(member.identity, taken.at, *less, taken.second)
        self._rooms.clear()
