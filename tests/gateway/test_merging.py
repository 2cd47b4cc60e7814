"""Facts about the statistics of several workers as one's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.stage import Stage
from tests.observe.test_prometheus import an_evening
from understudy.core.latency import Latency
from understudy.core.stats import Percentiles, stats
from understudy.gateway import merging


def told(stage: Stage) -> dict[str, Any]:
    return merging.mergeable(stats(stage.pool, stage.now, str), stage.pool.members)


def test_alone_they_are_what_they_were() -> None:
    evening = an_evening()
    assert merging.merged([told(evening)]) == stats(evening.pool, evening.now, str).to_dict()


def test_two_have_done_twice_as_much() -> None:
    evening = an_evening()
    one, two = told(evening), merging.merged([told(evening), told(evening)])
    for key in ("total_requests", "answered", "failed", "cancelled", "in_flight"):
        assert two[key] == 2 * one[key]
    for name, backend in one["backends"].items():
        both = two["backends"][name]
        for key in ("requests", "successes", "failures", "tokens", "total_latency_ms", "tpm"):
            assert both[key] == pytest.approx(2 * backend[key])
        assert both["by_kind"] == {kind: 2 * count for kind, count in backend["by_kind"].items()}
        assert both["skips"] == {reason: 2 * count for reason, count in backend["skips"].items()}
    assert (two["profile"], two["policy"]) == (one["profile"], one["policy"])


def backend(**figures: Any) -> dict[str, Any]:
    durations = {"latency_ms": {}, "first_content_ms": {}, "total_latency_ms": 0.0, "avg_latency_ms": None}
    return {"backends": {"a": {**durations, **figures}}}


def merged(*figures: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = merging.merged([backend(**each) for each in figures])["backends"]["a"]
    return found


def test_percentiles_are_those_of_all_durations_together() -> None:
    fast, slow, both = Latency(), Latency(), Latency()
    for latency, durations in [(fast, [0.1] * 9), (slow, [4.0, 5.0])]:
        for seconds in durations:
            latency.record(seconds)
            both.record(seconds)
    shown = merged(
        {"latency_ms": fast.written()[2], "total_latency_ms": 900.0, "avg_latency_ms": 100.0},
        {"latency_ms": slow.written()[2], "total_latency_ms": 9000.0, "avg_latency_ms": 4500.0},
    )
    assert shown["latency_ms"] == Percentiles.of(both).to_dict()
    assert shown["avg_latency_ms"] == 900.0


@pytest.mark.parametrize(
    ("key", "one", "other", "both"),
    [
        ("a_figure_of_tomorrow", 1, 2, 3),
        ("cost_of_tomorrow", 0.1, 0.25, 0.35),
        ("a_word_of_tomorrow", "x", "y", "x"),
        ("a_figure_of_tomorrow", None, 2, 2),
        ("a_figure_of_tomorrow", None, None, None),
        ("drained", False, True, True),
        ("problem", None, "no_key", "no_key"),
        ("serving_rate", 10.0, 20.0, 15.0),
        ("serving_rate", None, 20.0, 20.0),
        ("load_ms", 10.0, 20.0, 15.0),
        ("bench_remaining_ms", 10.0, 20.0, 20.0),
        ("exhausted_ms", 20.0, 10.0, 20.0),
        ("patience_ms", {"1000": 5.0}, {"1000": 9.0, "4000": 1.0}, {"1000": 9.0, "4000": 1.0}),
        (
            "slow_start",
            {"share": 0.2, "at_once": 1, "remaining_ms": 5.0},
            {"share": 0.4, "at_once": 2, "remaining_ms": 9.0},
            {"share": 0.3, "at_once": 3, "remaining_ms": 9.0},
        ),
        (
            "ceilings",
            {"rpm_limit": {"used": 1, "limit": 5}},
            {"rpm_limit": {"used": 2, "limit": 4}},
            {"rpm_limit": {"used": 3, "limit": 9}},
        ),
        (
            "circuit_breaker",
            {"state": "half-open", "failures": 3, "next_probe_in_ms": 0.0},
            {"state": "open", "failures": 2, "next_probe_in_ms": 7.0},
            {"state": "open", "failures": 3, "next_probe_in_ms": 7.0},
        ),
    ],
)
def test_what_two_say_becomes_one(key: str, one: Any, other: Any, both: Any) -> None:
    assert merged({key: one}, {key: other})[key] == both
    if isinstance(one, int | float) and isinstance(other, int | float):
        assert merged({key: other}, {key: one})[key] == both


def test_of_one_that_has_ended_its_counts_stay_and_what_it_was_about_does_not() -> None:
    evening = an_evening()
    whole, stays = told(evening), merging.lasting(told(evening))
    assert whole["in_flight"] > 0
    assert stays["total_requests"] == whole["total_requests"] - whole["in_flight"]
    assert stays["total_requests"] == sum(stays[key] for key in ("answered", "failed", "cancelled"))
    for name, was in whole["backends"].items():
        left = stays["backends"][name]
        ended = sum(left[key] for key in ("successes", "failures", "refused", "cancelled"))
        assert (left["in_flight"], left["requests"]) == (0, ended)
        assert left["latency_ms"] == was["latency_ms"]
        assert not left.keys() & {"circuit_breaker", "bench_remaining_ms", "tpm", "ceilings", "problem"}


def test_whoever_takes_its_place_goes_on_counting_from_there_for_backends_that_are_still_there() -> None:
    evening = an_evening()
    whole = told(evening)
    former = merging.lasting(whole)
    former["backends"]["gone"] = former["backends"]["a"]
    now = merging.succeeding(whole, former)
    assert now["answered"] == 2 * whole["answered"]
    assert now["in_flight"] == whole["in_flight"]
    assert now["backends"].keys() == whole["backends"].keys()
    assert now["backends"]["a"]["circuit_breaker"] == whole["backends"]["a"]["circuit_breaker"]
