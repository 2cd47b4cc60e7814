"""How many extras a pool allows itself: a share of its recent requests, and a few besides.

1. Counted are the requests and the extras of the last `SPAN` seconds, by the second.
2. There may be as many extras as the share of the requests comes to, and the floor besides, so that a quiet
   pool may have some as well. A share of 0 allows none at all.
3. All of it is O(1): there is one entry for each second that something was counted in.

After the retry budgets of Finagle: extras that are bounded by what is asked anyway make no outage worse.
"""

from __future__ import annotations

from collections import deque

SPAN = 10.0


class Recent:
    """How often something happened during the last `SPAN` seconds."""

    __slots__ = ("_seconds", "_total")

    def __init__(self) -> None:
        self._seconds: deque[list[float]] = deque()  # each second with its count
        self._total = 0

    def add(self, now: float) -> None:
        second = now // 1.0
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += 1
        else:
            self._forget(now)
            self._seconds.append([second, 1])
        self._total += 1

    def count(self, now: float) -> int:
        self._forget(now)
        return self._total

    def eases_at(self, now: float) -> float:
        """When the oldest of them will not count any more."""
        self._forget(now)
        return self._seconds[0][0] + SPAN if self._seconds else now

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0][0] + SPAN <= now:
            self._total -= int(self._seconds.popleft()[1])


class Budget:
    """One pool's requests and extras. `floor` is how many extras are allowed whatever the requests are."""

    __slots__ = ("_extras", "_requests", "floor")

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self._requests = Recent()
        self._extras = Recent()

    def __repr__(self) -> str:
        return f"<Budget, {self.floor} at least>"

    def request(self, now: float) -> None:
        self._requests.add(now)

    def allows(self, now: float, share: float) -> bool:
        """May there be another extra? `share` is a fraction of the requests."""
        if share <= 0:
            return False
        return self._extras.count(now) + 1 <= self.floor + share * self._requests.count(now)

    def spend(self, now: float) -> None:
        self._extras.add(now)

    def eases_at(self, now: float) -> float:
        """When an extra that is not allowed now may be allowed again."""
        return self._extras.eases_at(now)
