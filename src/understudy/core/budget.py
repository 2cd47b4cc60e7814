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

    __slots__ = ("_forgotten", "_next", "_seconds", "_total")

    def __init__(self) -> None:
        self._seconds: deque[tuple[float, int]] = deque()  # each second, with the total when it began
        self._next = 0.0  # when the newest second is over
        self._total = 0  # since ever
        self._forgotten = 0

    def add(self, now: float) -> None:
        if now >= self._next:
            self._turn(now)
        self._total += 1

    def count(self, now: float) -> int:
        self._forget(now)
        return self._total - self._forgotten

    def eases_at(self, now: float) -> float:
        """When the oldest of them will not count any more."""
        self._forget(now)
        return self._seconds[0][0] + SPAN if self._seconds else now

    def _turn(self, now: float) -> None:
        """A new second begins."""
        self._forget(now)
        second = now // 1.0
        self._seconds.append((second, self._total))
        self._next = second + 1.0

    def _forget(self, now: float) -> None:
        seconds = self._seconds
        while seconds and seconds[0][0] + SPAN <= now:
            seconds.popleft()
            self._forgotten = seconds[0][1] if seconds else self._total


class Budget:
    """Extras to one pool's requests. `floor` is how many are allowed whatever the requests are."""

    __slots__ = ("_extras", "_requests", "floor")

    def __init__(self, requests: Recent, floor: int) -> None:
        self.floor = floor
        self._requests = requests
        self._extras = Recent()

    def __repr__(self) -> str:
        return f"<Budget, {self.floor} at least>"

    def allows(self, now: float, share: float) -> bool:
        """May there be another extra? `share` is a fraction of the requests."""
        return self.room(now, share) >= 1

    def room(self, now: float, share: float) -> float:
        """How many more there may be."""
        if share <= 0:
            return 0.0
        most = self.floor + share * self._requests.count(now)
        return max(0.0, most - self._extras.count(now))

    def spend(self, now: float) -> None:
        self._extras.add(now)

    def eases_at(self, now: float) -> float:
        """When an extra that is not allowed now may be allowed again."""
        return self._extras.eases_at(now)
