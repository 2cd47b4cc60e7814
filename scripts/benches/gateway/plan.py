"""How long each measurement goes on: for figures worth quoting, and to see whether it works."""

from __future__ import annotations

from typing import NamedTuple


class Plan(NamedTuple):
    """Seconds, unless the name says otherwise."""

    rounds: int = 3
    unary: float = 3
    scale: float = 2
    low: float = 5
    paced: float = 2.5
    flood: float = 1.5
    volleys: int = 3  # in one round
    crowd: float = 10
    slow_reader: float = 30  # at most
    slow_reader_megabytes: int = 200
    starts: int = 5
    served: float = 1.0  # share of a proxy's requests


FULL = Plan()
QUICK = Plan(
    rounds=1,
    unary=1,
    scale=1,
    low=1.5,
    paced=1,
    flood=0.4,
    volleys=1,
    crowd=3,
    slow_reader=5,
    slow_reader_megabytes=40,
    starts=1,
    served=0.05,
)
