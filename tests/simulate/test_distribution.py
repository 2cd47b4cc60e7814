"""What is drawn has the distribution that was asked for."""

from __future__ import annotations

from random import Random

import pytest

from understudy.simulate.distribution import Draw, constant, exponential, lognormal, measured, uniform


def drawn(draw: Draw, count: int = 20_000) -> list[float]:
    chance = Random(1)
    return sorted(draw(chance) for _ in range(count))


def percentile(values: list[float], percent: float) -> float:
    return values[int(len(values) * percent / 100)]


def test_a_constant_is_itself() -> None:
    assert set(drawn(constant(0.5), 10)) == {0.5}


def test_a_lognormal_has_its_median_and_its_95th_percentile() -> None:
    values = drawn(lognormal(0.6, 1.5))
    assert percentile(values, 50) == pytest.approx(0.6, rel=0.03)
    assert percentile(values, 95) == pytest.approx(1.5, rel=0.03)


def test_an_exponential_has_its_mean() -> None:
    values = drawn(exponential(30))
    assert sum(values) / len(values) == pytest.approx(30, rel=0.03)
    assert percentile(values, 50) == pytest.approx(30 * 0.693, rel=0.03)


def test_a_uniform_stays_between_its_ends() -> None:
    values = drawn(uniform(1, 5))
    assert values[0] >= 1
    assert values[-1] <= 5
    assert percentile(values, 25) == pytest.approx(2, rel=0.03)


def test_measured_percentiles_are_met_and_nothing_lies_beyond_them() -> None:
    values = drawn(measured([(0, 0.2), (50, 0.6), (90, 2.0), (99, 8.0)]))
    assert values[0] >= 0.2
    assert values[-1] == 8.0
    assert percentile(values, 50) == pytest.approx(0.6, rel=0.03)
    assert percentile(values, 70) == pytest.approx(1.3, rel=0.05)
    assert percentile(values, 89) == pytest.approx(1.965, rel=0.05)


def test_the_last_measured_percentile_may_be_the_hundredth() -> None:
    values = drawn(measured([(0, 1.0), (100, 2.0)]))
    assert 1.0 <= values[0] < values[-1] <= 2.0
