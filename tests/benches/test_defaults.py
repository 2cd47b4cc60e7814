"""What is said of a default must have been played, and be a default."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benches import defaults
from understudy.core import patience
from understudy.core.settings import REGISTRY

PAGE = Path(__file__).parents[2] / "docs" / "design" / "defaults.md"
KEYS = [sweep.key for sweep in defaults.SWEEPS]


@pytest.mark.parametrize("sweep", defaults.SWEEPS, ids=KEYS)
def test_the_default_is_among_the_candidates(sweep: defaults.Sweep) -> None:
    assert sweep.default in sweep.candidates


@pytest.mark.parametrize("name", sorted({name for sweep in defaults.SWEEPS for name in sweep.scenarios}))
def test_a_scenario_is_shorter_and_as_busy(name: str) -> None:
    made, shorter = defaults.scenario(name, 10), defaults.scenario(name, 40)
    assert made.duration == 4 * shorter.duration
    assert made.traffic.rate == shorter.traffic.rate
    assert all(phase.begin <= made.duration for phase in made.phases)


def test_a_change_befalls_the_backends_that_it_names() -> None:
    (phase,) = defaults.scenario("unreachable").phases
    assert (phase.effects.failures, phase.backends) == ((("unreachable", 1.0),), (1,))
    limited = defaults.scenario("all-limited")
    assert (limited.default.effects.rpm, limited.models, limited.traffic.rate) == (600.0, {}, 40.0)


def test_what_returns_keeps_its_begin_within_the_first_period() -> None:
    restart, cold = defaults.scenario("cold-start", 10).phases
    assert [(phase.begin, phase.length) for phase in (restart, cold)] == [(120, 60), (180, 480)]
    (down,) = defaults.scenario("flapping", 10).phases
    assert (down.begin, down.length) == (60, 20), "its first one is far from the second"


def test_restarts_of_all_are_as_in_the_scenario_of_one() -> None:
    one, everybody = defaults.scenario("cold-start"), defaults.scenario("all-cold")
    assert [replace(phase, backends=None) for phase in one.phases] == list(everybody.phases)
    assert everybody.traffic.rate == 3 * one.traffic.rate


def test_a_change_may_be_of_another_policy_than_its_sweep() -> None:
    (sweep,) = (sweep for sweep in defaults.SWEEPS if sweep.key == "slow_start_ms")
    policies = [
        defaults.played(sweep, 0, name, seed=0, shorter=240).pool.policy.name
        for name in ("cold-start", "cold-spread")
    ]
    assert policies == ["failover", "least_busy"]


def test_a_constant_is_itself_again_afterwards() -> None:
    with defaults.with_constant("core.patience:MARGIN", 7.0):
        assert patience.MARGIN == 7.0
    assert patience.MARGIN == 3.0


def test_a_sweep_shows_what_a_setting_does() -> None:
    told = list(defaults.lines(["connect_timeout_ms"], seeds=1, shorter=30, processes=1))
    assert told[1] == "### connect_timeout_ms"
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told[5:]]
    assert [row[1] for row in rows] == ["1000", "2000", "**5000**", "10000"]
    tails = [float(row[5]) for row in rows]
    assert tails == sorted(tails)
    assert tails[0] < tails[-1]


def test_a_sweep_of_a_constant_too() -> None:
    told = list(defaults.lines(["core.load:DECAY"], seeds=1, shorter=60, processes=1))
    assert len(told) > 6, "no candidate made a difference"


def test_what_makes_no_difference_is_told_in_one_line() -> None:
    (sweep,) = (sweep for sweep in defaults.SWEEPS if sweep.key == "queue_limit")
    assert list(defaults._of_scenario(sweep, "calm", [(100, ("1", "2")), (1000, ("1", "2"))])) == [
        "| calm | all | 1 | 2 |"
    ]


def test_the_page_has_every_sweep_with_its_default_and_no_other() -> None:
    text = PAGE.read_text()
    assert re.findall(r"^### `(.+)`", text, re.MULTILINE) == KEYS
    for sweep in defaults.SWEEPS:
        part = text.split(f"### `{sweep.key}`")[1].split("###")[0]
        assert f"**{sweep.default}**" in part, sweep.key


def test_the_page_names_each_setting_that_has_a_threshold() -> None:
    """Durations, counts and shares; also those that no scenario could judge are accounted for."""
    thresholds = [
        setting.key
        for setting in REGISTRY
        if re.search(r"_(ms|percent|limit|count|attempts|threshold|rate|max|rpm|concurrency)$", setting.key)
    ]
    text = PAGE.read_text()
    assert [key for key in thresholds if f"`{key}`" not in text] == []
