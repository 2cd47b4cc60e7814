"""What a table's cells say, in words and letters: no meaning is in a colour alone.

A strip has a letter for each ten seconds:

====  =====================================
``·``  nothing happened
``o``  all was answered
``x``  some of it failed, up to a half
``X``  more than half of it failed
``r``  requests were refused, nothing failed
====  =====================================
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.core.history import Bucket
from understudy.core.stats import BackendStats

UNKNOWN = "–"

_PROBLEMS = {"missing": "can't be used", "no_key": "no key"}


def state(backend: BackendStats) -> str:
    """The first that holds: why it can't be asked, why it isn't, what is special about it."""
    circuit = backend.circuit_breaker
    if backend.problem is not None:
        return _PROBLEMS.get(backend.problem, backend.problem)
    if backend.drained:
        return "drained"
    if circuit.forced:
        return f"held {circuit.state}"
    if circuit.state == "open" and circuit.next_probe_in_ms is not None:
        return (
            f"open, probe in {seconds(circuit.next_probe_in_ms)}"
            if circuit.next_probe_in_ms
            else "open, probe due"
        )
    if circuit.state != "closed":
        return circuit.state
    if backend.bench_remaining_ms:
        return f"benched {seconds(backend.bench_remaining_ms)}"
    if backend.exhausted_ms:
        return f"limit used up, {seconds(backend.exhausted_ms)}"
    if backend.slow_start is not None:
        return f"slow start {backend.slow_start.share:.0%}"
    return "closed"


def is_well(backend: BackendStats) -> bool:
    return state(backend) == "closed"


def seconds(milliseconds: float) -> str:
    """Rounded up, so that what is not over is not shown as nought."""
    whole = -(-milliseconds // 1000)
    return f"{whole:.0f} s" if whole < 120 else f"{whole / 60:.0f} min"


def duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return UNKNOWN
    return f"{milliseconds:.0f} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"


def rate(fraction: float | None) -> str:
    return UNKNOWN if fraction is None else f"{fraction:.0%}"


def amount(number: float | None) -> str:
    """At most four letters and a unit."""
    if number is None:
        return UNKNOWN
    if number < 10_000:
        return f"{number:.0f}"
    return f"{number / 1000:.0f}k" if number < 1_000_000 else f"{number / 1_000_000:.1f}M"


def failures(backend: BackendStats) -> str:
    """The kinds, the most frequent first."""
    kinds = sorted(backend.by_kind.items(), key=lambda kind: -kind[1])
    return ", ".join(f"{kind} {count}" for kind, count in kinds)


def strip(buckets: Sequence[Bucket | None], length: int) -> str:
    return "".join(map(_letter, buckets[-length:]))


def _letter(bucket: Bucket | None) -> str:
    if bucket is None or not (bucket.ok or bucket.failed or bucket.refused):
        return "·"
    if bucket.failed:
        return "X" if bucket.failed > bucket.ok else "x"
    return "o" if bucket.ok else "r"
