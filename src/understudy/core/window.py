"""Five minutes of tokens, and how fast a member generates them.

Two figures that answer different questions:

1. `tpm`: tokens in and out of the last five minutes, divided by the minutes since the oldest of them,
   at least one. 1000 tokens and nothing after show 1000 at first, 250 four minutes later, 200 just
   before they expire, then 0.
2. `serving_rate`: visible output tokens divided by the minutes of generating them, per stream, so
   that a quiet user never makes a healthy backend look slow. Parallel streams are not added up.

Rules of the serving rate:

3. A stream generates from its first to its last content, plus a final stall, minus the time in which
   nothing was read because the caller was slow.
4. No evidence: streams under 1 s, and streams under both 20 tokens and 10 s. A running stream's
   evidence counts as it arrives, all of it once it has passed these bounds.
5. A figure needs 200 tokens or 20 s of generating time inside the window, else it is None.
6. Tokens are estimated on the way. The backend's own count, once known, corrects them where they were
   entered, so that estimates and corrections leave the window together.

Sums are kept in one-second buckets: adding is O(1), memory is bounded by the window.
"""

from __future__ import annotations

from collections import deque

SPAN = 300.0
ENOUGH_TOKENS = 200.0
ENOUGH_SECONDS = 20.0
SHORTEST_STREAM = 1.0
FEW_TOKENS = 20.0
SHORT_STREAM = 10.0


class Bucket:
    """What was added during one second."""

    __slots__ = ("second", "seconds", "tokens")

    def __init__(self, second: float, tokens: float, seconds: float) -> None:
        self.second = second
        self.tokens = tokens
        self.seconds = seconds

    def counts(self, now: float) -> bool:
        return now < self.second + SPAN


class RollingSum:
    """Tokens of the last five minutes, and the seconds that generating them took."""

    __slots__ = ("_buckets", "_seconds", "_tokens")

    def __init__(self) -> None:
        self._buckets: deque[Bucket] = deque()
        self._tokens = 0.0
        self._seconds = 0.0

    def add(self, now: float, tokens: float, seconds: float = 0.0) -> Bucket:
        """Returns the bucket it went into."""
        self._tokens += tokens
        self._seconds += seconds
        buckets = self._buckets
        if buckets:
            newest = buckets[-1]
            if newest.second == now // 1.0:
                newest.tokens += tokens
                newest.seconds += seconds
                return newest
        newest = Bucket(now // 1.0, tokens, seconds)
        buckets.append(newest)
        self._forget(now)
        return newest

    def revise(self, now: float, bucket: Bucket, tokens: float, seconds: float = 0.0) -> None:
        """Add to what an earlier `add` returned, unless that has left the window."""
        if bucket.counts(now):
            self._tokens += tokens
            self._seconds += seconds
            bucket.tokens += tokens
            bucket.seconds += seconds

    def total(self, now: float) -> tuple[float, float]:
        """Tokens and seconds."""
        tokens, seconds = self._tokens, self._seconds
        for bucket in self._buckets:
            if bucket.counts(now):
                break
            tokens -= bucket.tokens
            seconds -= bucket.seconds
        return tokens, seconds

    def oldest(self, now: float) -> float | None:
        """The second of the oldest bucket that still counts."""
        return next((bucket.second for bucket in self._buckets if bucket.counts(now)), None)

    def _forget(self, now: float) -> None:
        while not self._buckets[0].counts(now):
            expired = self._buckets.popleft()
            self._tokens -= expired.tokens
            self._seconds -= expired.seconds


class TokenWindow:
    """One member's tokens and generating time."""

    __slots__ = ("_tokens", "generated")

    def __init__(self) -> None:
        self._tokens = RollingSum()
        self.generated = RollingSum()

    def add(self, now: float, tokens: int) -> None:
        """Tokens in and out of one answer."""
        if tokens:
            self._tokens.add(now, tokens)

    def tpm(self, now: float) -> float | None:
        """Tokens per minute over the last five minutes (rule 1); None if there were none."""
        oldest = self._tokens.oldest(now)
        if oldest is None:
            return None
        return self._tokens.total(now)[0] / max(1.0, (now - oldest) / 60)

    def serving_rate(self, now: float) -> float | None:
        """Tokens per minute of generating (rule 2); None without enough evidence."""
        tokens, seconds = self.generated.total(now)
        if (tokens < ENOUGH_TOKENS and seconds < ENOUGH_SECONDS) or seconds <= 0:
            return None
        return tokens * 60 / seconds


class _Share:
    """What one stream put into one bucket."""

    __slots__ = ("bucket", "seconds", "tokens")

    def __init__(self, bucket: Bucket, tokens: float, seconds: float) -> None:
        self.bucket = bucket
        self.tokens = tokens
        self.seconds = seconds


class StreamEvidence:
    """One running stream's contribution to the serving rate.

    No struct of msgspec, for all that it is made for each stream: writing to a struct's field takes half as
    long again, and five are written with every piece of content.
    """

    __slots__ = ("_last", "_new_seconds", "_new_tokens", "_seconds", "_shares", "_tokens", "_window")

    def __init__(self, window: TokenWindow, now: float) -> None:
        """`now` is the instant of the first content."""
        self._window = window
        self._last = now
        self._tokens = self._seconds = 0.0
        self._new_tokens = self._new_seconds = 0.0  # those not entered yet
        self._shares: list[_Share] = []

    def content(self, now: float, tokens: float, paused: float = 0.0) -> None:
        """Content arrived: so many tokens; `paused` seconds of the gap the caller was slow."""
        self._tokens += tokens
        self._new_tokens += tokens
        self._passed(now, paused)

    def stalled(self, now: float, paused: float = 0.0) -> None:
        """The stream ended in a stall, which counts as generating time."""
        self._passed(now, paused)

    def correct(self, now: float, visible_tokens: int) -> None:
        """The stream is over, and the backend has counted its visible tokens (rule 6).

        A count of none is not believed: content was seen.
        """
        if visible_tokens <= 0 or self._tokens <= 0:
            return
        factor = visible_tokens / self._tokens
        self._tokens = float(visible_tokens)
        self._new_tokens *= factor
        if self._is_evidence():
            self._revise(now, factor - 1, 0.0)
            self._enter(now)
        else:
            self._revise(now, -1.0, -1.0)

    def _passed(self, now: float, paused: float) -> None:
        passed = max(0.0, now - self._last - paused)
        self._seconds += passed
        self._new_seconds += passed
        self._last = now
        if self._is_evidence():
            self._enter(now)

    def _is_evidence(self) -> bool:
        return self._seconds >= SHORTEST_STREAM and (
            self._tokens >= FEW_TOKENS or self._seconds >= SHORT_STREAM
        )

    def _enter(self, now: float) -> None:
        tokens, seconds = self._new_tokens, self._new_seconds
        self._new_tokens = self._new_seconds = 0.0
        bucket = self._window.generated.add(now, tokens, seconds)
        shares = self._shares
        if shares and shares[-1].bucket is bucket:
            shares[-1].tokens += tokens
            shares[-1].seconds += seconds
            return
        shares.append(_Share(bucket, tokens, seconds))
        if len(shares) > SPAN:
            del shares[0]  # as long ago as the window is wide, so nothing can be corrected there any more

    def _revise(self, now: float, tokens: float, seconds: float) -> None:
        """Add these fractions of every share."""
        for share in self._shares:
            self._window.generated.revise(now, share.bucket, tokens * share.tokens, seconds * share.seconds)
