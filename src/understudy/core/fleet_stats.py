"""What one process has counted, written for others; and what all have, put together to one `Stats`.

1. Counts are added, durations merged bucket by bucket, rates of tokens added. Circuits, benches and settings
   are this process's own, which are those of all within a second (`core.fleet`).
2. Every counter that `core.metrics` has travels, whatever it is: numbers, numbers by name, and durations.
3. What cannot be read is passed over: its process is not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from understudy.core.latency import Latency
from understudy.core.member import Member
from understudy.core.metrics import MemberMetrics, PoolMetrics
from understudy.core.pool import Pool
from understudy.core.sliding import Minute
from understudy.core.stats import Instant, Stats, stats
from understudy.core.window import TokenWindow

if TYPE_CHECKING:
    from understudy.core.member import Health

Metrics = MemberMetrics | PoolMetrics


class Counted(msgspec.Struct, frozen=True):
    """A metrics object's counters by name."""

    numbers: dict[str, float] = {}
    named: dict[str, dict[str, float]] = {}
    durations: dict[str, tuple[int, float, dict[int, int]]] = {}


class MemberNumbers(msgspec.Struct, frozen=True):
    """`generated` are tokens and seconds; `asked`, `tokens` and `taken_over` those of the last minute."""

    counted: Counted
    tpm: float = 0.0
    generated: tuple[float, float] = (0.0, 0.0)
    asked: float = 0.0
    tokens: float = 0.0
    taken_over: float = 0.0


class Numbers(msgspec.Struct, frozen=True):
    """One process's."""

    counted: Counted
    members: dict[str, MemberNumbers]
    waiting: int = 0


def counts(pool: Pool) -> object:
    """Something that is equal as long as no request has come, ended or changed anything."""
    metrics: list[Metrics] = [pool.metrics, *(member.metrics for member in pool.members)]
    return tuple(number for one in metrics for number in _numbers(one).values())


def written(pool: Pool, now: float) -> bytes:
    """This process's numbers, for the others."""
    return msgspec.json.encode(_own(pool, now))


def together(pool: Pool, now: float, instant: Instant, own: str, published: Mapping[str, bytes]) -> Stats:
    """The pool with what all processes have counted; `own` is our name among them."""
    others = [numbers for name, text in published.items() if name != own and (numbers := _read(text))]
    every = [_own(pool, now), *others]
    whole = Pool(
        pool.profile,
        pool.policy,
        [
            _member(member, [one.members.get(member.identity) for one in every], now)
            for member in pool.members
        ],
        pool.settings,
    )
    _add_up(whole.metrics, [one.counted for one in every])
    waiting = sum(one.waiting for one in every)
    return replace(stats(whole, now, instant), waiting=waiting, workers=len(every), worker=own)


def _own(pool: Pool, now: float) -> Numbers:
    members = {member.identity: _of_member(member, now) for member in pool.members}
    return Numbers(_counted(pool.metrics), members, len(pool.queue))


def _of_member(member: Member, now: float) -> MemberNumbers:
    health = member.health
    return MemberNumbers(
        _counted(member.metrics),
        member.window.tpm(now) or 0.0,
        member.window.generated.total(now),
        health.asked.total(now),
        health.tokens.total(now),
        health.taken_over.total(now),
    )


def _read(text: bytes) -> Numbers | None:
    """Rule 3."""
    try:
        return msgspec.json.decode(text, type=Numbers)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _member(member: Member, numbers: Iterable[MemberNumbers | None], now: float) -> Member:
    """The same with what all have counted of it."""
    every = [one for one in numbers if one is not None]
    health: Health = copy(member.health)
    health.metrics = MemberMetrics()
    _add_up(health.metrics, [one.counted for one in every])
    health.window = TokenWindow()
    for one in every:
        health.window.add(now, round(one.tpm))
        health.window.generated.add(now, *one.generated)
    health.asked = _minute(now, (one.asked for one in every))
    health.tokens = _minute(now, (one.tokens for one in every))
    health.taken_over = _minute(now, (one.taken_over for one in every))
    return Member(member.name, member.index, member.settings, member.problem, health, member.identity)


def _minute(now: float, amounts: Iterable[float]) -> Minute:
    minute = Minute()
    minute.add(now, sum(amounts))
    return minute


def _fields(metrics: Metrics) -> dict[str, Any]:
    return {name: getattr(metrics, name) for name in metrics.__slots__}


def _numbers(metrics: Metrics) -> dict[str, float]:
    return {name: value for name, value in _fields(metrics).items() if isinstance(value, int | float)}


def _counted(metrics: Metrics) -> Counted:
    """Rule 2."""
    fields = _fields(metrics).items()
    return Counted(
        _numbers(metrics),
        {
            name: {str(key): count for key, count in value.items()}
            for name, value in fields
            if isinstance(value, dict)
        },
        {name: value.written() for name, value in fields if isinstance(value, Latency)},
    )


def _add_up(metrics: Metrics, every: Iterable[Counted]) -> None:
    for counted in every:
        for name, value in _fields(metrics).items():
            if isinstance(value, Latency):
                value.add(counted.durations.get(name, (0, 0.0, {})))
            elif isinstance(value, dict):
                for key, count in counted.named.get(name, {}).items():
                    value[key] = value.get(key, 0) + _whole(count)
            else:
                setattr(metrics, name, value + _whole(counted.numbers.get(name, 0)))


def _whole(number: float) -> float:
    """JSON does not tell 3.0 from 3."""
    return int(number) if number == int(number) else number
