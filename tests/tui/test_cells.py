"""Facts about what cells say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.cli.builders import backend_stats
from understudy.core.history import Bucket
from understudy.core.stats import BackendStats, SlowStartStats
from understudy.tui import cells

WELL = backend_stats("a")


def with_circuit(**fields: Any) -> BackendStats:
    return replace(WELL, circuit_breaker=replace(WELL.circuit_breaker, **fields))


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        (WELL, "closed"),
        (replace(WELL, problem="no_key"), "no key"),
        (replace(WELL, problem="missing"), "can't be used"),
        (replace(WELL, drained=True, bench_remaining_ms=5.0), "drained"),
        (with_circuit(state="open", forced=True), "held open"),
        (with_circuit(forced=True), "held closed"),
        (with_circuit(state="open", next_probe_in_ms=12_001.0), "open, probe in 13 s"),
        (with_circuit(state="open", next_probe_in_ms=0.0), "open, probe due"),
        (with_circuit(state="open"), "open"),
        (with_circuit(state="half-open"), "half-open"),
        (replace(WELL, bench_remaining_ms=1.0), "benched 1 s"),
        (replace(WELL, exhausted_ms=300_000.0), "limit used up, 5 min"),
        (replace(WELL, slow_start=SlowStartStats(0.25, 2, 100.0)), "slow start 25%"),
    ],
)
def test_a_state_is_the_first_that_holds(backend: BackendStats, words: str) -> None:
    assert cells.state(backend) == words
    assert cells.is_well(backend) is (words == "closed")


def test_numbers_are_short() -> None:
    assert list(map(cells.amount, (None, 0, 9999, 10_000, 1_234_567))) == ["–", "0", "9999", "10k", "1.2M"]
    assert list(map(cells.duration, (None, 840.4, 12_345))) == ["–", "840 ms", "12.3 s"]
    assert list(map(cells.rate, (None, 0.0, 0.995))) == ["–", "0%", "100%"]


def test_failures_are_told_the_most_frequent_first() -> None:
    assert cells.failures(WELL) == ""
    assert cells.failures(replace(WELL, by_kind={"timeout": 1, "auth": 3})) == "auth 3, timeout 1"


def test_a_strip_has_a_letter_for_each_ten_seconds() -> None:
    def bucket(ok: int = 0, failed: int = 0, refused: int = 0) -> Bucket:
        return Bucket(ok, failed, refused, None, {})

    buckets = [
        bucket(9),
        None,
        bucket(2),
        bucket(1, 1),
        bucket(1, 2),
        bucket(0, 1),
        bucket(0, 0, 2),
        bucket(1, 0, 2),
        bucket(),
    ]
    assert cells.strip(buckets, 8) == "·oxXXro·"
    assert cells.strip([], 8) == ""
