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


BOUNDS = (0.05, 0.1, 1.0, 60.0, 300.0)

durations_to_count = st.lists(st.floats(1e-6, 1e6), max_size=200)


def under(durations: list[float], bound: float) -> int:
    return sum(duration <= bound for duration in durations)


def test_nothing_recorded_is_under_no_bound() -> None:
    assert Latency().counts_up_to(BOUNDS) == [0] * 5
    assert Latency().counts_up_to(()) == []


def test_durations_are_counted_up_to_each_bound() -> None:
    assert latency_of(0.01, 0.07, 0.5, 0.5, 59.0, 400.0).counts_up_to(BOUNDS) == [1, 2, 4, 5, 5]


@given(durations_to_count, st.lists(st.floats(1e-5, 1e5), min_size=1, max_size=20, unique=True).map(sorted))
def test_a_count_is_the_true_one_of_a_bound_at_most_two_percent_away(
    durations: list[float], bounds: list[float]
) -> None:
    counts = latency_of(*durations).counts_up_to(bounds)
    assert counts == sorted(counts)
    for bound, count in zip(bounds, counts, strict=True):
        assert under(durations, bound * 0.98) <= count <= under(durations, bound * 1.02)


@given(durations_to_count.filter(bool))
def test_a_count_agrees_with_the_percentiles(durations: list[float]) -> None:
    latency = latency_of(*durations)
    median = latency.percentile(50)
    assert median is not None
    half = math.ceil(len(durations) / 2)
    below, above = latency.counts_up_to((median * 0.999, median * 1.001))
    assert below < half <= above


@given(durations_to_count, st.floats(1e-6, 1e6))
def test_a_count_never_falls_with_time(durations: list[float], next_one: float) -> None:
    latency = latency_of(*durations)
    before = latency.counts_up_to(BOUNDS)
    latency.record(next_one)
    assert all(0 <= now - then <= 1 for then, now in zip(before, latency.counts_up_to(BOUNDS), strict=True))


def test_memory_is_bounded_by_the_range_not_by_the_count() -> None:
    latency = latency_of(*(10 ** (exponent / 100) for exponent in range(-700, 700)))
    assert sys.getsizeof(latency._buckets) < 40_000
    before = len(latency._buckets)
    for duration in (0.001, 0.1, 10.0) * 1000:
        latency.record(duration)
    assert len(latency._buckets) == before <= 730


@given(st.lists(st.floats(1e-5, 1e5), max_size=50))
def test_several_percentiles_are_found_at_once(durations: list[float]) -> None:
    latency = latency_of(*durations)
    assert latency.percentiles(50, 95, 99) == [latency.percentile(percent) for percent in (50, 95, 99)]


def test_who_asks_with_every_request_is_told_what_held_a_fiftieth_ago() -> None:
    latency = latency_of(*[1.0] * 500)
    before = latency.lately(99)
    told = []
    for _ in range(10):
        latency.record(9.0)
        told.append(latency.lately(99))
    assert latency.percentile(99) == pytest.approx(9.0, rel=0.02)
    assert told == [before] * 9 + [latency.percentile(99)]
    assert latency.lately(10) == latency.percentile(10), "another percentile is another question"
