"""Fastest: of two drawn by lot among the soonest, the one that is expected to begin its answer sooner.

The power of two choices (Mitzenmacher, "The power of two choices in randomized load balancing", 2001), as
tower does it (https://github.com/tower-rs/tower, balance/p2c): always asking the very best would send every
caller there at the same moment. What is expected: the average time to the first content, which follows bad
news at once (`core.load`), times the attempts in flight with this one, over the member's share.

1. Lots are drawn among the members that are up and expected to take at most `NEAR` times as long as the
   soonest. Among few members the second best would be drawn often, however far behind it is: of three, for a
   third of all requests. It gets its next chance when what is known against it has decayed so far.
2. Streams are told from whole answers, which take several times as long: one of these would make its member
   look slow to all others. They do not come sooner than streams begin. A failure counts for both.
3. Whoever was never measured is tried; while that is under way, it stands behind everybody who was
   (Finagle's rule), so that not all of a crowd find out together.
4. Behind the one chosen come the others by what is expected of them, those that are not up last.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from understudy.core.policies.base import AnyCandidate, Candidate, Indifferent

if TYPE_CHECKING:
    from understudy.core.demand import Demand
    from understudy.core.load import Load
    from understudy.core.settings import PoolSettings


class Fastest(Indifferent):
    """Ranks the members by expected time to the first content."""

    name = "fastest"
    waits_for_first = False

    def __repr__(self) -> str:
        return "<Fastest>"

    def rank(self, candidates: Sequence[AnyCandidate], now: float, demand: Demand) -> Sequence[AnyCandidate]:
        settings, stream = demand.settings, demand.stream
        costs = [_cost(candidate, now, settings, stream=stream) for candidate in candidates]
        order = sorted(range(len(costs)), key=costs.__getitem__)
        farthest = min(NEAR * costs[order[0]], _FARTHEST)
        near = len(order)
        while near and costs[order[near - 1]] > farthest:
            near -= 1
        if near > 2:
            order.insert(0, order.pop(_sooner_of_two(near, demand)))
        return [candidates[position] for position in order]

    def began(self, candidate: Candidate, now: float, seconds: float, demand: Demand) -> None:
        _load(candidate, stream=demand.stream).began(now, seconds)

    def failed(self, candidate: Candidate, now: float, seconds: float, longest: float) -> None:
        for load in (candidate.load, candidate.whole_load):
            load.failed(now, seconds, longest)

    def gave_up(self, candidate: Candidate, now: float, seconds: float, *, stream: bool) -> None:
        _load(candidate, stream=stream).gave_up(now, seconds)


NEAR = 2.0
_UNDER_TRIAL = 1e6
_FARTHEST = 1e8  # of those that are up and have a share
_STANDING_IN = 1e9


def _load(candidate: Candidate, *, stream: bool) -> Load:
    """Rule 2."""
    return candidate.load if stream else candidate.whole_load


def _cost(candidate: Candidate, now: float, settings: PoolSettings, *, stream: bool) -> float:
    share = candidate.share_if_up(now, settings)
    if not share:
        return inf if share is None else _STANDING_IN
    load, asked, says_it_all = candidate.load, candidate.metrics.in_flight, stream
    if load.at is None and not stream:
        load, says_it_all = candidate.whole_load, True
    if load.at is None:
        return _UNDER_TRIAL + asked if asked else 0.0
    seconds = load.seconds(now)
    if not says_it_all:
        seconds = max(seconds, candidate.whole_load.seconds(now))
    return seconds * (asked + 1) / share


def _sooner_of_two(near: int, demand: Demand) -> int:
    """The first of two different places by lot; the first places are the soonest.

    A place less for the second lot, and it is as likely to be any as if the two could not be the same.
    """
    return min(int(demand.chance() * near), int(demand.chance() * (near - 1)))
