"""How long a first content is worth waiting for, under known distributions."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.core.latency import bucket_of
from understudy.core.patience import ENOUGH, GENERATION, LEAST, LIFETIME, MARGIN, Patience

NOW = 1000.0
SIZE = 500


def after(times: list[float], size: int = SIZE, now: float = NOW) -> Patience:
    patience = Patience()
    for seconds in times:
        patience.of(now, size).began(now, bucket_of(seconds))
    return patience


def lognormal(median: float, sigma: float, seed: int = 1) -> Callable[[], float]:
    rng = Random(seed)
    return lambda: median * rng.lognormvariate(0, sigma)


def test_with_few_answers_nothing_is_known() -> None:
    assert Patience().of(NOW, SIZE).limit(NOW) is None
    assert after([1.0] * (ENOUGH - 1)).of(NOW, SIZE).limit(NOW) is None
    assert after([1.0] * ENOUGH).of(NOW, SIZE).limit(NOW) is not None
    patience = after([1.0] * (ENOUGH - 1))
    assert patience.of(NOW, SIZE).limit(NOW) is None
    patience.of(NOW, SIZE).began(NOW, bucket_of(1.0))
    assert patience.of(NOW, SIZE).limit(NOW) is not None, "known as soon as there are enough"
    assert repr(after([1.0])) == "<Patience with 1 sizes of prompts>"


def test_the_limit_is_three_times_what_all_but_the_slowest_need() -> None:
    patience = after([1.0] * 95 + [10.0] * 5)
    assert patience.of(NOW, SIZE).limit(NOW) == pytest.approx(MARGIN * 1.0, rel=0.1)
    patience = after([1.0] * 90 + [10.0] * 10)
    assert patience.of(NOW, SIZE).limit(NOW) == pytest.approx(MARGIN * 10.0, rel=0.1)


@pytest.mark.parametrize("sigma", [0.2, 0.5, 0.8])
def test_hardly_an_honest_answer_is_cut_off(sigma: float) -> None:
    draw = lognormal(2.0, sigma)
    limit = after([draw() for _ in range(150)]).of(NOW, SIZE).limit(NOW)
    assert limit is not None
    late = sum(draw() > limit for _ in range(10_000))
    assert late <= 50, "at most half a percent"
    assert limit < 40, "and far below a minute"


def test_who_was_cut_off_before_is_not_counted_among_those_still_waiting() -> None:
    patience = Patience()
    for _ in range(40):
        patience.of(NOW, SIZE).cut(NOW, 1.0)
    for _ in range(GENERATION - 40):
        patience.of(NOW, SIZE).began(NOW, bucket_of(2.0))
    patience.of(NOW, SIZE).began(NOW, bucket_of(2.0))  # of the next generation
    assert patience.of(NOW, SIZE).limit(NOW) == pytest.approx(MARGIN * 2.0, rel=0.1)


def test_it_is_never_less_than_a_second() -> None:
    assert after([0.01] * 50).of(NOW, SIZE).limit(NOW) == LEAST


def test_sizes_are_judged_apart() -> None:
    patience = after([0.5] * 50)
    for _ in range(50):
        patience.of(NOW, 20_000).began(NOW, bucket_of(8.0))
    assert patience.of(NOW, 1024).limit(NOW) == pytest.approx(1.5, rel=0.1)
    assert patience.of(NOW, 1025).limit(NOW) is None
    assert (
        patience.of(NOW, 16_385).limit(NOW)
        == patience.of(NOW, 65_536).limit(NOW)
        == pytest.approx(24, rel=0.1)
    )
    assert patience.of(NOW, 65_537).limit(NOW) is None
    assert list(patience.limits(NOW)) == [1024, 65_536]


def test_nothing_and_anything_have_a_class() -> None:
    patience = after([1.0] * 30, size=0)
    assert patience.of(NOW, 1).limit(NOW) is not None
    patience = after([1.0] * 30, size=10**9)
    assert patience.of(NOW, 10**12).limit(NOW) is not None


def test_a_cut_is_no_answer_that_came_then() -> None:
    """As long as they are few, cuts at the limit leave the limit where it was."""
    patience = after([1.0] * 60)
    limit = patience.of(NOW, SIZE).limit(NOW)
    patience.of(NOW, SIZE).cut(NOW, 3.0)
    patience.of(NOW, SIZE).cut(NOW, 3.0)
    assert patience.of(NOW, SIZE).limit(NOW) == limit


def test_answers_cut_early_count_as_if_they_were_not_there() -> None:
    """Callers who leave at once say nothing about how long it would have taken."""
    patience = after([1.0] * 40 + [5.0] * 10)
    for _ in range(45):
        patience.of(NOW, SIZE).cut(NOW, 0.1)
    assert patience.of(NOW, SIZE).limit(NOW) == pytest.approx(MARGIN * 5.0, rel=0.1)


def test_after_a_few_cuts_nobody_can_say_and_the_limit_doubles_with_each() -> None:
    patience = after([1.0] * 90)
    limits = [patience.of(NOW, SIZE).limit(NOW)]
    for _ in range(8):
        patience.of(NOW, SIZE).cut(NOW, limits[-1] or 0.0)
        limits.append(patience.of(NOW, SIZE).limit(NOW))
    assert [round(limit or 0) for limit in limits] == [3, 3, 3, 3, 3, 6, 12, 24, 48]


def test_from_the_first_on_nothing_but_cuts_is_no_knowledge() -> None:
    patience = after([1.0] * ENOUGH)
    for _ in range(30):
        patience.of(NOW, SIZE).cut(NOW, 5.0)
    assert patience.of(NOW, SIZE).limit(NOW) is None


def test_what_is_old_is_forgotten() -> None:
    patience = after([10.0] * 50)
    assert patience.of(NOW + LIFETIME, SIZE).limit(NOW + LIFETIME) is not None
    assert patience.of(NOW + 2 * LIFETIME, SIZE).limit(NOW + 2 * LIFETIME) is None
    assert after([10.0] * 50).of(NOW + 2 * LIFETIME, SIZE).limit(NOW + 2 * LIFETIME) is None


def test_half_of_a_full_memory_goes_at_a_time() -> None:
    patience = after([10.0] * GENERATION)
    for _ in range(GENERATION):
        patience.of(NOW, SIZE).began(NOW, bucket_of(1.0))
    assert patience.of(NOW, SIZE).limit(NOW) == pytest.approx(30.0, rel=0.1)
    for _ in range(GENERATION):
        patience.of(NOW, SIZE).began(NOW, bucket_of(1.0))
    assert patience.of(NOW, SIZE).limit(NOW) == pytest.approx(3.0, rel=0.1)


def test_an_estimate_is_used_for_ten_answers() -> None:
    patience = after([1.0] * 20)
    assert patience.of(NOW, SIZE).limit(NOW) == pytest.approx(3.0, rel=0.1)
    for _ in range(9):
        patience.of(NOW, SIZE).began(NOW, bucket_of(10.0))
    assert patience.of(NOW, SIZE).limit(NOW) == pytest.approx(3.0, rel=0.1)
    patience.of(NOW, SIZE).began(NOW, bucket_of(10.0))
    assert patience.of(NOW, SIZE).limit(NOW) == pytest.approx(30.0, rel=0.1)


CEILING = 60.0


@given(
    st.integers(0, 2**32),
    st.lists(
        st.tuples(st.sampled_from([0.05, 0.3, 1.0, 3.0, 10.0, 25.0]), st.integers(10, 120)),
        min_size=1,
        max_size=6,
    ),
)
def test_no_change_of_pace_leads_into_a_spiral(seed: int, weathers: list[tuple[float, int]]) -> None:
    """Whatever a backend's pace has been: once it is steady, its answers get through again, and stay so."""
    rng, patience, now = Random(seed), Patience(), NOW
    weathers = [*weathers, (weathers[-1][0], 250)]
    ends: list[bool] = []
    for median, count in weathers:
        ends = []
        for _ in range(count):
            now += 1.0
            took = median * rng.lognormvariate(0, 0.3)
            limit = min(patience.of(now, SIZE).limit(now) or CEILING, CEILING)
            if took > limit:
                patience.of(now, SIZE).cut(now, limit)
            else:
                patience.of(now, SIZE).began(now, bucket_of(took))
            ends.append(took <= limit)
    assert sum(ends[-100:]) >= 97
    assert ends[:40].count(False) < 40
