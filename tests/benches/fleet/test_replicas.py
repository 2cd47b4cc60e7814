"""Facts about many replicas of one pool, in virtual time, with the product's own sharing."""

from __future__ import annotations

import pytest

from benches.fleet.replicas import AWAY, BACK, DOWN, HEALED, OVER, Figures, play
from understudy.runtime import link, sharing

REPLICAS = 20
RECOVERY = 30.0


@pytest.fixture(scope="module")
def fleet() -> Figures:
    return play(REPLICAS)


@pytest.fixture(scope="module")
def smaller() -> Figures:
    return play(REPLICAS // 4)


def per_replica(made: Figures) -> float:
    return made.idle.per_second() / made.replicas


def test_operations_grow_in_line_with_the_replicas(fleet: Figures, smaller: Figures) -> None:
    assert per_replica(fleet) == pytest.approx(per_replica(smaller), rel=0.05)
    busy = [made.busy.per_second() / made.replicas for made in (fleet, smaller)]
    assert busy[0] == pytest.approx(busy[1], rel=0.15)


def test_a_replica_that_nobody_asks_makes_as_many_operations_as_the_plan_says(fleet: Figures) -> None:
    beats = 1 / (sharing.IDLE * (1 - sharing.SPREAD / 2))
    assert per_replica(fleet) == pytest.approx(beats + 1 / sharing.STILL, rel=0.1)


def test_a_busy_one_makes_no_more_than_the_plan_says(fleet: Figures) -> None:
    beats = 1 / (sharing.BUSY * (1 - sharing.SPREAD / 2))
    assert fleet.busy.per_second() / REPLICAS < beats + 1 / sharing.PUBLISHED


def test_those_that_began_together_do_not_stay_together(fleet: Figures) -> None:
    assert fleet.idle.peak < REPLICAS / 2


def test_all_honour_an_opening_within_a_second(fleet: Figures) -> None:
    assert len(fleet.opened) == REPLICAS
    assert 0 < fleet.since_the_first(fleet.opened, 1.0) < 1.0


def test_all_honour_a_closing_within_a_second(fleet: Figures) -> None:
    assert len(fleet.closed) == REPLICAS
    assert fleet.closed[0] > HEALED
    assert 0 < fleet.since_the_first(fleet.closed, 1.0) < 1.0


def test_the_whole_fleet_makes_one_probe_for_each_recovery_time(fleet: Figures) -> None:
    due = int((AWAY - fleet.opened[0]) / RECOVERY)
    assert due == 2
    assert fleet.probes_in(DOWN, AWAY) == due
    assert fleet.probes_in(HEALED, OVER) == 1


def test_while_the_store_is_away_each_replica_makes_its_own(fleet: Figures) -> None:
    probes = fleet.probes_in(AWAY, BACK)
    assert 2 < probes <= 2 * REPLICAS


def test_a_store_that_is_away_costs_no_request(fleet: Figures) -> None:
    assert fleet.requests() > 500
    assert fleet.failed() == 0


def test_a_store_that_comes_back_is_not_overrun(fleet: Figures) -> None:
    assert fleet.longest_wait < link.PATIENCE / 2
    beats = 1 / (sharing.BUSY * (1 - sharing.SPREAD / 2))
    assert fleet.back.per_second() / REPLICAS < beats + 1.5


def test_a_store_that_refuses_comes_back_to_no_herd() -> None:
    fleet = play(REPLICAS, away="refused")
    assert fleet.back.peak < REPLICAS / 2
    assert fleet.failed() == 0


def test_the_same_seed_tells_the_same_story() -> None:
    one, other = play(3, seed=4), play(3, seed=4)
    assert (one.opened, one.closed, one.probes) == (other.opened, other.closed, other.probes)
    assert (one.idle, one.busy, one.back) == (other.idle, other.busy, other.back)
