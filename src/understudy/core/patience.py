"""How long one member's first content is worth waiting for, by its own recent answers.

1. Prompts are sorted by size, each class four times the one before; every class is judged by itself.
2. What counts are the newest answers: the last `GENERATION` to twice as many, none older than two
   generations of `LIFETIME`.
3. An attempt that was cut off before its content took *at least* so long. It enters as that, after Kaplan and
   Meier ("Nonparametric estimation from incomplete observations", 1958): as one of those that might have
   come later, not as one that came then. So limits are never drawn down by the cuts that they make.
4. The limit is `MARGIN` times the time within which `SHARE` of the answers began, at least `LEAST`. There is
   none with fewer than `ENOUGH` answers.
5. When so many were cut off that nobody can say within what time that share begins, the limit is twice what
   it was, and after the next cut twice that (as TCP's: Karn and Partridge, "Improving round-trip time
   estimates", 1987). So a member that has become slower gets through again after a few of them, and one
   that hangs does not get the whole of its time at once.
6. Times are kept in the buckets of `core.latency`, of 4 %. A limit is worked out anew after every tenth
   answer, and every cut.
"""

from __future__ import annotations

from collections import defaultdict

from understudy.core.latency import bucket_of, longest_in

GENERATION = 100
LIFETIME = 600.0
ENOUGH = 20
SHARE = 0.95
MARGIN = 3.0
LEAST = 1.0
_AFTER = 10


class _Times:
    """One generation of one class of prompts: how many began, and how many were cut, by class of time."""

    __slots__ = ("began", "count", "cut", "late_at", "since")

    def __init__(self, now: float) -> None:
        self.since = now
        self.late_at = now + LIFETIME
        self.began: defaultdict[int, int] = defaultdict(int)
        self.cut: defaultdict[int, int] = defaultdict(int)
        self.count = 0


class SizeClass:
    """One member's answers to prompts of about one size."""

    __slots__ = ("_fresh", "_limit", "_new", "_old")

    def __init__(self, now: float) -> None:
        self._new = _Times(now)
        self._old = _Times(now)
        self._fresh = 0
        self._limit: float | None = None

    def began(self, now: float, bucket: int) -> None:
        """The first content came, after a time of this bucket of `core.latency`."""
        times = self._times(now)
        times.count += 1
        times.began[bucket] += 1
        self._fresh -= 1

    def cut(self, now: float, seconds: float) -> None:
        """No content had come when the attempt was ended, by its limit or by whoever asked."""
        times = self._times(now)
        times.count += 1
        times.cut[bucket_of(seconds)] += 1
        self._fresh = 0

    def limit(self, now: float) -> float | None:
        """Seconds; None if too little is known."""
        if now >= self._new.late_at:
            self._turn(now)
        if self._fresh <= 0 or self._limit is None:
            self._limit = self._estimated()
            self._fresh = _AFTER
        return self._limit

    def _times(self, now: float) -> _Times:
        if self._new.count >= GENERATION or now >= self._new.late_at:
            self._turn(now)
        return self._new

    def _turn(self, now: float) -> None:
        """A generation that is full or too old makes room for the next."""
        is_gone = now >= self._new.since + 2 * LIFETIME
        self._old = _Times(now) if is_gone else self._new
        self._new = _Times(now)
        self._fresh = 0

    def _estimated(self) -> float | None:
        """Rules 3 to 5."""
        old, new = self._old, self._new
        if sum(old.began.values()) + sum(new.began.values()) < ENOUGH:
            return None
        left = old.count + new.count
        remaining = 1.0
        for index in sorted({*old.began, *old.cut, *new.began, *new.cut}):
            began = old.began.get(index, 0) + new.began.get(index, 0)
            remaining *= 1 - began / left
            if remaining <= 1 - SHARE:
                return max(LEAST, MARGIN * longest_in(index))
            left -= began + old.cut.get(index, 0) + new.cut.get(index, 0)
        return None if self._limit is None else 2 * self._limit


class Patience:
    """One member's."""

    __slots__ = ("_classes",)

    def __init__(self) -> None:
        self._classes: dict[int, SizeClass] = {}

    def __repr__(self) -> str:
        return f"<Patience with {len(self._classes)} sizes of prompts>"

    def of(self, now: float, size: int) -> SizeClass:
        """What is known of answers to prompts of about `size` tokens."""
        index = _class_of(size)
        known = self._classes.get(index)
        if known is None:
            known = self._classes[index] = SizeClass(now)
        return known

    def limits(self, now: float) -> dict[int, float]:
        """Seconds by the largest size of a class, where one is known."""
        found = {4 ** (index + 5): known.limit(now) for index, known in sorted(self._classes.items())}
        return {size: limit for size, limit in found.items() if limit is not None}


def _class_of(size: int) -> int:
    """Up to 1024 tokens 0, up to 4096 1, and so on; the last one is for all beyond four million."""
    return 0 if size <= 1024 else min(6, ((size - 1).bit_length() - 9) // 2)
