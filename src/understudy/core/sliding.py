"""How much there was in the last minute, to hold a limit by.

1. Amounts are kept in buckets of one second; adding is O(1), and memory is bounded by the window.
2. A bucket leaves the window a minute after its second has ended: never too soon.
3. What was added may be revised for as long as its bucket is inside.
"""

from __future__ import annotations

from collections import deque

SPAN = 60.0
_GRAIN = 1.0


class Portion:
    """What was added during one second."""

    __slots__ = ("amount", "leaves_at", "second")

    def __init__(self, second: float, amount: float) -> None:
        self.second = second
        self.amount = amount
        self.leaves_at = second + _GRAIN + SPAN


class Minute:
    """A sum over the last minute."""

    __slots__ = ("_portions", "_total")

    def __init__(self) -> None:
        self._portions: deque[Portion] = deque()
        self._total = 0.0

    def __repr__(self) -> str:
        return f"<Minute of {self._total:.0f}>"

    def add(self, now: float, amount: float) -> Portion:
        """Returns the portion that it went into."""
        second = now // _GRAIN * _GRAIN
        portions = self._portions
        if not portions or portions[-1].second < second:
            self._forget(now)
            portions.append(Portion(second, 0.0))
        newest = portions[-1]
        newest.amount += amount
        self._total += amount
        return newest

    def revise(self, now: float, portion: Portion, amount: float) -> bool:
        """Add to what an earlier `add` returned; False if that has left the window."""
        if now >= portion.leaves_at:
            return False
        self._total += amount
        portion.amount += amount
        return True

    def total(self, now: float) -> float:
        """Of what is inside the window. Changes nothing."""
        total = self._total
        for portion in self._portions:
            if now < portion.leaves_at:
                break
            total -= portion.amount
        return max(0.0, total)

    def room_at(self, now: float, amount: float, limit: float) -> float:
        """When `amount` more will not be above `limit`; `now` if at once.

        What is above the limit by itself has its room when nothing else is inside.
        """
        if self._total + amount <= limit:  # what has left the window is in it yet
            return now
        surplus = self.total(now) + amount - limit
        if surplus <= 0:
            return now
        instant = now
        for portion in self._portions:
            if surplus <= 0:
                break
            if now < portion.leaves_at and portion.amount > 0:
                surplus -= portion.amount
                instant = portion.leaves_at
        return instant

    def _forget(self, now: float) -> None:
        portions = self._portions
        while portions and now >= portions[0].leaves_at:
            self._total -= portions.popleft().amount
        if not portions:
            self._total = 0.0  # sums of floats leave crumbs
