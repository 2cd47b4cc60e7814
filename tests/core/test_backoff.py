"""How long to wait before asking the same backend again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from understudy.core.backoff import delay

BASES = st.floats(0, 1e9)
JITTERS = st.floats(0, 1, exclude_max=True)


def test_it_doubles_up_to_eight_seconds() -> None:
    assert [delay(1.0, attempts, 0.0) for attempts in range(1, 7)] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_a_configured_delay_above_the_cap_is_the_cap() -> None:
    assert [delay(20.0, attempts, 0.0) for attempts in (1, 2, 3)] == [20.0, 20.0, 20.0]


def test_jitter_adds_up_to_a_tenth() -> None:
    assert delay(1.0, 1, 0.0) == 1.0
    assert delay(1.0, 1, 0.5) == 1.05
    assert 1.0999 < delay(1.0, 1, 0.9999) < 1.1


def test_a_hundred_attempts_overflow_nothing() -> None:
    assert delay(0.5, 100, 0.0) == 8.0
    assert delay(0.0, 100, 0.9) == 0.0


@given(BASES, st.integers(1, 100), JITTERS)
def test_it_is_never_less_than_configured_nor_more_than_the_cap_and_its_jitter(
    base: float, attempts: int, jitter: float
) -> None:
    assert base <= delay(base, attempts, jitter) <= max(8.0, base) * 1.1 + 1e-9
