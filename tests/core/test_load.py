"""How long a member takes to begin: bad news at once, good news slowly."""

from __future__ import annotations

import pytest

from understudy.core.load import DECAY, LEAST, Load


def test_nothing_measured_is_cold() -> None:
    load = Load()
    assert load.is_cold
    assert load.seconds(1000.0) == 0.0
    assert repr(load) == "<Load, cold>"


def test_the_first_time_is_the_average() -> None:
    load = Load()
    load.began(1000.0, 0.5)
    assert not load.is_cold
    assert load.seconds(1000.0) == 0.5
    assert repr(load) == "<Load, 0.500 s at 1000>"


def test_a_peak_replaces_it_at_once() -> None:
    load = Load()
    load.began(1000.0, 0.5)
    load.began(1000.0, 4.0)
    assert load.seconds(1000.0) == 4.0


def test_a_lower_time_draws_it_down_the_more_the_longer_ago_the_last_one_was() -> None:
    soon, late = Load(), Load()
    for load in (soon, late):
        load.began(1000.0, 4.0)
    soon.began(1001.0, 1.0)
    late.began(1000.0 + DECAY, 1.0)
    assert soon.seconds(1001.0) == pytest.approx(3.9, abs=0.01)
    assert late.seconds(1000.0 + DECAY) == pytest.approx(2.104, abs=0.01)


def test_without_news_it_decays_so_that_a_slow_member_is_tried_again() -> None:
    load = Load()
    load.began(1000.0, 4.0)
    assert load.seconds(1000.0 + DECAY) == pytest.approx(4.0 / 2.718, abs=0.01)
    assert load.seconds(1000.0 + 10 * DECAY) < 0.001


def test_a_clock_that_stands_still_or_goes_back_raises_nothing() -> None:
    load = Load()
    load.began(1000.0, 4.0)
    assert load.seconds(900.0) == 4.0
    load.began(900.0, 1.0)
    assert load.seconds(900.0) == 4.0


def test_a_failure_is_twice_what_was_thought() -> None:
    load = Load()
    load.failed(1000.0, 0.001, 60.0)
    assert load.seconds(1000.0) == 2 * LEAST
    load.failed(1000.0, 0.001, 60.0)
    assert load.seconds(1000.0) == 4 * LEAST


def test_a_failure_is_never_more_than_the_longest_but_by_its_own_length() -> None:
    load = Load()
    for _ in range(20):
        load.failed(1000.0, 0.001, 60.0)
    assert load.seconds(1000.0) == 60.0
    load.failed(1000.0, 70.0, 60.0)
    assert load.seconds(1000.0) == 70.0


def test_what_was_given_up_only_raises() -> None:
    load = Load()
    load.began(1000.0, 1.0)
    load.gave_up(1000.0, 0.5)
    assert load.seconds(1000.0) == 1.0
    load.gave_up(1000.0, 3.0)
    assert load.seconds(1000.0) == 3.0
