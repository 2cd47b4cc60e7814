"""How long a member takes to begin its answers, or to give whole ones: bad news counts at once.

A moving average that peaks enter whole: peak EWMA, after Finagle and tower
(https://github.com/tower-rs/tower, load/peak_ewma.rs). Rules:

1. A time above the average replaces it; one below draws it down, the more the longer ago the last one was.
2. Without news the average decays towards nothing, so that a member once slow is tried again.
3. A failure is no fast answer: it enters as twice what the member was thought to take, at least `LEAST`, so
   that a member which refuses everything in a millisecond soon looks slower than any healthy one. It never
   enters as more than the longest that the member may take.
4. An attempt that was given up before its first content took at least so long: it only ever raises.
5. `DECAY` is how long ago a time must be to count for about a third. Tower's is 10 s, for calls of
   milliseconds; first contents take seconds, and callers are fewer.
"""

from __future__ import annotations

from math import exp

DECAY = 30.0
LEAST = 1.0


class Load:
    """Seconds to what is measured. `at` is when the last one was; None measured yet: cold."""

    __slots__ = ("_seconds", "at")

    def __init__(self) -> None:
        self._seconds = 0.0
        self.at: float | None = None

    def __repr__(self) -> str:
        return "<Load, cold>" if self.at is None else f"<Load, {self._seconds:.3f} s at {self.at:.0f}>"

    @property
    def is_cold(self) -> bool:
        return self.at is None

    def seconds(self, now: float) -> float:
        """The average as it is by now; 0 while cold."""
        if self.at is None or now <= self.at:
            return self._seconds
        return self._seconds * exp((self.at - now) / DECAY)

    def began(self, now: float, seconds: float) -> None:
        """An attempt's first content came after so long (rule 1)."""
        if self.at is not None:
            influence = _weight(now - self.at)
            before = self._seconds * influence
            if seconds < before:
                seconds = before + seconds * (1 - influence)
        self._seconds = seconds
        self.at = now

    def failed(self, now: float, seconds: float, longest: float) -> None:
        """An attempt failed after so long (rule 3)."""
        penalty = min(2 * max(self.seconds(now), LEAST), longest)
        self.gave_up(now, max(seconds, penalty))

    def gave_up(self, now: float, seconds: float) -> None:
        """No content for so long (rule 4)."""
        if seconds >= self.seconds(now):
            self._seconds = seconds
            self.at = now


def _weight(passed: float) -> float:
    """Of what is so many seconds old."""
    return exp(-passed / DECAY) if passed > 0 else 1.0
