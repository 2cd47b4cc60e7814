"""What a member did of late."""

from __future__ import annotations

import pytest

from tests.core.stage import Stage
from understudy.core.history import LENGTH, Bucket, History
from understudy.core.latency import bucket_of
from understudy.core.outcome import Failure
from understudy.errors import FailureKind

BROKEN = Failure(FailureKind.SERVER_ERROR, "500")
SILENT = Failure(FailureKind.TIMEOUT, "nothing came")
BENCHED = Failure(FailureKind.RATE_LIMITED, "429", 429, retry_after=3.0)
BUG = Failure(FailureKind.INTERNAL, "a bug")


def bucket(ok: int = 0, refused: int = 0, p95: float | None = None, **kinds: int) -> Bucket:
    return Bucket(ok, sum(kinds.values()), refused, p95, kinds)


def test_ten_minutes_in_buckets_of_ten_seconds_the_newest_last() -> None:
    history = History()
    history.succeeded(1000.0)
    history.succeeded(1009.9)
    history.succeeded(1010.0)
    strip = history.strip(1019.9)
    assert len(strip) == LENGTH == 60
    assert strip[-3:] == [None, bucket(ok=2), bucket(ok=1)]
    assert history.strip(1020.0)[-3:] == [bucket(ok=2), bucket(ok=1), None]


def test_buckets_begin_at_the_same_instants_whenever_the_first_fact_came() -> None:
    early, late = History(), History()
    early.succeeded(1001.0)
    late.succeeded(1009.0)
    assert early.strip(1010.0) == late.strip(1010.0)


def test_failures_are_counted_by_kind_and_refusals_apart() -> None:
    history = History()
    history.succeeded(1000.0)
    for failure in (BROKEN, SILENT, BROKEN, BENCHED, BUG):
        history.failed(1000.0, failure)
    assert history.strip(1000.0)[-1] == bucket(ok=1, refused=1, server_error=2, timeout=1, internal=1)


def test_what_its_caller_cut_short_is_not_counted() -> None:
    house = Stage("a")
    walk = house.begin()
    walk.asks("a")
    walk.dispatch.leave(house.now)
    assert house.member("a").metrics.cancelled == 1
    assert house.member("a").health.history.strip(house.now) == [None] * LENGTH
    assert History().strip(5.0) == [None] * LENGTH, "nor was there anything when the clock began"


def test_a_bucket_has_a_percentile_of_its_own_first_contents() -> None:
    history = History()
    for _ in range(99):
        history.began(1000.0, 0.1, bucket_of(0.1))
    history.began(1000.0, 9.0, bucket_of(9.0))
    history.began(1010.0, 2.0, bucket_of(2.0))
    first, second = history.strip(1010.0)[-2:]
    assert first is not None
    assert second is not None
    assert 98 < (first.p95_first_content_ms or 0) < 102
    assert 1960 < (second.p95_first_content_ms or 0) < 2040


def test_what_is_older_than_the_strip_is_forgotten() -> None:
    history = History()
    for number in range(200):
        history.succeeded(10.0 * number)
    assert len(history._closed) == LENGTH
    assert history.strip(1990.0) == [bucket(ok=1)] * LENGTH
    assert history.strip(1990.0 + 10 * LENGTH) == [None] * LENGTH


def test_looking_changes_nothing() -> None:
    history = History()
    history.succeeded(1000.0)
    history.strip(5000.0)
    history.succeeded(1001.0)
    assert history.strip(1000.0)[-1] == bucket(ok=2)
    assert "0 buckets" not in repr(history)


def test_a_clock_that_goes_back_loses_nothing() -> None:
    history = History()
    history.succeeded(1010.0)
    history.succeeded(1005.0)
    assert history.strip(1010.0)[-1] == bucket(ok=2)


def test_it_is_told_of_what_a_walk_comes_to() -> None:
    house = Stage("a", count=1)
    walk = house.begin()
    walk.asks("a")
    house.advance(0.5)
    walk.answers()
    walk = house.begin()
    walk.asks("a")
    walk.fails("server_error")
    seen = house.member("a").health.history.strip(house.now)[-1]
    assert seen is not None
    assert (seen.ok, seen.by_kind) == (1, {"server_error": 1})
    assert seen.p95_first_content_ms == pytest.approx(500, rel=0.02)
