"""One position of a profile, alive."""

from __future__ import annotations

from tests.core.stage import Stage, member


def test_a_bench_lasts_as_asked_but_never_longer_than_allowed() -> None:
    benched = member()
    assert benched.bench(1000.0, 5.0, 900.0) == 1005.0
    assert benched.bench(1000.0, 277403.0, 900.0) == 1900.0


def test_a_bench_is_never_shortened() -> None:
    benched = member()
    benched.bench(1000.0, 60.0, 900.0)
    assert benched.bench(1010.0, 5.0, 900.0) == 1060.0
    assert benched.benched_until == 1060.0


def test_repr_shows_health_and_load() -> None:
    shown = repr(Stage("a").member("a"))
    assert shown == "<Member a, <Breaker closed, 0 probes out, 0 failures>, 0 in flight>"
