"""Where a model's numbers come from: latencies, speeds, lengths, pauses.

::

    0.5                              always the same
    {median = 0.6, p95 = 1.5}        log-normal: what latencies and lengths are mostly like
    {mean = 30}                      exponential: times between things that know nothing of each other
    {low = 1, high = 5}              uniform
    {p0 = 0.2, p50 = 0.6, p99 = 8}   measured percentiles, straight lines between them
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from math import exp, log
from random import Random

Draw = Callable[[Random], float]
"""One number, drawn with the chance that is handed in."""

_Z95 = 1.6448536269514722


def constant(value: float) -> Draw:
    return lambda chance: value


def lognormal(median: float, p95: float) -> Draw:
    mu, sigma = log(median), log(p95 / median) / _Z95

    def draw(chance: Random) -> float:
        return exp(chance.gauss(mu, sigma))

    return draw


def exponential(mean: float) -> Draw:
    rate = 1 / mean
    return lambda chance: chance.expovariate(rate)


def uniform(low: float, high: float) -> Draw:
    return lambda chance: chance.uniform(low, high)


def measured(percentiles: Sequence[tuple[float, float]]) -> Draw:
    """`percentiles` are (percent, value), ascending. Beyond the outermost ones nothing is drawn."""
    percents = [percent for percent, _ in percentiles]
    values = [value for _, value in percentiles]

    def draw(chance: Random) -> float:
        percent = min(max(chance.random() * 100, percents[0]), percents[-1])
        right = min(bisect_right(percents, percent), len(percents) - 1)
        low, high = percents[right - 1], percents[right]
        part = (percent - low) / (high - low)
        return values[right - 1] + part * (values[right] - values[right - 1])

    return draw
