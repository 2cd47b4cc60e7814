"""A simulation from its profile to its last request."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.simulate.profiles import member, pair
from understudy.config.profile import LoadBalancerProfile
from understudy.errors import SettingError
from understudy.library.balancer import Balancer
from understudy.simulate.cast import make_cast
from understudy.simulate.crowd import Crowd
from understudy.simulate.distribution import constant, uniform
from understudy.simulate.figures import figures
from understudy.simulate.loop import VirtualLoop
from understudy.simulate.run import Run, nothing_is_left, scaled, simulate
from understudy.simulate.scenario import Effects, Model, Phase, Scenario, Traffic
from understudy.simulate.tally import End

STEADY = Model(first_content=constant(0.5), tokens_per_second=constant(100.0), error_after=constant(0.1))
CALM = Scenario("calm", duration=600, traffic=Traffic(rate=1.0, answer_tokens=constant(100)), default=STEADY)
OUTAGE = Phase("outage", Effects(failures=(("connect", 1.0),)), 120, begin=200, backends=(1,), cuts=True)
STRICT: dict[str, Any] = {"circuit_breaker_recovery_timeout_ms": 10_000}


def ends(run: Run) -> Counter[End]:
    return Counter(map(End, run.tally.ends))


def test_in_calm_every_answer_is_whole_and_the_first_backends() -> None:
    run = simulate(pair(), CALM)
    assert ends(run) == {End.WHOLE: len(run.tally)}
    assert set(run.tally.by) == {1}
    assert run.attempts == len(run.tally) == pytest.approx(600, rel=0.2)
    assert {round(first, 6) for first in run.tally.first} == {0.5}


def test_an_hour_takes_no_hour() -> None:
    began = time.monotonic()
    run = simulate(pair(), replace(CALM, duration=3600.0, traffic=Traffic(rate=0.01)))
    assert run.ended - run.began >= 3000
    assert time.monotonic() - began < 30


def test_in_an_outage_the_second_one_steps_in() -> None:
    run = simulate(pair(**STRICT), replace(CALM, phases=(OUTAGE,)))
    assert ends(run)[End.WHOLE] >= len(run.tally) - 3
    assert Counter(run.tally.by)[2] > 80
    (incident,) = run.incidents
    assert incident.detected is not None
    assert incident.recovered is not None
    assert 0 <= incident.detected - incident.stretch.begin < 30
    assert 0 < incident.recovered - incident.stretch.end < 30


def test_settings_override_the_profiles() -> None:
    patient = simulate(pair(), CALM, settings={"timeout_ms": 400, "stall_timeout_ms": 5000})
    assert ends(patient) == {End.FAILED: len(patient.tally)}
    with pytest.raises(SettingError, match="unknown setting"):
        simulate(pair(), CALM, settings={"timeout": 400})


def test_unary_calls_and_streams_come_in_their_shares() -> None:
    run = simulate(pair(), replace(CALM, traffic=replace(CALM.traffic, stream=0.5)))
    assert ends(run) == {End.WHOLE: len(run.tally)}
    firsts = Counter(round(first, 4) for first in run.tally.first)
    assert set(firsts) == {0.5, 1.49}
    assert firsts[0.5] == pytest.approx(len(run.tally) / 2, rel=0.2)


def test_unary_calls_that_fail_are_counted_too() -> None:
    down = replace(OUTAGE, backends=None, begin=0.0, length=700.0)
    run = simulate(pair(), replace(CALM, traffic=replace(CALM.traffic, stream=0.0), phases=(down,)))
    assert ends(run) == {End.FAILED: len(run.tally)}
    assert set(run.tally.errors) <= {"all_backends_failed", "no_backend_available"}


def test_callers_who_leave_are_counted_as_such() -> None:
    traffic = replace(CALM.traffic, leaves=0.3, patience=constant(1.0))
    run = simulate(pair(), replace(CALM, traffic=traffic))
    assert ends(run)[End.LEFT] == pytest.approx(len(run.tally) * 0.3, rel=0.3)
    patient = simulate(pair(), replace(CALM, traffic=replace(traffic, patience=constant(60.0))))
    assert ends(patient) == {End.WHOLE: len(patient.tally)}


def test_a_broken_stream_is_interrupted_or_recovered_but_never_wrong() -> None:
    broken = Phase("cuts", Effects(failures=(("cut", 0.3), ("stall", 0.1))), 600)
    run = simulate(pair(), replace(CALM, phases=(broken,)))
    found = ends(run)
    assert found[End.WRONG] == 0
    assert found[End.WHOLE] + found[End.INTERRUPTED] + found[End.FAILED] == len(run.tally)


def test_other_wordings_are_whole_as_well() -> None:
    scenario = replace(CALM, models={2: replace(STEADY, wording=1)}, phases=(OUTAGE,))
    run = simulate(pair(**STRICT), scenario)
    assert ends(run)[End.WRONG] == 0
    assert Counter(run.tally.by)[2] > 80


def test_sessions_ask_several_times() -> None:
    traffic = replace(CALM.traffic, rate=0.1, session=constant(3), think=constant(2.0))
    run = simulate(pair(), replace(CALM, traffic=traffic))
    assert len(run.tally) == pytest.approx(180, rel=0.4)


def test_a_session_ends_with_the_scenario() -> None:
    traffic = replace(CALM.traffic, rate=0.1, session=constant(1000), think=constant(5.0))
    run = simulate(pair(), replace(CALM, traffic=traffic))
    assert run.ended - run.began < 600 + 10


def test_clients_in_a_closed_loop_wait_for_their_answers() -> None:
    traffic = replace(CALM.traffic, process="closed", clients=10, think=constant(3.0))
    run = simulate(pair(), replace(CALM, traffic=traffic))
    assert len(run.tally) == pytest.approx(10 * 600 / (0.5 + 0.99 + 3.0), rel=0.05)
    few = simulate(pair(), replace(CALM, traffic=traffic), requests=55)
    assert 55 <= len(few.tally) <= 64
    sessions = replace(traffic, session=constant(4))
    assert 55 <= len(simulate(pair(), replace(CALM, traffic=sessions), requests=55).tally) <= 64


def test_the_number_of_requests_scales_the_rate() -> None:
    assert len(simulate(pair(), CALM, requests=2000).tally) == pytest.approx(2000, rel=0.1)
    daily = replace(CALM, duration=86_400.0, traffic=Traffic(rate=5, daily=0.5, session=uniform(1, 3)))
    assert scaled(daily, 864_000).traffic.rate == pytest.approx(5, rel=0.02)
    closed = replace(CALM, traffic=Traffic(process="closed"))
    assert scaled(closed, 9) is closed
    assert scaled(CALM, None) is CALM


def test_both_profiles_of_a_comparison_are_asked_the_same() -> None:
    one, other = simulate(pair(), CALM), simulate(pair("roundrobin"), CALM)
    assert sorted(one.tally.began) == sorted(other.tally.began)


@pytest.mark.parametrize("policy", ["failover", "roundrobin"])
def test_the_same_seed_makes_the_same_figures(policy: str) -> None:
    traffic = Traffic(rate=1.0, stream=0.8, leaves=0.1)
    phases = (
        OUTAGE,
        Phase("429", Effects(rpm=20.0), 100, begin=350),
        Phase("x", Effects(failures=(("cut", 0.2),)), 50),
    )
    scenario = Scenario("mixed", duration=600, traffic=traffic, phases=phases)
    first, second = (figures(simulate(pair(policy), scenario, seed=7)) for _ in range(2))
    assert json.dumps(first) == json.dumps(second)
    assert json.dumps(first) != json.dumps(figures(simulate(pair(policy), scenario, seed=8)))


def test_whoever_waits_is_woken_in_the_order_of_coming() -> None:
    """A set of waiters would be woken by their addresses, which no seed repeats."""
    down = Phase("down", Effects(failures=(("503", 1.0),)), 12, begin=10, every=40)
    scenario = Scenario("waiting", duration=90, traffic=Traffic(rate=20), phases=(down,))
    settings = {"circuit_breaker_recovery_timeout_ms": 3000}
    kept, found = [], set()
    for number in range(3):
        kept.append([object() for _ in range(1000 * number + 7)])  # so that addresses differ
        tally = simulate(pair("roundrobin"), scenario, settings=settings).tally
        found.add((bytes(tally.began), bytes(tally.first)))
    assert len(found) == 1


def test_another_process_makes_the_same_figures() -> None:
    """Nothing may hang on the order of a set or the address of an object."""
    program = (
        "import json; from understudy.cli import saved_profiles;"
        "from understudy.simulate.cast import load_cast;"
        "from understudy.simulate.figures import figures; from understudy.simulate.run import simulate;"
        "from understudy.simulate.scenario_file import load_scenario;"
        "cast = load_cast('testlb489', saved_profiles.store());"
        "print(json.dumps(figures(simulate(cast, load_scenario('correlated'), seed=3, requests=600))))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "UNDERSTUDY_HOME": str(Path("/nonexistent"))},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_a_bug_is_raised_and_not_counted() -> None:
    def broken(chance: object) -> float:
        raise RuntimeError("a bug")

    with pytest.raises(Exception, match="a bug"):
        simulate(pair(), replace(CALM, default=replace(STEADY, first_content=broken)))


def test_a_task_that_is_left_behind_is_a_bug() -> None:
    loop = VirtualLoop()

    async def play() -> None:
        forgotten = loop.create_task(asyncio.sleep(1))
        with pytest.raises(RuntimeError, match="1 tasks were left behind, the first: <Task"):
            await nothing_is_left(loop)
        await forgotten
        await nothing_is_left(loop)

    loop.run_until_complete(play())
    loop.close()


def test_a_crowd_shows_how_large_it_is() -> None:
    loop = VirtualLoop()
    crowd = Crowd(Traffic(), Balancer(pair().pool), loop, seed=1, positions={})
    assert repr(crowd) == "<Crowd, 0 requests begun, 0 callers>"
    loop.close()


def test_log_and_collector_are_as_they_were() -> None:
    logger = logging.getLogger("understudy")
    before = logger.level, gc.get_threshold()
    simulate(pair(), replace(CALM, duration=10.0))
    assert (logger.level, gc.get_threshold()) == before


def test_members_of_every_format_are_played() -> None:
    members = [member("a", "anthropic"), member("g", "gemini"), member("o")]
    cast = make_cast(LoadBalancerProfile("lb", "roundrobin", ("a", "g", "o")), members)
    run = simulate(cast, replace(CALM, traffic=replace(CALM.traffic, stream=0.5)))
    assert ends(run) == {End.WHOLE: len(run.tally)}
    assert set(run.tally.by) == {1, 2, 3}


def test_nobody_comes_to_a_scenario_too_short() -> None:
    run = simulate(pair(), replace(CALM, duration=0.001, traffic=Traffic(rate=0.01)))
    assert len(run.tally) == 0
