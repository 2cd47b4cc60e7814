"""A ceiling per minute as most providers keep it: a bucket that refills all the time."""

from __future__ import annotations

from math import inf


class Bucket:
    """Holds a minute's worth. The ceiling comes with every call, because it may change."""

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        self._left = inf
        self._at = 0.0

    def left(self, now: float, a_minute: float) -> float:
        """What could be taken now."""
        self._left = min(a_minute, self._left + (now - self._at) * a_minute / 60)
        self._at = now
        return self._left

    def wait(self, now: float, amount: float, a_minute: float) -> float:
        """Seconds until so much can be taken; more than fits in asks for a full bucket."""
        lacking = min(amount, a_minute) - self.left(now, a_minute)
        return max(0.0, lacking * 60 / a_minute)

    def take(self, amount: float) -> None:
        self._left -= amount
