"""One pool's shared state, as a store keeps it: plain values, with time handed in.

The scripts of `state.redis` do the same on the server. Rules:

1. Every change of a record gets a higher number; whoever has heard up to one number is told of those after.
   Numbers go by the clock, so that one which was lost with its change is not given again.
2. A memory has a birth: whoever knows another one's has heard nothing of this.
3. A lease is given to one at a time, to that one as often as it asks, and not to whom an older epoch holds,
   nor to whom does not know that an opening has become longer: a probe has failed, and none is due. It ends
   when its time has passed, when it is returned, and with its epoch.
4. A reservation is granted if what was taken in the last minute, and is not given back, leaves room for it;
   or if nothing was. What a second took leaves a minute after that second has ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from understudy.core.shared import (
    Cursor,
    Lease,
    Picture,
    Pin,
    Record,
    Report,
    Room,
    Told,
    Usage,
    Wanted,
    acted,
    joined,
    moved,
)

MINUTE = 60
LEAST = 0.01
"""Seconds by which two clocks' deadlines may differ and be the same."""


class _Kept(NamedTuple):
    change: int
    record: Record
    action_id: str


class Board:
    """What processes tell each other of one pool's members."""

    def __init__(self, born: str) -> None:
        self._born = born
        self._change = 0
        self._kept: dict[str, _Kept] = {}
        self._pin = Pin()

    def exchange(self, report: Report, now: float) -> Picture:
        for told in report.told:
            self._hear(told, now)
        self._pin = max(self._pin, report.pin)
        since = report.cursor.change if report.cursor.born == self._born else 0
        changed = {
            member: (kept.change, moved(kept.record, -now))
            for member, kept in self._kept.items()
            if kept.change > since
        }
        return Picture(Cursor(self._born, self._change), changed, self._pin)

    def lease(
        self, member: str, holder: str, epoch: int, seconds: float, now: float, ends: float = inf
    ) -> Lease:
        """Rule 3."""
        kept = self._kept.get(member, _Kept(0, Record(), ""))
        record = kept.record
        if record.holder not in ("", holder) and now < record.held_until:
            return Lease(False, record.held_until - now)
        is_behind = record.verdict.epoch == epoch and record.verdict.until > now + ends + LEAST
        if record.verdict.epoch > epoch or is_behind:
            return Lease(False)
        self._keep(member, record, _with_lease(record, holder, now + seconds), kept.action_id, now)
        return Lease(True)

    def _hear(self, told: Told, now: float) -> None:
        kept = self._kept.get(told.member, _Kept(0, Record(), ""))
        before, news = kept.record, moved(told.record, now)
        # Who is further ahead than by its own action knows what we have forgotten.
        is_ahead = news.verdict.epoch > before.verdict.epoch + 1
        if not told.action or told.action_id == kept.action_id or is_ahead:
            after = joined(before, news)
        else:
            after = acted(before, told.action, now)
        if told.returned and told.returned == after.holder:
            after = _with_lease(after, "", 0.0)
        self._keep(told.member, before, after, told.action_id or kept.action_id, now)

    def _keep(self, member: str, before: Record, after: Record, action_id: str, now: float) -> None:
        """Rule 1."""
        if member not in self._kept or before != after or action_id != self._kept[member].action_id:
            self._change = max(self._change + 1, int(now * 1000))
            self._kept[member] = _Kept(self._change, after, action_id)


class Meter:
    """What was taken of one member's ceilings, by the second."""

    def __init__(self) -> None:
        self._taken: dict[int, list[float]] = {}

    def reserve(self, every: Iterable[Wanted], now: float) -> list[Room]:
        """Rule 4, for one after the other."""
        self._forget(now)
        return [self._reserve(wanted, now) for wanted in every]

    def _reserve(self, wanted: Wanted, now: float) -> Room:
        limits = (
            ("rpm_limit", 1, 1.0, wanted.requests_limit),
            ("tpm_limit", 0, wanted.tokens, wanted.tokens_limit),
        )
        for ceiling, which, amount, limit in limits:
            room_at = now if limit is None else self._room_at(which, amount, limit, now)
            if room_at > now:
                return Room(False, ceiling, room_at - now)
        self._add(int(now), wanted.tokens, 1)
        return Room(True, second=int(now))

    def spend(self, usage: Iterable[Usage], now: float) -> None:
        for ago, tokens, requests, second in usage:
            self._add(second or int(now - ago), tokens, requests)
        self._forget(now)

    def _add(self, second: int, tokens: float, requests: float) -> None:
        taken = self._taken.setdefault(second, [0.0, 0.0])
        taken[0] = max(0.0, taken[0] + tokens)
        taken[1] = max(0.0, taken[1] + requests)

    def _room_at(self, which: int, amount: float, limit: float, now: float) -> float:
        surplus = sum(taken[which] for taken in self._taken.values()) + amount - limit
        instant = now
        for second in sorted(self._taken):
            if surplus <= 0:
                break
            if self._taken[second][which]:
                surplus -= self._taken[second][which]
                instant = float(second + 1 + MINUTE)
        return instant

    def _forget(self, now: float) -> None:
        for second in [second for second in self._taken if now >= second + 1 + MINUTE]:
            del self._taken[second]


def _with_lease(record: Record, holder: str, until: float) -> Record:
    return Record(record.verdict, record.resets, record.benched_until, holder, until)
