"""A run in figures."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.simulate.profiles import member, pair
from understudy.simulate.cast import make_cast
from understudy.simulate.distribution import constant
from understudy.simulate.figures import figures
from understudy.simulate.run import Run, simulate
from understudy.simulate.scenario import Effects, Model, Phase, Scenario, Traffic
from understudy.simulate.tally import End, Tally

CALM = Scenario(
    "calm",
    duration=600,
    traffic=Traffic(rate=1.0, answer_tokens=constant(100), prompt_tokens=constant(50)),
    default=Model(first_content=constant(0.5), tokens_per_second=constant(100.0)),
)
OUTAGE = Phase("outage", Effects(failures=(("connect", 1.0),)), 100, begin=200, backends=(1,))

SILENCE = Phase("silence", Effects(failures=(("silence", 1.0),)), 100, begin=200, backends=(1,))


@pytest.fixture(scope="module")
def calm() -> Run:
    return simulate(pair(), CALM)


def counted(run: Run, *rows: tuple[float, float | None, End, int]) -> dict[str, Any]:
    """The figures of such requests."""
    tally = Tally()
    for began, first, end, by in rows:
        tally.add(run.began + began, None if first is None else run.began + began + first, end, by)
    return figures(replace(run, tally=tally, attempts=len(rows) + 1))


def test_shares_are_of_those_who_stayed(calm: Run) -> None:
    found = counted(
        calm,
        (0, 1.0, End.WHOLE, 1),
        (1, 1.0, End.INTERRUPTED, 0),
        (2, None, End.FAILED, 0),
        (3, 1.0, End.WRONG, 1),
        (4, None, End.LEFT, 0),
    )
    assert (found["requests"], found["left"]) == (5, 1)
    assert (found["answered"], found["whole"]) == (0.75, 0.25)
    assert (found["interrupted"], found["failed"], found["wrong"]) == (1, 1, 1)
    assert found["extra_attempts_per_answer"] == 1.0


def test_percentiles_are_of_the_callers_own_first_content(calm: Run) -> None:
    rows = [(0.0, float(number), End.WHOLE, 1) for number in range(1, 101)]
    found = counted(calm, *rows, (0.0, None, End.FAILED, 0))
    assert found["first_content_s"] == {"p50": 50, "p95": 95, "p99": 99}


def test_of_nothing_there_are_no_shares(calm: Run) -> None:
    found = counted(calm)
    assert found["whole"] is None
    assert found["extra_attempts_per_answer"] is None
    assert found["first_content_s"] == {"p50": None, "p95": None, "p99": None}


def test_the_timeline_puts_each_request_where_it_began(calm: Run) -> None:
    found = counted(calm, (0, 1.0, End.WHOLE, 1), (15, 3.0, End.WHOLE, 2), (600, None, End.FAILED, 0))
    timeline = found["timeline"]
    assert [entry["at_s"] for entry in timeline[:3]] == [0, 10, 20]
    assert [timeline[index]["requests"] for index in (0, 1, 2, 59)] == [1, 1, 0, 1]
    assert timeline[1]["answers"] == {"first": 0, "second": 1}
    assert timeline[1]["first_content_s"]["p50"] == 3
    assert [timeline[index]["whole"] for index in (0, 2, 59)] == [1, None, 0]


def test_the_bill_is_tokens_by_price(calm: Run) -> None:
    found = figures(calm)
    first, second = found["members"]
    requests = found["requests"]
    assert first["output_tokens"] == requests * 100
    assert first["input_tokens"] == requests * 50
    assert first["cost_usd"] == pytest.approx(requests * (50 * 1 + 100 * 4) / 1e6, abs=1e-6)
    assert second["cost_usd"] == 0
    assert found["cost_usd"] == first["cost_usd"]


def test_a_bill_with_an_unknown_price_is_unknown() -> None:
    found = figures(simulate(make_cast(member("a")), replace(CALM, duration=10)))
    assert found["members"][0]["cost_usd"] is None
    assert (found["cost_usd"], found["wasted_usd"], found["cost_partial"]) == (None, None, True)


def test_what_failed_is_in_the_bill_and_wasted() -> None:
    found = figures(simulate(pair(), replace(CALM, phases=(SILENCE,))))
    first = found["members"][0]
    assert first["failures"].keys() == {"timeout"}
    prompts = first["failures"]["timeout"] * 50
    assert first["wasted_usd"] == found["wasted_usd"] == pytest.approx(prompts * 1 / 1e6, rel=0.5)
    assert first["wasted_usd"] > 0
    assert not found["cost_partial"]


def test_members_are_told_with_their_attempts_and_failures() -> None:
    found = figures(simulate(pair(), replace(CALM, phases=(OUTAGE,))))
    first, second = found["members"]
    assert first["failures"]["connect"] == first["attempts"] - first["answers"]
    assert first["answers"] + second["answers"] == found["requests"]
    assert second["first_content_s"]["p50"] == pytest.approx(0.5, rel=0.02)


def test_an_outage_has_its_times_to_detect_and_to_recover() -> None:
    settings = {"circuit_breaker_recovery_timeout_ms": 5000}
    found = figures(
        simulate(pair(), replace(CALM, phases=(replace(OUTAGE, every=200.0),)), settings=settings)
    )
    (row,) = found["outages"]
    assert (row["backend"], row["phase"], row["times"], row["detected"]) == ("first", "outage", 2, 2)
    assert 0 <= row["to_detect_s"] < 20
    assert 0 < row["to_recover_s"] < 20


def test_what_nobody_noticed_has_no_time() -> None:
    idle = replace(OUTAGE, backends=(2,))
    (row,) = figures(simulate(pair(), replace(CALM, phases=(idle,))))["outages"]
    assert (row["detected"], row["to_detect_s"], row["recovered"], row["to_recover_s"]) == (0, None, 0, None)


def test_all_of_it_is_json(calm: Run) -> None:
    assert json.loads(json.dumps(figures(calm))) == figures(calm)
