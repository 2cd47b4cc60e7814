"""What is counted, per member and per pool. Every count is O(1).

A member's attempts are successes, failures, refused, cancelled, or in flight. Of a pool, always:
requests = answered + failed + cancelled + in flight.
"""

from __future__ import annotations

from understudy.core.latency import Latency, bucket_of
from understudy.core.outcome import Failure, Tokens
from understudy.errors import FailureKind, SkipReason


class MemberMetrics:
    """One member's attempts since start.

    Of them, `recovered` went on with an answer that another one had broken off, `hedged` were made beside a
    late one, `lost` were ended because another one was faster, `broken` failed after their first content.
    `in_flight` is counted along, because policies ask for it of every member with every request.
    `costs` are dollars by how attempts ended (`core.cost`), of those that are `priced`.
    """

    __slots__ = (
        "broken",
        "by_kind",
        "cache_write_tokens",
        "cached_tokens",
        "cancelled",
        "costs",
        "estimated_cost",
        "estimated_tokens",
        "failures",
        "first_content",
        "hedged",
        "in_flight",
        "input_tokens",
        "latency",
        "lost",
        "malformed_events",
        "output_tokens",
        "priced",
        "reasoning_tokens",
        "recovered",
        "refused",
        "refused_by_kind",
        "skips",
        "successes",
        "timeouts",
    )

    def __init__(self) -> None:
        self.in_flight = 0
        self.successes = 0
        self.failures = 0
        self.timeouts = 0
        self.refused = 0
        self.cancelled = 0
        self.recovered = 0
        self.hedged = 0
        self.lost = 0
        self.broken = 0
        self.by_kind: dict[FailureKind, int] = {}
        self.refused_by_kind: dict[FailureKind, int] = {}
        self.skips: dict[SkipReason, int] = {}
        self.malformed_events = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.estimated_tokens = 0
        self.latency = Latency()
        self.first_content = Latency()
        self.cached_tokens = 0
        self.cache_write_tokens = 0
        self.reasoning_tokens = 0
        self.costs: dict[str, float] = {}
        self.estimated_cost = 0.0
        self.priced = 0

    @property
    def ended(self) -> int:
        return self.successes + self.failures + self.refused + self.cancelled

    @property
    def requests(self) -> int:
        return self.ended + self.in_flight

    @property
    def unpriced(self) -> int:
        """Those that ended, and whose cost nobody knows."""
        return self.ended - self.priced

    @property
    def success_rate(self) -> float | None:
        """Successes among the attempts that say something about the backend; None if none did."""
        judged = self.successes + self.failures
        return self.successes / judged if judged else None

    def started(self) -> None:
        self.in_flight += 1

    def succeeded(self, duration: float) -> None:
        self.in_flight -= 1
        self.successes += 1
        self.latency.enter(duration, bucket_of(duration))

    def failed(self, failure: Failure, duration: float) -> None:
        """A failure that counts, a refusal that blames nobody, or a bug of ours."""
        self.in_flight -= 1
        self.by_kind[failure.kind] = self.by_kind.get(failure.kind, 0) + 1
        if failure.is_refusal:
            self.refused += 1
            self.refused_by_kind[failure.kind] = self.refused_by_kind.get(failure.kind, 0) + 1
            return
        self.failures += 1
        self.latency.record(duration)
        if failure.kind is FailureKind.TIMEOUT:
            self.timeouts += 1

    def abandoned(self, *, lost: bool) -> None:
        self.in_flight -= 1
        self.cancelled += 1
        self.lost += lost

    def skipped(self, reason: SkipReason) -> None:
        self.skips[reason] = self.skips.get(reason, 0) + 1

    def charged(self, end: str, usd: float, *, estimated: bool) -> None:
        """An attempt of known price that ended so."""
        self.priced += 1
        self.costs[end] = self.costs.get(end, 0.0) + usd
        if estimated:
            self.estimated_cost += usd

    def tokens(self, tokens: Tokens) -> None:
        self.input_tokens += tokens.input
        self.output_tokens += tokens.output
        self.cached_tokens += tokens.cached
        self.cache_write_tokens += tokens.cache_write
        self.reasoning_tokens += tokens.reasoning
        if tokens.estimated:
            self.estimated_tokens += tokens.input + tokens.output


class PoolMetrics:
    """One pool's requests since start.

    `recovered` are breaks that somebody went on after, `unretried` requests that the retry budget kept from
    asking a backend again, `panicked` requests that asked one in spite of its circuit. `starts` are
    the times in which streams of any member began, counted while hedging goes by percentiles.
    """

    __slots__ = (
        "answered",
        "cancelled",
        "failed",
        "failed_over",
        "hedged",
        "panicked",
        "recovered",
        "requests",
        "starts",
        "unretried",
    )

    def __init__(self) -> None:
        self.requests = 0
        self.answered = 0
        self.failed = 0
        self.cancelled = 0
        self.failed_over = 0
        self.recovered = 0
        self.hedged = 0
        self.unretried = 0
        self.panicked = 0
        self.starts = Latency()

    @property
    def in_flight(self) -> int:
        return self.requests - self.answered - self.failed - self.cancelled
