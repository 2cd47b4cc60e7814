"""Percentiles of durations since start, in O(1) per duration and bounded memory.

Logarithmic buckets with a bounded relative error, after DDSketch (Masson, Rim, Lee: "DDSketch: a fast
and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate
from math import ceil, floor, log

RELATIVE_ERROR = 0.019
_GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_INVERSE_LOG_GAMMA = 1 / log(_GAMMA)
# Where in a bucket, as a part of its upper end, nothing in it is further away than the error.
_MIDDLE = 2 / (_GAMMA + 1)
_SHORTEST = 1e-6
_LONGEST = 1e6


def bucket_of(seconds: float) -> int:
    """The number of the bucket that this duration falls into."""
    if not _SHORTEST <= seconds <= _LONGEST:
        seconds = _SHORTEST if seconds < _SHORTEST else _LONGEST
    return ceil(log(seconds) * _INVERSE_LOG_GAMMA)


def longest_in(bucket: int) -> float:
    """The longest duration of this bucket."""
    return float(_GAMMA**bucket)


class Latency:
    """Durations in seconds, from a microsecond to eleven days."""

    __slots__ = ("_buckets", "_lately", "count", "total")

    def __init__(self) -> None:
        self._buckets: defaultdict[int, int] = defaultdict(int)
        # A percent, the duration that was told for it, and the count from which on it is looked up anew.
        self._lately: tuple[float, float | None, float] = (0.0, None, 0.0)
        self.count = 0
        self.total = 0.0

    def record(self, seconds: float) -> None:
        self.enter(seconds, bucket_of(seconds))

    def enter(self, seconds: float, bucket: int) -> None:
        """As `record`, for a duration whose bucket is known: several want to know of the same one."""
        self.count += 1
        self.total += seconds
        self._buckets[bucket] += 1

    def written(self) -> tuple[int, float, dict[int, int]]:
        """All there is of it, to be added to another one."""
        return self.count, self.total, self._buckets

    def add(self, written: tuple[int, float, dict[int, int]]) -> None:
        """Another one's durations, too."""
        count, total, buckets = written
        self.count += count
        self.total += total
        for index, seen in buckets.items():
            self._buckets[index] = self._buckets.get(index, 0) + seen

    @property
    def average(self) -> float | None:
        return self.total / self.count if self.count else None

    def percentile(self, percent: float) -> float | None:
        """The duration that `percent` of the recorded ones do not exceed, within 2 %."""
        return self.percentiles(percent)[0]

    def lately(self, percent: float) -> float | None:
        """As `percentile`, for who asks with every request: as it was at most a fiftieth of them ago."""
        known, duration, until = self._lately
        if known != percent or self.count >= until:
            duration = self.percentile(percent)
            self._lately = percent, duration, self.count * 1.02
        return duration

    def percentiles(self, *percents: float) -> list[float | None]:
        """As `percentile` for each of these, which ascend; the buckets are looked through once."""
        ranks = [ceil(self.count * percent / 100) for percent in percents]
        found: list[float | None] = []
        seen = 0
        for index in sorted(self._buckets):
            seen += self._buckets[index]
            while seen >= ranks[len(found)]:
                found.append(float(_MIDDLE * _GAMMA**index))
                if len(found) == len(ranks):
                    return found
        return [None] * len(ranks)

    def counts_up_to(self, bounds: Sequence[float]) -> list[int]:
        """How many durations do not exceed each of these bounds, which are positive and ascending.

        A bucket counts under a bound if its middle does. So durations more than 2 % away from a bound
        are counted exactly, and the others as `percentile` shows them. A count never falls, neither from
        bound to bound nor with time.
        """
        last = [floor(log(bound / _MIDDLE) * _INVERSE_LOG_GAMMA) for bound in bounds]
        counts = [0] * (len(bounds) + 1)
        for index, count in self._buckets.items():
            counts[bisect_left(last, index)] += count
        return list(accumulate(counts[:-1]))
