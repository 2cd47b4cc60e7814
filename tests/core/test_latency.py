"""Percentiles of durations, in logarithmic buckets."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.core.latency import Latency


def latency_of(*durations: float) -> Latency:
    latency = Latency()
    for duration in durations:
        latency.record(duration)
    return latency


def test_nothing_recorded_has_neither_average_nor_percentile() -> None:
    assert Latency().average is None
    assert Latency().percentile(50) is None


def test_total_count_and_average_are_exact() -> None:
    latency = latency_of(0.5, 1.5, 4.0)
    assert (latency.total, latency.count, latency.average) == (6.0, 3, 2.0)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=200), st.sampled_from([1, 50, 95, 99, 100]))
def test_a_percentile_is_within_two_percent_of_the_true_one(durations: list[float], percent: int) -> None:
    true = sorted(durations)[math.ceil(len(durations) * percent / 100) - 1]
    found = latency_of(*durations).percentile(percent)
    assert found == pytest.approx(true, rel=0.02)


@pytest.mark.parametrize(("duration", "shown"), [(0.0, 1e-6), (-1.0, 1e-6), (1e9, 1e6)])
def test_what_is_out_of_range_shows_as_the_end_of_the_range(duration: float, shown: float) -> None:
    assert latency_of(duration).percentile(50) == pytest.approx(shown, rel=0.02)


def test_memory_is_bounded_by_the_range_not_by_the_count() -> None:
    latency = latency_of(*(10 ** (exponent / 100) for exponent in range(-700, 700)))
    assert sys.getsizeof(latency._buckets) < 40_000
    before = len(latency._buckets)
    for duration in (0.001, 0.1, 10.0) * 1000:
        latency.record(duration)
    assert len(latency._buckets) == before <= 730
