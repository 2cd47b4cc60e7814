"""A table says everything that was asked: figures, ratios, and who couldn't be measured, and why."""

from __future__ import annotations

import math

import pytest

from benches.gateway import columns, measurement
from benches.gateway.__main__ import as_json, print_report
from benches.gateway.failed import Failed
from benches.gateway.measurement import Figures, Measurement, Taken
from benches.gateway.measurements import ALL
from benches.gateway.plan import QUICK, Plan
from benches.gateway.roster import EVERYBODY
from benches.gateway.stage import Running, Stage


def nothing(running: Running, plan: Plan) -> Figures:
    raise AssertionError("not asked for")


MEASUREMENT = Measurement(
    name="unary",
    title="A title",
    note="A note.",
    proxies=["direct", "nginx", "floor", "litellm"],
    columns=[
        columns.figure("cost", "cost"),
        columns.times("× nginx", "cost", "nginx"),
        columns.against("LiteLLM ÷ it", "cost", "litellm"),
        columns.added("added", "seconds"),
    ],
    take=nothing,
)


def taken() -> Taken:
    result = Taken(MEASUREMENT)
    for cost in (20.0, 40.0, 30.0):
        result.add("nginx", {"cost": cost, "seconds": 1.25})
    result.add("direct", {"cost": math.nan, "seconds": 1.0})
    result.add("floor", {"cost": 1234.0, "seconds": 1.5})
    return result


def test_medians_ratios_and_what_is_added() -> None:
    assert taken().table().splitlines() == [
        "| | cost | × nginx | LiteLLM ÷ it | added |",
        "|---|---|---|---|---|",
        "| nginx, plain | 30 | 1.0 | – | 0.25 |",
        "| direct, no proxy | – | – | – | (1.00) |",
        "| bare uvicorn + aiohttp | 1 234 | 41.1 | – | 0.50 |",
    ]


def test_who_fails_is_listed_with_the_reason_and_no_figure() -> None:
    result = taken()
    result.fail("nginx", "event 2 | came")
    assert result.table().splitlines()[-1] == "| nginx, plain | not measured: event 2 ¦ came | | | |"
    assert "nginx" not in result.medians()


def test_rounds_far_apart_are_named() -> None:
    assert taken().noisy() == ["nginx (cost 67%)"]


def test_a_figure_that_nobody_has_is_a_dash() -> None:
    assert columns.number(math.nan) == "–"
    assert columns.number(3.14159) == "3.1"
    assert columns.number(1234567.0) == "1 234 567"
    assert columns.number(-0.512, 2) == "-0.51"


class Bare(Stage):
    """Nothing runs on it."""

    def running(self, name: str) -> Running:
        raise Failed(f"no {name} here")


def test_one_that_cannot_be_had_is_asked_for_once() -> None:
    result = measurement.run(Bare(1), MEASUREMENT, ["nginx", "portkey"], QUICK._replace(rounds=3))
    assert result.reasons == {"nginx": "no nginx here"}


def test_the_report_and_the_file_hold_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    result = taken()
    result.fail("litellm", "no wheel")
    print_report([result])
    said = capsys.readouterr().out
    assert said.startswith("\n### A title: `unary`\n\nA note.\n\n| | cost |")
    assert said.endswith("\nRounds far apart: nginx (cost 67%).\n")
    assert '"cost": [\n      20.0' in as_json([result], "a machine")
    assert '"litellm": "no wheel"' in as_json([result], "a machine")


def test_a_measurement_names_only_who_takes_part() -> None:
    for each in ALL.values():
        assert set(each.proxies) <= set(EVERYBODY)
        assert each.rounds(QUICK) == 1
