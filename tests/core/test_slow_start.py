"""Easing a member back in."""

from __future__ import annotations

import pytest

from understudy.core.slow_start import LEAST_SHARE, SlowStart

NOW = 1000.0


def test_it_begins_with_one_more_than_probes_were_allowed() -> None:
    start = SlowStart(NOW, 30.0, 1)
    assert not start.holds(NOW, 1)
    assert start.holds(NOW, 2)
    assert not SlowStart(NOW, 30.0, 4).holds(NOW, 4)
    assert repr(start) == "<SlowStart, 2.0 at once>"


def test_each_first_content_allows_one_more() -> None:
    start = SlowStart(NOW, 30.0, 1)
    for _ in range(3):
        start.succeeded()
    assert not start.holds(NOW, 4)
    assert start.holds(NOW, 5)


def test_a_failure_halves_and_from_then_on_it_grows_carefully() -> None:
    start = SlowStart(NOW, 30.0, 1)
    for _ in range(6):
        start.succeeded()
    start.failed(NOW, 8)
    assert start.cap == 4
    for _ in range(4):
        start.succeeded()
    assert start.cap == pytest.approx(4.95, abs=0.05), "as many first contents as it is wide make one more"


def test_what_is_halved_is_what_was_in_flight() -> None:
    start = SlowStart(NOW, 30.0, 1)
    for _ in range(20):
        start.succeeded()
    start.failed(NOW, 6)
    assert start.cap == 3


def test_it_never_falls_below_what_probes_are_allowed() -> None:
    start = SlowStart(NOW, 30.0, 2)
    for _ in range(5):
        start.failed(NOW, 1)
    assert start.cap == 2


def test_it_ends_with_its_time_which_a_failure_begins_anew() -> None:
    start = SlowStart(NOW, 30.0, 1)
    assert not start.is_over(NOW + 29.9)
    start.failed(NOW + 29.9, 2)
    assert not start.is_over(NOW + 30)
    assert start.holds(NOW + 59.8, 5)
    assert start.is_over(NOW + 59.9)
    assert not start.holds(NOW + 59.9, 5)
    assert start.ends_at == NOW + 59.9


def test_its_share_grows_in_line_with_time() -> None:
    start = SlowStart(NOW, 30.0, 1)
    assert start.share(NOW) == LEAST_SHARE
    assert start.share(NOW + 15) == 0.5
    assert start.share(NOW + 60) == 1.0
