"""What befalls a backend, and when."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from understudy.simulate.fate import Fate, Stretch, stretches
from understudy.simulate.scenario import Effects, Phase, Scenario


def scenario(*phases: Phase, duration: float = 1000.0) -> Scenario:
    return Scenario("s", duration=duration, phases=phases)


def spans(*phases: Phase, seed: int = 1) -> list[tuple[float, float]]:
    return [(each.begin, each.end) for each in stretches(scenario(*phases), seed, 1000.0)]


def test_a_phase_happens_once_or_over_and_over() -> None:
    once = Phase("once", Effects(), 50, begin=100)
    assert spans(once) == [(1100, 1150)]
    assert spans(replace(once, every=300)) == [(1100, 1150), (1400, 1450), (1700, 1750)]


def test_what_would_begin_at_the_end_or_later_does_not_happen() -> None:
    assert spans(Phase("late", Effects(), 50, begin=1000)) == []
    assert spans(Phase("late", Effects(), 50, begin=1500, every=10)) == []


def test_instants_at_random_are_the_seeds() -> None:
    phase = Phase("sometimes", Effects(), 10, begin=200, random=5)
    drawn = spans(phase)
    assert len(drawn) == 5
    assert drawn == spans(phase) == sorted(drawn)
    assert all(1200 <= begin < 2000 for begin, _ in drawn)
    assert drawn != spans(phase, seed=2)
    assert drawn != spans(Phase("first", Effects(), 1, begin=5000), phase)


def fate(*found: Stretch, base: Effects | None = None) -> Fate:
    return Fate(base or Effects(), found)


def stretch(begin: float, end: float, *, cuts: bool = False, **effects: object) -> Stretch:
    phase = Phase("p", Effects(**effects), end - begin, begin=begin, cuts=cuts)  # type: ignore[arg-type]
    return Stretch(begin, end, phase)


def test_failures_of_all_that_holds_add_up() -> None:
    down = stretch(10, 20, failures=(("connect", 0.5),))
    both = fate(down, base=Effects(failures=(("500", 0.1), ("reset", 0.1))))
    assert [both.failure(5, roll) for roll in (0.05, 0.15, 0.25)] == ["500", "reset", None]
    assert [both.failure(10, roll) for roll in (0.05, 0.25, 0.69, 0.71)] == [
        "500",
        "connect",
        "connect",
        None,
    ]
    assert both.failure(20, 0.25) is None


def test_a_ramp_goes_from_its_begin_to_its_end() -> None:
    slower = fate(stretch(10, 20, latency=(1.0, 11.0), speed=(1.0, 0.5), concurrent=(2.0, 4.0)))
    assert [slower.latency(now) for now in (5, 10, 15, 20)] == [1, 1, 6, 1]
    slower = fate(stretch(10, 20, latency=(1.0, 11.0), speed=(1.0, 0.5), concurrent=(2.0, 4.0)))
    assert [slower.speed(now) for now in (5, 15)] == [1, 0.75]
    slower = fate(stretch(10, 20, latency=(1.0, 11.0), speed=(1.0, 0.5), concurrent=(2.0, 4.0)))
    assert [slower.concurrent(now) for now in (5, 15, 20)] == [inf, 3, inf]


def test_capacity_is_the_smallest_of_all_that_holds() -> None:
    assert fate(stretch(0, 9), stretch(0, 9, concurrent=(8.0, 8.0))).concurrent(1) == 8
    small = fate(stretch(0, 9, concurrent=(8.0, 8.0)), base=Effects(concurrent=(3.0, 3.0)))
    assert small.concurrent(1) == 3


def test_what_it_bears_is_another_figure_than_its_capacity() -> None:
    weak = fate(stretch(10, 20, topples=(2.0, 4.0)), base=Effects(topples=(3.0, 3.0)))
    assert [weak.topples(now) for now in (5, 10, 19)] == [3, 2, 3]
    assert weak.concurrent(10) == inf


def test_ceilings_are_the_lowest_of_all_that_holds() -> None:
    limited = fate(stretch(10, 20, rpm=5.0), base=Effects(rpm=60.0, tpm=1000.0))
    assert limited.ceilings(0) == (60, 1000)
    assert limited.ceilings(12) == (5, 1000)
    assert fate().ceilings(0) == (inf, inf)


def test_factors_of_the_backend_itself_hold_always() -> None:
    slow = fate(
        stretch(10, 20, latency=(3.0, 3.0), speed=(0.5, 0.5)), base=Effects(latency=(2, 2), speed=(0.5, 0.5))
    )
    assert (slow.latency(0), slow.speed(0)) == (2, 0.5)
    assert (slow.latency(12), slow.speed(12)) == (6, 0.25)


def test_only_a_phase_that_cuts_breaks_off_what_is_on_its_way() -> None:
    cut = fate(stretch(10, 20, cuts=True), stretch(15, 20), stretch(30, 31, cuts=True))
    assert [cut.next_cut(now) for now in (0, 10, 29.9, 30)] == [10, 30, 30, inf]
    assert fate(stretch(10, 20)).next_cut(0) == inf
