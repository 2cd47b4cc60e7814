"""A table says no more than was measured."""

from __future__ import annotations

import json

from benches.failover.calls import Call
from benches.failover.figures import Run
from benches.failover.report import HEAD, as_json, cells, table, tables
from understudy.faults import TEXT

WHOLE = [Call(TEXT, 0.0123, None)] * 2999
RUN = Run([*WHOLE, Call(TEXT[:9], 1.04, None)], [3000, 150, 150], 61.26)


def test_nearly_all_is_not_all() -> None:
    assert cells(RUN) == ["100 %", "99.9 %", "1", "0", "12", "12", "12", "1.10", "61.3"]


def test_where_nobody_was_answered_there_are_no_figures() -> None:
    assert cells(Run([Call("", None, "Timeout")], [1], 2)) == [
        *("0 %", "0 %", "0", "0", "–", "–", "–", "–"),
        "2.0",
    ]


def test_who_is_left_out_is_listed_with_the_reason() -> None:
    lines = table({"understudy-failover": RUN, "langchain": "no such version"}).splitlines()
    assert lines[2].startswith("| **Understudy**, failover | 100 % | 99.9 % |")
    assert lines[3].startswith("| LangChain `with_fallbacks` | left out: no such version |")
    assert {line.count("|") for line in lines} == {len(HEAD) + 1}


def test_each_scenario_says_what_went_on() -> None:
    (told,) = tables({"brownout-many": {"langchain": RUN}})
    assert "`brownout-many`" in told
    assert "Backends `30% status 500`, `delay 3s`, `fine`; 8 at a time, " in told
    assert "each 1.2 s after its caller's last, 100 tokens/s." in told


def test_json_has_every_figure_and_every_reason() -> None:
    told = json.loads(as_json({"cut": {"langchain": RUN, "pydantic-ai": "no wheel"}}, {"seed": 7}))
    assert told["seed"] == 7
    assert told["scenarios"]["cut"]["langchain"]["whole"] == 2999
    assert told["scenarios"]["cut"]["pydantic-ai"] == {"left_out": "no wheel"}
