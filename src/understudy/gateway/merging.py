"""The statistics of several workers as one's.

1. Numbers are added, also such as this file has never heard of. The exceptions are in `_RULES`.
2. Percentiles are those of all durations together, averages likewise.
3. The circuit shown is the worst of them; its failures are the most that one of them counts.
4. What a worker has counted is not lost with it. What it was about is: its attempts in flight, its circuit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from understudy.core.breaker import State
from understudy.core.latency import Latency
from understudy.core.member import Member
from understudy.core.stats import Percentiles, Stats

_DURATIONS = ("latency_ms", "first_content_ms")
_WORST = (State.CLOSED, State.HALF_OPEN, State.OPEN)
# Of a worker that has gone these are over; they are no counts.
_OVER = ("waiting", "tpm", "serving_rate", "bench_remaining_ms", "problem", "load_ms", "exhausted_ms",
         "ceilings", "slow_start", "patience_ms", "circuit_breaker", "drained")  # fmt: skip


def mergeable(stats: Stats, members: Sequence[Member]) -> dict[str, Any]:
    """The statistics' JSON, with the buckets of durations in the place of percentiles."""
    told = stats.to_dict()
    for member in members:
        backend, metrics = told["backends"][member.name], member.metrics
        for key, latency in zip(_DURATIONS, (metrics.latency, metrics.first_content), strict=True):
            backend[key] = dict(latency.written()[2])
    return told


def merged(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What `mergeable` gave for each worker, the one that answers first, as statistics' JSON."""
    stats: dict[str, Any] = _merge("", list(told))
    for backend in stats["backends"].values():
        durations = [_latency(backend[key]) for key in _DURATIONS]
        count = durations[0].count
        backend["avg_latency_ms"] = round(backend["total_latency_ms"] / count, 3) if count else None
        for key, latency in zip(_DURATIONS, durations, strict=True):
            backend[key] = Percentiles.of(latency).to_dict()
    return stats


def _latency(buckets: dict[int, int]) -> Latency:
    latency = Latency()
    latency.add((sum(buckets.values()), 0.0, buckets))
    return latency


def lasting(told: Mapping[str, Any]) -> dict[str, Any]:
    """Rule 4: what stays of one worker's statistics when it has ended."""
    stays = {key: value for key, value in told.items() if key not in _OVER}
    running = stays["in_flight"]
    stays["in_flight"] = 0
    counted = "total_requests" if "total_requests" in stays else "requests"
    stays[counted] -= running
    if "backends" in stays:
        stays["backends"] = {name: lasting(backend) for name, backend in told["backends"].items()}
    return stays


def succeeding(told: Mapping[str, Any], former: Mapping[str, Any]) -> dict[str, Any]:
    """The statistics of a worker that has taken another's place; backends that are gone are left out."""
    known = told["backends"]
    backends = {name: value for name, value in former["backends"].items() if name in known}
    return dict(_merge("", [told, {**former, "backends": backends}]))


def _merge(key: str, values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return known[0] if known else None
    if key in _RULES:
        return _RULES[key](known)
    if isinstance(known[0], Mapping):
        return _merge_mappings(known)
    if isinstance(known[0], bool):
        return any(known)
    return _sum(known) if isinstance(known[0], int | float) else known[0]


def _merge_mappings(values: Sequence[Mapping[Any, Any]]) -> dict[Any, Any]:
    keys = dict.fromkeys(key for value in values for key in value)
    return {key: _merge(key, [value.get(key) for value in values]) for key in keys}


def _sum(values: Iterable[float]) -> float:
    return round(sum(values), 9)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 3)


def _highest_of_each(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    keys = dict.fromkeys(key for value in values for key in value)
    return {key: max(value[key] for value in values if key in value) for key in keys}


def _worst(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rule 3."""
    worst = max(values, key=lambda value: _WORST.index(State(value["state"])))
    return {**worst, "failures": max(value["failures"] for value in values)}


_RULES: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    "avg_latency_ms": _mean,
    "bench_remaining_ms": max,
    "circuit_breaker": _worst,
    "exhausted_ms": max,
    "load_ms": _mean,
    "patience_ms": _highest_of_each,
    "remaining_ms": max,
    "serving_rate": _mean,
    "share": _mean,
}
