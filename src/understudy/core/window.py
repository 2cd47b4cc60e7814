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


class RollingSum:
    """The sum of what was added in the last five minutes."""

    __slots__ = ("_buckets", "_total")

    def __init__(self) -> None:
        self._buckets: deque[list[float]] = deque()  # [second, sum]
        self._total = 0.0

    def add(self, now: float, amount: float) -> None:
        self._total += amount
        second = now // 1.0
        buckets = self._buckets
        if buckets and buckets[-1][0] == second:
            buckets[-1][1] += amount
            return
        buckets.append([second, amount])
        while buckets[0][0] + SPAN <= now:
            self._total -= buckets.popleft()[1]

    def total(self, now: float) -> float:
        return self._total - sum(bucket[1] for bucket in self._expired(now))

    def oldest(self, now: float) -> float | None:
        """The second of the oldest bucket that still counts."""
        return next((bucket[0] for bucket in self._buckets if bucket[0] + SPAN > now), None)

    def _expired(self, now: float) -> list[list[float]]:
        expired = []
        for bucket in self._buckets:
            if bucket[0] + SPAN > now:
                break
            expired.append(bucket)
        return expired


class TokenWindow:
    """One member's tokens and generating time."""

    __slots__ = ("_seconds", "_tokens", "_visible")

    def __init__(self) -> None:
        self._tokens = RollingSum()
        self._visible = RollingSum()
        self._seconds = RollingSum()

    def add(self, now: float, tokens: int) -> None:
        """Tokens in and out of one answer."""
        if tokens:
            self._tokens.add(now, tokens)

    def generated(self, now: float, tokens: float, seconds: float) -> None:
        """Evidence of one stream: visible tokens and the time it took to generate them."""
        self._visible.add(now, tokens)
        self._seconds.add(now, seconds)

    def tpm(self, now: float) -> float | None:
        """Tokens per minute over the last five minutes (rule 1); None if there were none."""
        oldest = self._tokens.oldest(now)
        if oldest is None:
            return None
        return self._tokens.total(now) / max(1.0, (now - oldest) / 60)

    def serving_rate(self, now: float) -> float | None:
        """Tokens per minute of generating (rule 2); None without enough evidence."""
        tokens = self._visible.total(now)
        seconds = self._seconds.total(now)
        if (tokens < ENOUGH_TOKENS and seconds < ENOUGH_SECONDS) or seconds <= 0:
            return None
        return max(0.0, tokens) * 60 / seconds


class StreamEvidence:
    """One running stream's contribution to the serving rate."""

    __slots__ = ("_last", "_reported_seconds", "_reported_tokens", "_seconds", "_tokens", "_window")

    def __init__(self, window: TokenWindow, now: float) -> None:
        """`now` is the instant of the first content."""
        self._window = window
        self._last = now
        self._tokens = 0.0
        self._seconds = 0.0
        self._reported_tokens = 0.0
        self._reported_seconds = 0.0

    def content(self, now: float, tokens: float, paused: float = 0.0) -> None:
        """Content arrived: so many tokens; `paused` seconds of the gap the caller was slow."""
        self._tokens += tokens
        self._passed(now, paused)

    def stalled(self, now: float, paused: float = 0.0) -> None:
        """The stream ended in a stall, which counts as generating time."""
        self._passed(now, paused)

    def correct(self, now: float, visible_tokens: int) -> None:
        """The backend's own count of visible tokens replaces what was estimated on the way.

        Evidence that has been given is corrected even if it would not have been given by this count.
        """
        self._tokens = float(visible_tokens)
        self._report(now, given=self._reported_seconds > 0)

    def _passed(self, now: float, paused: float) -> None:
        self._seconds += max(0.0, now - self._last - paused)
        self._last = now
        self._report(now)

    def _report(self, now: float, *, given: bool = False) -> None:
        short = self._seconds < SHORTEST_STREAM
        if not given and (short or (self._tokens < FEW_TOKENS and self._seconds < SHORT_STREAM)):
            return
        self._window.generated(
            now, self._tokens - self._reported_tokens, self._seconds - self._reported_seconds
        )
        self._reported_tokens = self._tokens
        self._reported_seconds = self._seconds
