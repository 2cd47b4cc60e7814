"""What a member did of late, in buckets of ten seconds: the strip that a screen shows.

1. A bucket holds the facts of the ten seconds that their instants fall into, by the clock itself: the
   buckets of all members begin at the same instants.
2. Recording is O(1). At most `LENGTH` buckets are kept, each of a few numbers: the durations of first
   contents become one percentile when the bucket's time is over.
3. A failure is counted by its kind, a refusal (which blames nobody) apart, and whatever was cut short by
   its caller not at all.
"""

from __future__ import annotations

from collections import deque

import msgspec

from understudy.core.latency import Latency
from understudy.core.outcome import Failure
from understudy.errors import FailureKind

SECONDS = 10.0
LENGTH = 60
_PERCENT = 95


class Bucket(msgspec.Struct, frozen=True):
    """Ten seconds of a member. `by_kind` are the kinds of what `failed`."""

    ok: int
    failed: int
    refused: int
    p95_first_content_ms: float | None
    by_kind: dict[str, int]


class _Open:
    """The bucket that is being filled."""

    __slots__ = ("first_content", "kinds", "number", "ok", "refused", "until")

    def __init__(self, number: int) -> None:
        self.number = number
        self.until = (number + 1) * SECONDS
        self.ok = 0
        self.refused = 0
        self.kinds: dict[FailureKind, int] = {}
        self.first_content = Latency()

    def bucket(self) -> Bucket:
        seconds = self.first_content.percentile(_PERCENT)
        return Bucket(
            ok=self.ok,
            failed=sum(self.kinds.values()),
            refused=self.refused,
            p95_first_content_ms=None if seconds is None else round(seconds * 1000, 1),
            by_kind={str(kind): count for kind, count in self.kinds.items()},
        )


class History:
    """One member's last ten minutes."""

    __slots__ = ("_closed", "_open")

    def __init__(self) -> None:
        self._open = _Open(0)
        self._closed: deque[tuple[int, Bucket]] = deque(maxlen=LENGTH)

    def __repr__(self) -> str:
        return f"<History, {len(self._closed)} buckets and {self._open.bucket()!r}>"

    def began(self, now: float, seconds: float, duration_class: int) -> None:
        """A first content came after so many seconds, which are of this class of `core.latency`."""
        self._at(now).first_content.enter(seconds, duration_class)

    def succeeded(self, now: float) -> None:
        """A whole answer."""
        self._at(now).ok += 1

    def failed(self, now: float, failure: Failure) -> None:
        """Rule 3."""
        bucket = self._at(now)
        if failure.is_refusal:
            bucket.refused += 1
        else:
            bucket.kinds[failure.kind] = bucket.kinds.get(failure.kind, 0) + 1

    def strip(self, now: float) -> list[Bucket | None]:
        """The last `LENGTH` buckets, the newest last; None where nothing happened. Changes nothing."""
        known = dict(self._closed)
        known[self._open.number] = self._open.bucket()
        last = int(now // SECONDS)
        strip = [known.get(number) for number in range(last - LENGTH + 1, last + 1)]
        return [None if bucket == _NOTHING else bucket for bucket in strip]

    def _at(self, now: float) -> _Open:
        if now >= self._open.until:
            self._closed.append((self._open.number, self._open.bucket()))
            self._open = _Open(int(now // SECONDS))
        return self._open


_NOTHING = _Open(0).bucket()
