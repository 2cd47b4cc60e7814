"""What a pool looks like at one instant: frozen, for every face. `to_dict` is the JSON, `str` the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from understudy.core import cost
from understudy.core.breaker import State
from understudy.core.cost import NOTHING_KNOWN, Bill
from understudy.core.latency import Latency
from understudy.core.settings import Ceilings

if TYPE_CHECKING:
    from understudy.core.member import Member
    from understudy.core.pool import Pool

# A monotonic instant as text (ISO 8601 UTC): core has no calendar, so the caller brings it.
Instant = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds, within 2 %; None before the first."""

    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, latency: Latency) -> Percentiles:
        return cls(*map(_milliseconds, latency.percentiles(50, 95, 99)))

    def to_dict(self) -> dict[str, float | None]:
        return {"p50": self.p50, "p95": self.p95, "p99": self.p99}


@dataclass(frozen=True, slots=True)
class CircuitStats:
    """`failures` are those inside the window; `next_probe_in_ms` is 0 when a probe would be let through.

    `forced`: an operator keeps it as it is.
    """

    state: str
    failures: int
    opened_at: str | None
    next_probe_in_ms: float | None
    last_failure: str | None
    forced: bool = False

    @classmethod
    def of(cls, member: Member, now: float, pool: Pool, instant: Instant) -> CircuitStats:
        breaker, settings = member.breaker, pool.settings.breaker
        state, opened_at = breaker.state(now, settings), breaker.opened_at
        probe_at = breaker.next_probe_at(now, settings)
        return cls(
            state=str(state),
            forced=breaker.forced is not None,
            failures=breaker.failures(now, settings),
            # Switched off, a breaker shows as closed before it hears of it.
            opened_at=None if opened_at is None or state is State.CLOSED else instant(opened_at),
            next_probe_in_ms=None if probe_at in (None, inf) else _milliseconds(max(0.0, probe_at - now)),
            last_failure=None if breaker.last_failure_at is None else instant(breaker.last_failure_at),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "failures": self.failures,
            "opened_at": self.opened_at,
            "next_probe_in_ms": self.next_probe_in_ms,
            "last_failure": self.last_failure,
            "forced": self.forced,
        }


@dataclass(frozen=True, slots=True)
class CeilingStats:
    """One ceiling, by its setting's key, and what of it is used now or was in the last minute."""

    key: str
    used: int
    limit: int

    @classmethod
    def of(cls, member: Member, now: float) -> tuple[CeilingStats, ...]:
        health, limits = member.health, member.settings.ceilings or Ceilings()
        all_of_them = (
            ("tpm_limit", health.tokens.total(now), limits.tokens),
            ("rpm_limit", health.asked.total(now), limits.requests),
            ("max_concurrency", member.in_flight, limits.concurrency),
            ("failover_in_rpm", health.taken_over.total(now), limits.takeovers),
        )
        return tuple(cls(key, round(used), limit) for key, used, limit in all_of_them if limit is not None)

    def to_dict(self) -> dict[str, int]:
        return {"used": self.used, "limit": self.limit}


@dataclass(frozen=True, slots=True)
class SlowStartStats:
    """`share` is the part of the member's weight that counts, `at_once` the most attempts in flight."""

    share: float
    at_once: int
    remaining_ms: float

    @classmethod
    def of(cls, member: Member, now: float) -> SlowStartStats | None:
        start = member.health.slow_start
        if start is None or start.is_over(now):
            return None
        return cls(round(start.share(now), 3), int(start.cap), round((start.ends_at - now) * 1000, 3))

    def to_dict(self) -> dict[str, float]:
        return {"share": self.share, "at_once": self.at_once, "remaining_ms": self.remaining_ms}


@dataclass(frozen=True, slots=True)
class BackendStats:
    """One member. Rates are tokens per minute, times milliseconds, `success_rate` a fraction.

    `load_ms` is the expected time to the first content, under policy fastest: of streams, or to the whole
    answer where there were none; `patience_ms` how long it is waited for, by the largest prompt in tokens,
    where the clock is adaptive; `exhausted_ms` how long its provider's limit is used up. Of its attempts,
    `recovered` went on with an answer that had broken off, `hedged` were made beside a late one, `lost` were
    slower than another, `broken` failed after their first content.
    """

    name: str
    requests: int
    successes: int
    failures: int
    timeouts: int
    refused: int
    cancelled: int
    in_flight: int
    input_tokens: int
    output_tokens: int
    estimated: int
    malformed_events: int
    total_latency_ms: float
    avg_latency_ms: float | None
    latency_ms: Percentiles
    first_content_ms: Percentiles
    tpm: float
    serving_rate: float | None
    by_kind: dict[str, int]
    refused_by_kind: dict[str, int]
    skips: dict[str, int]
    bench_remaining_ms: float
    problem: str | None
    success_rate: float | None
    circuit_breaker: CircuitStats
    drained: bool = False
    load_ms: float | None = None
    exhausted_ms: float = 0.0
    ceilings: tuple[CeilingStats, ...] = ()
    slow_start: SlowStartStats | None = None
    recovered: int = 0
    hedged: int = 0
    lost: int = 0
    patience_ms: tuple[tuple[int, float], ...] = ()
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    broken: int = 0
    bill: Bill = NOTHING_KNOWN

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @classmethod
    def of(cls, member: Member, now: float, pool: Pool, instant: Instant) -> BackendStats:
        metrics = member.metrics
        return cls(
            name=member.name,
            requests=metrics.requests,
            successes=metrics.successes,
            failures=metrics.failures,
            timeouts=metrics.timeouts,
            refused=metrics.refused,
            cancelled=metrics.cancelled,
            in_flight=metrics.in_flight,
            input_tokens=metrics.input_tokens,
            output_tokens=metrics.output_tokens,
            estimated=metrics.estimated_tokens,
            malformed_events=metrics.malformed_events,
            total_latency_ms=round(metrics.latency.total * 1000, 3),
            avg_latency_ms=_milliseconds(metrics.latency.average),
            latency_ms=Percentiles.of(metrics.latency),
            first_content_ms=Percentiles.of(metrics.first_content),
            tpm=round(member.window.tpm(now) or 0.0, 3),
            serving_rate=_rounded(member.window.serving_rate(now)),
            by_kind={str(kind): count for kind, count in metrics.by_kind.items()},
            refused_by_kind={str(kind): count for kind, count in metrics.refused_by_kind.items()},
            skips={str(reason): count for reason, count in metrics.skips.items()},
            bench_remaining_ms=_milliseconds(max(0.0, member.benched_until - now)) or 0.0,
            problem=None if member.problem is None else str(member.problem),
            drained=member.health.drained,
            success_rate=metrics.success_rate,
            circuit_breaker=CircuitStats.of(member, now, pool, instant),
            load_ms=_load(member, now),
            exhausted_ms=_milliseconds(max(0.0, member.health.exhausted_until - now)) or 0.0,
            ceilings=CeilingStats.of(member, now),
            slow_start=SlowStartStats.of(member, now),
            recovered=metrics.recovered,
            hedged=metrics.hedged,
            lost=metrics.lost,
            patience_ms=_patience(member, now),
            cached_tokens=metrics.cached_tokens,
            cache_write_tokens=metrics.cache_write_tokens,
            reasoning_tokens=metrics.reasoning_tokens,
            broken=metrics.broken,
            bill=cost.of_member(member),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "successes": self.successes,
            "failures": self.failures,
            "timeouts": self.timeouts,
            "refused": self.refused,
            "cancelled": self.cancelled,
            "in_flight": self.in_flight,
            "tokens": self.tokens,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "estimated": self.estimated,
            "malformed_events": self.malformed_events,
            "total_latency_ms": self.total_latency_ms,
            "avg_latency_ms": self.avg_latency_ms,
            "latency_ms": self.latency_ms.to_dict(),
            "first_content_ms": self.first_content_ms.to_dict(),
            "tpm": self.tpm,
            "serving_rate": self.serving_rate,
            "by_kind": self.by_kind,
            "refused_by_kind": self.refused_by_kind,
            "skips": self.skips,
            "bench_remaining_ms": self.bench_remaining_ms,
            "problem": self.problem,
            "drained": self.drained,
            "load_ms": self.load_ms,
            "exhausted_ms": self.exhausted_ms,
            "ceilings": {ceiling.key: ceiling.to_dict() for ceiling in self.ceilings},
            "slow_start": None if self.slow_start is None else self.slow_start.to_dict(),
            "recovered": self.recovered,
            "hedged": self.hedged,
            "lost": self.lost,
            "patience_ms": {str(size): limit for size, limit in self.patience_ms},
            "cached_tokens": self.cached_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "broken": self.broken,
            **self.bill.to_dict(),
            "circuit_breaker": self.circuit_breaker.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Stats:
    """One pool: its requests, and every member in the profile's order, untried ones too.

    `recovered` are breaks that somebody went on after, `hedged` requests that were made twice at once,
    `unretried` those that the retry budget kept from asking a backend again, `panicked` those that asked one
    in spite of its circuit, because nobody else was left. Where the state is shared, `workers` is how many
    processes are counted together, and `worker` the one that answers.
    """

    profile: str
    policy: str
    total_requests: int
    answered: int
    failed: int
    cancelled: int
    in_flight: int
    failed_over: int
    backends: tuple[BackendStats, ...]
    waiting: int = 0
    recovered: int = 0
    hedged: int = 0
    unretried: int = 0
    workers: int | None = None
    worker: str = ""
    panicked: int = 0

    @property
    def bill(self) -> Bill:
        """What is known of the members'."""
        return cost.in_all(backend.bill for backend in self.backends)

    def to_dict(self) -> dict[str, Any]:
        shared = {} if self.workers is None else {"workers": self.workers, "worker": self.worker}
        return {
            "profile": self.profile,
            **shared,
            "policy": self.policy,
            "total_requests": self.total_requests,
            "answered": self.answered,
            "failed": self.failed,
            "cancelled": self.cancelled,
            "in_flight": self.in_flight,
            "failed_over": self.failed_over,
            "waiting": self.waiting,
            "recovered": self.recovered,
            "hedged": self.hedged,
            "unretried": self.unretried,
            "panicked": self.panicked,
            **self.bill.to_dict(),
            "backends": {backend.name: backend.to_dict() for backend in self.backends},
        }

    def __str__(self) -> str:
        return "\n".join(_table(self))


def stats(pool: Pool, now: float, instant: Instant) -> Stats:
    """The pool at `now`. Changes nothing."""
    metrics = pool.metrics
    return Stats(
        profile=pool.profile,
        policy=pool.policy.name,
        total_requests=metrics.requests,
        answered=metrics.answered,
        failed=metrics.failed,
        cancelled=metrics.cancelled,
        in_flight=metrics.in_flight,
        failed_over=metrics.failed_over,
        backends=tuple(BackendStats.of(member, now, pool, instant) for member in pool.members),
        waiting=len(pool.queue),
        recovered=metrics.recovered,
        hedged=metrics.hedged,
        unretried=metrics.unretried,
        panicked=metrics.panicked,
    )


def _table(stats: Stats) -> list[str]:
    lines = [
        "Load Balancer Statistics",
        f"Profile: {stats.profile}",
        f"Total Requests: {stats.total_requests}",
        *(f"{label}: {count}" for label, count in extra_results(stats) if count),
        *(f"Cost: {spent}" for spent in [cost_words(stats.bill)] if spent),
    ]
    lines += ["", "Backend Metrics:"]
    for backend in stats.backends:
        lines.append(f"  {backend.name}")
        lines += [f"    {label}: {value}" for label, value in backend_lines(backend)]
    lines += ["", "Circuit Breaker States:"]
    return lines + [f"  {backend.name}: {backend.circuit_breaker.state}" for backend in stats.backends]


def extra_results(stats: Stats) -> list[tuple[str, int]]:
    """What is worth a line where it is not nought."""
    return [
        ("Recovered", stats.recovered),
        ("Hedged", stats.hedged),
        ("Not Asked Again", stats.unretried),
        ("Panicked", stats.panicked),
    ]


def backend_lines(backend: BackendStats) -> list[tuple[str, str]]:
    """Label and value of each line: five that are always there, then what is worth a line."""
    tried = backend.success_rate is not None
    always = [
        ("Requests", str(backend.requests)),
        ("Success Rate", f"{backend.success_rate:.1%}" if backend.success_rate is not None else "N/A"),
        ("Avg Latency", _shown(backend.avg_latency_ms) if tried else "N/A"),
        ("Tokens", str(backend.tokens)),
        ("TPM", f"{backend.tpm:.0f}"),
    ]
    return always + [(label, value) for label, value in _extra_lines(backend) if value]


def cost_words(bill: Bill) -> str:
    """Blank where nothing was spent that anybody knows of."""
    if not bill.usd:
        return ""
    remarks = [
        f"{cost.dollars(bill.wasted)} of it wasted" if bill.wasted else "",
        f"{cost.dollars(bill.estimated)} by estimate" if bill.estimated else "",
        f"attempts of unknown price: {bill.unpriced}" if bill.is_partial else "",
    ]
    told = ", ".join(filter(None, remarks))
    return cost.dollars(bill.usd) + (f" ({told})" if told else "")


def _extra_lines(backend: BackendStats) -> list[tuple[str, str]]:
    refused = ", ".join(f"{kind} {count}" for kind, count in backend.refused_by_kind.items())
    latency, first = backend.latency_ms.p95, backend.first_content_ms.p95
    bench, exhausted, start = backend.bench_remaining_ms, backend.exhausted_ms, backend.slow_start
    ceilings = (f"{ceiling.key} {ceiling.used}/{ceiling.limit}" for ceiling in backend.ceilings)
    patience = (f"{_shown(limit)} up to {size} tokens" for size, limit in backend.patience_ms)
    return [
        ("Failures", str(backend.failures)),
        ("Refused", f"{backend.refused} ({refused})" if backend.refused else ""),
        ("Cancelled", str(backend.cancelled or "")),
        ("In Flight", str(backend.in_flight or "")),
        ("Timeouts", str(backend.timeouts or "")),
        ("Latency p95", _shown(latency) if latency is not None else ""),
        ("First Content p95", _shown(first) if first is not None else ""),
        ("Serving Rate", f"{backend.serving_rate:.0f}" if backend.serving_rate is not None else ""),
        ("Skipped", ", ".join(f"{reason} {count}" for reason, count in backend.skips.items())),
        ("Recovered", str(backend.recovered or "")),
        ("Hedged", str(backend.hedged or "")),
        ("Lost", str(backend.lost or "")),
        ("Malformed Events", str(backend.malformed_events or "")),
        ("Benched For", _shown(bench) if bench else ""),
        ("Limit Used Up For", _shown(exhausted) if exhausted else ""),
        ("Ceilings", ", ".join(ceilings)),
        ("Expected First Content", _shown(backend.load_ms) if backend.load_ms is not None else ""),
        ("First Content Limit", ", ".join(patience)),
        ("Slow Start", f"{start.share:.0%}, {start.at_once} at once" if start is not None else ""),
        ("Broken Off", str(backend.broken or "")),
        ("Cost", cost_words(backend.bill)),
        ("Problem", backend.problem or ""),
        ("Drained", "by an operator" if backend.drained else ""),
    ]


def _load(member: Member, now: float) -> float | None:
    load = member.whole_load if member.load.is_cold else member.load
    return None if load.is_cold else _milliseconds(load.seconds(now))


def _patience(member: Member, now: float) -> tuple[tuple[int, float], ...]:
    """No longer than the member's setting says."""
    if not member.settings.adaptive:
        return ()
    longest = member.settings.timeouts.first_content
    limits = member.health.patience.limits(now).items()
    return tuple((size, round(min(limit, longest) * 1000, 3)) for size, limit in limits)


def _shown(milliseconds: float | None) -> str:
    return f"{milliseconds:.0f}ms"


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
