"""How long each measurement goes on: for figures worth quoting, and to see whether it works."""

from __future__ import annotations

from typing import NamedTuple


class Plan(NamedTuple):
    """Seconds, unless the name says otherwise."""

    rounds: int = 3
    warm_up: float = 1
    unary: float = 3
    scale: float = 2
    low: float = 4
    paced: float = 2
    flood: float = 1.5
    volleys: int = 2  # in one round
    crowd: float = 10
    slow_reader: float = 30  # at most
    slow_reader_megabytes: int = 200
    starts: int = 3
    served: float = 1.0  # share of a proxy's requests


FULL = Plan()
QUICK = Plan(
    rounds=1,
    warm_up=0,
    unary=1,
    scale=1,
    low=1,
    paced=1,
    flood=0.4,
    volleys=1,
    crowd=1,
    slow_reader=3,
    slow_reader_megabytes=20,
    starts=1,
    served=0.05,
)
