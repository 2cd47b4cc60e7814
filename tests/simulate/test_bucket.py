"""A ceiling per minute."""

from __future__ import annotations

import pytest

from understudy.simulate.bucket import Bucket


def test_a_minutes_worth_is_there_at_first_and_refills_all_the_time() -> None:
    bucket = Bucket()
    assert bucket.left(0.0, 60) == 60
    bucket.take(60)
    assert bucket.wait(0.0, 1, 60) == pytest.approx(1.0)
    assert bucket.left(30.0, 60) == pytest.approx(30)
    assert bucket.wait(30.0, 1, 60) == 0


def test_it_never_holds_more_than_a_minutes_worth() -> None:
    bucket = Bucket()
    bucket.take(bucket.left(0.0, 60))
    assert bucket.left(3600.0, 60) == 60
    assert bucket.left(3600.0, 20) == 20


def test_what_never_fits_waits_for_a_full_bucket() -> None:
    bucket = Bucket()
    assert bucket.wait(0.0, 1000, 60) == 0
    bucket.take(1000)
    assert bucket.wait(0.0, 1000, 60) == pytest.approx(1000)
