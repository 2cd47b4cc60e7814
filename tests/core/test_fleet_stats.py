"""What all processes have counted, put together."""

from __future__ import annotations

import json

import pytest

from tests.core.stage import Stage, failure
from understudy.core import fleet_stats
from understudy.core.latency import Latency
from understudy.core.outcome import Tokens
from understudy.core.settings import Ceilings
from understudy.core.stats import Stats, stats


def stage(*, busy: int = 0, failing: int = 0) -> Stage:
    """So many requests were answered by the first, so many by the second after the first had failed."""
    made = Stage(members={"a": {"ceilings": Ceilings(tokens=10_000, requests=100)}}, count=1)
    for _ in range(busy):
        walk = made.begin()
        walk.asks("a")
        made.advance(2.0)
        walk.answers(Tokens(100, 50, False))
    for _ in range(failing):
        walk = made.begin()
        walk.asks("a")
        walk.settle(failure("invalid_request", status=400))
        walk.leaves()
    return made


def together(own: Stage, **others: Stage) -> Stats:
    published = {name: fleet_stats.written(other.pool, other.now) for name, other in others.items()}
    return fleet_stats.together(own.pool, own.now, str, "own", published)


def test_alone_it_is_what_the_pool_itself_says() -> None:
    own = stage(busy=2, failing=1)
    alone = together(own).to_dict()
    assert (alone.pop("workers"), alone.pop("worker")) == (1, "own")
    assert alone == stats(own.pool, own.now, str).to_dict()


def test_counts_are_added() -> None:
    fleet = together(stage(busy=2), other=stage(busy=3, failing=1))
    assert (fleet.workers, fleet.total_requests, fleet.answered, fleet.cancelled) == (2, 6, 5, 1)
    lead = fleet.backends[0]
    assert (lead.requests, lead.successes, lead.refused) == (6, 5, 1)
    assert (lead.input_tokens, lead.output_tokens) == (500, 250)
    assert lead.by_kind == lead.refused_by_kind == {"invalid_request": 1}
    assert lead.success_rate == 1.0
    assert isinstance(lead.requests, int)


def test_attempts_in_flight_are_those_of_all() -> None:
    own, other = stage(), stage()
    own.begin().asks("a")
    other.begin().asks("a")
    fleet = together(own, other=other)
    assert (fleet.in_flight, fleet.backends[0].in_flight) == (2, 2)


def test_durations_are_merged() -> None:
    lead = together(stage(busy=1), other=stage(busy=3)).backends[0]
    assert lead.latency_ms.p50 == pytest.approx(2000, rel=0.02)
    assert lead.total_latency_ms == pytest.approx(8000)


def test_rates_and_ceilings_are_those_of_all() -> None:
    own, other = stage(busy=1), stage(busy=2)
    own.slow("a", 1200)
    other.slow("a", 600)
    lead = together(own, other=other).backends[0]
    assert lead.tpm == 450
    assert lead.serving_rate == pytest.approx(900)
    assert {ceiling.key: ceiling.used for ceiling in lead.ceilings} == {"tpm_limit": 450, "rpm_limit": 3}


def test_who_waits_elsewhere_is_counted() -> None:
    other = Stage("a")
    other.open("a")
    other.advance(30.0)
    other.begin().asks("a")
    other.begin().waits()
    assert together(Stage("a"), other=other).waiting == 1


def test_circuits_are_our_own() -> None:
    own, other = stage(), stage()
    own.open("a")
    other.open("b")
    fleet = together(own, other=other)
    assert [backend.circuit_breaker.state for backend in fleet.backends] == ["open", "closed"]


def test_our_own_published_numbers_are_not_counted_again() -> None:
    own = stage(busy=2)
    published = {"own": fleet_stats.written(own.pool, own.now)}
    assert fleet_stats.together(own.pool, own.now, str, "own", published).total_requests == 2


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b'{"counted": 3, "members": {}}'])
def test_what_cannot_be_read_is_passed_over(text: bytes) -> None:
    own = stage(busy=1)
    fleet = fleet_stats.together(own.pool, own.now, str, "own", {"other": text})
    assert (fleet.workers, fleet.total_requests) == (1, 1)


def test_a_member_that_others_do_not_have_keeps_its_own() -> None:
    fleet = together(stage(busy=1), other=Stage("b"))
    assert fleet.backends[0].requests == 1


def test_putting_together_changes_nothing() -> None:
    own = stage(busy=2, failing=1)
    before = stats(own.pool, own.now, str)
    together(own, other=stage(busy=1))
    assert stats(own.pool, own.now, str) == before


def test_counts_tell_whether_anything_has_happened() -> None:
    made = stage(busy=1)
    before = fleet_stats.counts(made.pool)
    assert fleet_stats.counts(made.pool) == before
    made.begin()
    assert fleet_stats.counts(made.pool) != before


def test_written_it_is_json() -> None:
    assert "members" in json.loads(fleet_stats.written(stage(busy=1).pool, 1000.0))


def test_a_latency_takes_anothers_durations() -> None:
    one, other = Latency(), Latency()
    one.record(1.0)
    other.record(3.0)
    one.add(other.written())
    assert (one.count, one.total) == (2, 4.0)
    assert one.percentile(99) == pytest.approx(3.0, rel=0.02)
    assert other.count == 1
