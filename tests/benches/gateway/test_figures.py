"""A percentile is a figure that was taken, never one in between."""

from __future__ import annotations

import pytest

from benches.gateway.figures import percentile, spread


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert percentile(range(100, 0, -1), share) == expected


def test_a_percentile_of_one_is_it() -> None:
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0


def test_a_spread_is_a_share_of_the_median() -> None:
    assert spread([90.0, 100.0, 130.0]) == pytest.approx(0.4)
    assert spread([5.0]) == spread([0.0, 0.0]) == 0.0
    assert spread([-2.0, -1.0, -1.0]) == 1.0
