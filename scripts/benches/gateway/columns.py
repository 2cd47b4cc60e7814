"""What a measurement shows: one column for each thing said of a proxy, and how it is reckoned.

A column is a function of the medians of all proxies and of the one whose row it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

Medians = Mapping[str, Mapping[str, float]]  # by proxy, by figure
Cell = Callable[[Medians, str], str]


class Column(NamedTuple):
    heading: str
    cell: Cell


def number(value: float, digits: int = 0) -> str:
    """At least two significant digits of what is small; a dash for what is not known."""
    if math.isnan(value):
        return "–"
    if digits == 0 and abs(value) < 10 and value != round(value):
        digits = 1
    return f"{value:,.{digits}f}".replace(",", " ")


def of(medians: Medians, proxy: str, figure: str) -> float:
    return medians.get(proxy, {}).get(figure, math.nan)


def figure(heading: str, name: str, digits: int = 0) -> Column:
    return Column(heading, lambda medians, proxy: number(of(medians, proxy, name), digits))


def added(heading: str, name: str, digits: int = 2, to: str = "direct") -> Column:
    """What it has more than going without a proxy."""

    def cell(medians: Medians, proxy: str) -> str:
        if proxy == to:
            return f"({number(of(medians, proxy, name), digits)})"
        return number(of(medians, proxy, name) - of(medians, to, name), digits)

    return Column(heading, cell)


def times(heading: str, name: str, base: str) -> Column:
    """How many times the base's figure."""

    def cell(medians: Medians, proxy: str) -> str:
        return number(of(medians, proxy, name) / of(medians, base, name), 1)

    return Column(heading, cell)


def against(heading: str, name: str, peer: str) -> Column:
    """How many times it the peer takes."""

    def cell(medians: Medians, proxy: str) -> str:
        return number(of(medians, peer, name) / of(medians, proxy, name), 1)

    return Column(heading, cell)
