"""Members under known loads, and what a policy makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tests.core.stage import Asking, member
from understudy.core.demand import Demand
from understudy.core.member import Member
from understudy.core.policies import Policy
from understudy.core.settings import PoolSettings, RoutingSettings

NOW = 1000.0


def members(names: str = "abc", **settings: Sequence[Any]) -> list[Member]:
    """One for each letter; `settings` give each member's value in order."""
    return [
        member(name, index, **{key: values[index] for key, values in settings.items()})
        for index, name in enumerate(names)
    ]


def demand(
    asking: Asking | None = None,
    chance: Callable[[], float] | None = None,
    *,
    stream: bool = True,
    **routing: float,
) -> Demand:
    settings = PoolSettings(routing=RoutingSettings(**routing))  # type: ignore[arg-type]
    return Demand(asking, settings, chance or Random(7).random, stream)


def order(policy: Policy, candidates: Sequence[Member], asked: Demand, now: float = NOW) -> str:
    return "".join(candidate.name for candidate in policy.rank(candidates, now, asked))


def takes_turns(policy: Policy, candidates: Sequence[Member], asked: Demand, count: int) -> str:
    """So many attempts one after the other, each on the first-ranked member that is up."""
    taken = []
    for _ in range(count):
        ranked = policy.rank(candidates, NOW, asked)
        first = next(
            candidate for candidate in ranked if candidate.share_if_up(NOW, asked.settings) is not None
        )
        policy.picked(first, candidates, NOW, asked)
        taken.append(first.name)
    return "".join(taken)


def shares(taken: str) -> dict[str, int]:
    return dict(Counter(taken))


def busy(candidate: Member, attempts: int) -> None:
    """So many attempts in flight."""
    candidate.metrics.in_flight += attempts


def bench(candidate: Member) -> None:
    candidate.bench(NOW, 60.0, 900.0)
