"""Easing a member back in after its circuit has closed: one good probe says little about full load.

1. A probe that closes the circuit begins a slow start. While it lasts the member may have no more than `cap`
   attempts in flight, whatever the policy: one more than probes were allowed at first, and one more with each
   first content.
2. A failure that counts halves what is in flight, and begins the time anew; from then on the cap grows by one
   only with as many first contents as it is wide. So a backend that came back weak is found out at its limit,
   again and again, but never far above it (TCP's way: Jacobson, "Congestion avoidance and control", 1988).
3. It is over when `slow_start_ms` have passed since its beginning, or since the last such failure.
4. Policies that spread load count the member's weight meanwhile from `LEAST_SHARE` up to the whole, in line
   with the time that has passed.
"""

from __future__ import annotations

LEAST_SHARE = 0.1


class SlowStart:
    """One member's. `lasts` is in seconds; `floor` is the cap below which it never falls."""

    __slots__ = ("_floor", "_is_careful", "_lasts", "_since", "cap")

    def __init__(self, now: float, lasts: float, floor: int) -> None:
        self._since = now
        self._lasts = lasts
        self._floor = float(floor)
        self._is_careful = False
        self.cap = floor + 1.0

    def __repr__(self) -> str:
        return f"<SlowStart, {self.cap:.1f} at once>"

    @property
    def ends_at(self) -> float:
        return self._since + self._lasts

    def is_over(self, now: float) -> bool:
        return now >= self.ends_at

    def holds(self, now: float, in_flight: int) -> bool:
        """Is the member to have no more attempts for now?"""
        return in_flight + 1 > self.cap and now < self.ends_at

    def share(self, now: float) -> float:
        """Of the member's weight (rule 4)."""
        passed = (now - self._since) / self._lasts
        return min(1.0, max(LEAST_SHARE, passed))

    def succeeded(self) -> None:
        """First content came."""
        self.cap += 1 / self.cap if self._is_careful else 1.0

    def failed(self, now: float, in_flight: int) -> None:
        """A failure that counts (rule 2); `in_flight` are those that were, with the one that failed."""
        self._since = now
        self._is_careful = True
        self.cap = max(self._floor, min(self.cap, in_flight) / 2)
