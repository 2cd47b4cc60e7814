"""What processes that share a pool tell each other, and how two tellings become one.

Rules:

1. A *verdict* is what is held of a member: its circuit, and an operator's hand on it. It carries an epoch.
   Of two verdicts the higher epoch's holds. Of the same epoch, open holds against closed, and of two open
   ones the later deadline. A close raises the epoch, so that no opening from before can undo it.
2. Benches go by the later instant. Only an operator's reset ends one before: it raises the count of resets,
   and benches of a lower count are forgotten.
3. An operator's action raises the epoch of whatever is known by then: nothing from before undoes it.
4. What two have become does not depend on the order in which they met, nor on how often they did.
5. Instants are seconds of whoever holds the record. Between two clocks they travel as seconds from now.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Verdict(NamedTuple):
    """Instants are 0 where there is none. `forced` is ``""``, ``"closed"`` or ``"open"``."""

    epoch: int = 0
    is_open: bool = False
    since: float = 0.0
    until: float = 0.0
    forced: str = ""
    drained: bool = False


class Record(msgspec.Struct, frozen=True):
    """All that is shared of one member. `holder` has the only leave to probe it, until `held_until`."""

    verdict: Verdict = Verdict()
    resets: int = 0
    benched_until: float = 0.0
    holder: str = ""
    held_until: float = 0.0


class Pin(NamedTuple):
    """The member that requests are kept to, ``""`` for none; the higher epoch's holds."""

    epoch: int = 0
    member: str = ""


class Told(msgspec.Struct, frozen=True):
    """What one process has to say of a member. Instants are seconds from now.

    `action` is an operator's, and `action_id` the same when it is told again. `returned` is the lease that
    is needed no longer.
    """

    member: str
    record: Record
    action: str = ""
    action_id: str = ""
    returned: str = ""


class Cursor(NamedTuple):
    """What a process has heard already: up to which change, of a memory that began as `born`."""

    born: str = ""
    change: int = 0


class Report(msgspec.Struct, frozen=True):
    """What a process tells, and from where on it wants to hear.

    `proves`: the store shall write something, if only to prove that it can.
    """

    cursor: Cursor = Cursor()
    told: tuple[Told, ...] = ()
    pin: Pin = Pin()
    proves: bool = False


class Picture(msgspec.Struct, frozen=True):
    """What has changed since. Instants are seconds from now; each record has the number of its change."""

    cursor: Cursor
    records: dict[str, tuple[int, Record]]
    pin: Pin = Pin()


class Lease(NamedTuple):
    """Whether the only leave to probe a member was given; if not, for how many seconds another has it."""

    granted: bool
    seconds: float = 0.0


class Usage(NamedTuple):
    """Tokens and requests that count towards a member's ceilings, or no longer do.

    `second` is the store's, in which they were reserved; 0 if they were not, but taken so long ago.
    """

    ago: float
    tokens: float
    requests: float
    second: int = 0


class Wanted(NamedTuple):
    """What an attempt wants of a member's ceilings, and what these are; None is without end."""

    tokens: float
    tokens_limit: int | None = None
    requests_limit: int | None = None


class Room(NamedTuple):
    """Whether there was room: then in which of the store's seconds it was reserved.

    If not, which ceiling stands against it, and for how many seconds.
    """

    granted: bool
    ceiling: str = ""
    seconds: float = 0.0
    second: int = 0


def ruling(one: Verdict, other: Verdict) -> Verdict:
    """The verdict that holds (rule 1)."""
    if one.epoch != other.epoch:
        return max(one, other, key=lambda verdict: verdict.epoch)
    longer = max(one, other, key=lambda verdict: (verdict.is_open, verdict.until, verdict.since))
    return longer._replace(forced=max(one.forced, other.forced), drained=one.drained or other.drained)


def joined(one: Record, other: Record) -> Record:
    """What both know (rules 1 and 2). A lease lasts no longer than the epoch that it was given in."""
    resets, benched_until = max((one.resets, one.benched_until), (other.resets, other.benched_until))
    leases = [
        (record.held_until, record.holder)
        for record in (one, other)
        if record.verdict.epoch >= max(one.verdict.epoch, other.verdict.epoch)
    ]
    held_until, holder = max(leases)
    return Record(ruling(one.verdict, other.verdict), resets, benched_until, holder, held_until)


def acted(record: Record, action: str, now: float) -> Record:
    """After an operator's action (rule 3)."""
    verdict = record.verdict._replace(epoch=record.verdict.epoch + 1)
    match action:
        case "drain" | "enable":
            return Record(verdict._replace(drained=action == "drain"), record.resets, record.benched_until)
        case "open":
            verdict = verdict._replace(is_open=True, since=now, until=now, forced="open")
            return Record(verdict, record.resets, record.benched_until)
        case "close":
            return Record(_closed(verdict)._replace(forced="closed"), record.resets, record.benched_until)
        case _:
            return Record(_closed(verdict)._replace(forced=""), record.resets + 1)


def moved(record: Record, seconds: float) -> Record:
    """The same by another clock (rule 5)."""
    verdict = record.verdict
    return Record(
        verdict._replace(since=_moved(verdict.since, seconds), until=_moved(verdict.until, seconds)),
        record.resets,
        _moved(record.benched_until, seconds),
        record.holder,
        _moved(record.held_until, seconds),
    )


def _moved(instant: float, seconds: float) -> float:
    return instant + seconds if instant else 0.0


def _closed(verdict: Verdict) -> Verdict:
    return verdict._replace(is_open=False, since=0.0, until=0.0)
