"""What a scenario says of itself."""

from __future__ import annotations

import pytest

from understudy.simulate.scenario import DAY, Effects, Model, Phase, Scenario, Traffic


def test_a_day_is_busiest_at_noon() -> None:
    traffic = Traffic(rate=10, daily=0.5)
    assert [traffic.rate_at(hour * 3600) for hour in (0, 6, 12, 24)] == pytest.approx([5, 10, 15, 5])
    assert traffic.highest_rate == 15


def test_a_burst_begins_every_so_often() -> None:
    traffic = Traffic(rate=2, burst_every=600, burst_length=30, burst_factor=4)
    assert [traffic.rate_at(at) for at in (0, 29, 30, 599, 600, 630)] == [8, 8, 2, 2, 8, 2]
    assert traffic.highest_rate == 8


def test_no_rate_is_above_the_highest() -> None:
    traffic = Traffic(rate=2, daily=1.0, burst_every=600)
    assert max(traffic.rate_at(at * 60) for at in range(int(DAY / 60))) <= traffic.highest_rate


def test_a_model_is_found_by_name_then_by_position() -> None:
    default, first, named = Model(chunks=4), Model(chunks=5), Model(chunks=6)
    scenario = Scenario("s", default=default, models={1: first, "b": named})
    assert [scenario.model(*who) for who in (("a", 1), ("b", 1), ("c", 2))] == [first, named, default]


def test_a_phase_concerns_all_or_those_it_names() -> None:
    everybody, some = Phase("p", Effects(), 1), Phase("p", Effects(), 1, backends=(2, "c"))
    assert all(everybody.concerns(*who) for who in (("a", 1), ("b", 2)))
    assert [some.concerns(*who) for who in (("a", 1), ("b", 2), ("c", 3))] == [False, True, True]


@pytest.mark.parametrize(("shares", "is_outage"), [((), False), ((0.3,), False), ((0.3, 0.3), True)])
def test_an_outage_is_what_fails_more_often_than_not(shares: tuple[float, ...], is_outage: bool) -> None:
    effects = Effects(failures=tuple(("500", share) for share in shares))
    assert Phase("p", effects, 1).is_outage is is_outage
