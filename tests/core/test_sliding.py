"""How much there was in the last minute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.core.sliding import SPAN, Minute


def test_what_was_added_counts_for_a_minute_after_its_second() -> None:
    minute = Minute()
    minute.add(1000.2, 5)
    minute.add(1000.9, 5)
    assert minute.total(1000.9) == 10
    assert minute.total(1060.99) == 10
    assert minute.total(1061.0) == 0


def test_looking_changes_nothing() -> None:
    minute = Minute()
    minute.add(1000.0, 5)
    minute.total(2000.0)
    minute.room_at(2000.0, 1, 1)
    assert minute.total(1000.0) == 5
    assert repr(minute) == "<Minute of 5>"


def test_a_revision_goes_where_it_was_entered() -> None:
    minute = Minute()
    portion = minute.add(1000.0, 50)
    minute.add(1030.0, 1)
    assert minute.revise(1040.0, portion, -40)
    assert minute.total(1040.0) == 11
    assert minute.total(1061.0) == 1
    assert not minute.revise(1061.0, portion, -10)
    assert minute.total(1061.0) == 1


def test_there_is_room_when_enough_has_left() -> None:
    minute = Minute()
    minute.add(1000.0, 30)
    minute.add(1010.0, 30)
    minute.add(1020.0, 30)
    assert minute.room_at(1020.0, 10, 100) == 1020.0
    assert minute.room_at(1020.0, 20, 100) == 1061.0
    assert minute.room_at(1020.0, 60, 100) == 1071.0


def test_what_has_left_already_makes_no_more_room() -> None:
    minute = Minute()
    minute.add(1000.0, 90)
    minute.add(1055.0, 90)
    assert minute.room_at(1062.0, 20, 100) == 1116.0


def test_what_is_above_the_limit_by_itself_has_room_when_nothing_else_is_inside() -> None:
    minute = Minute()
    assert minute.room_at(1000.0, 500, 100) == 1000.0
    minute.add(1000.0, 1)
    assert minute.room_at(1000.0, 500, 100) == 1061.0


def test_what_has_been_given_back_whole_keeps_nobody_waiting() -> None:
    minute = Minute()
    minute.revise(1000.0, minute.add(1000.0, 80), -80)
    minute.add(1010.0, 60)
    assert minute.room_at(1010.0, 50, 100) == 1071.0


def test_memory_is_bounded_by_the_window() -> None:
    minute = Minute()
    for second in range(1000):
        minute.add(1000.0 + second, 0.1)
    assert len(minute._portions) <= SPAN + 2
    assert minute.total(5000.0) == 0
    minute.add(5000.0, 1)
    assert minute.total(5000.0) == 1, "no crumbs are left of what has gone"


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 50)), max_size=60), st.integers(1, 60))
def test_whoever_waits_for_room_never_passes_the_limit(steps: list[tuple[float, int]], limit: int) -> None:
    minute, now = Minute(), 1000.0
    added: list[tuple[float, int]] = []
    for gap, amount in steps:
        now = minute.room_at(now + gap, amount, limit)
        minute.add(now, amount)
        added.append((now, amount))
        inside = sum(a for at, a in added if at > now - SPAN)
        assert inside <= limit or inside == amount


def test_a_clock_that_goes_back_loses_nothing() -> None:
    minute = Minute()
    minute.add(1000.0, 5)
    minute.add(990.0, 5)
    assert minute.total(1000.0) == pytest.approx(10)
