"""The report as a table."""

from __future__ import annotations

import io
from typing import Any

import pytest

from understudy.cli.simulation_report import print_report

NEVER = {"p50": None, "p95": None, "p99": None}
FOUND: dict[str, Any] = {
    "profile": "pair", "policy": "failover", "scenario": "s", "duration_s": 90.0, "seed": 1, "requests": 100,
    "left": 2, "answered": 0.98765, "whole": 0.97, "interrupted": 1, "failed": 1, "wrong": 0,
    "first_content_s": {"p50": 0.6, "p95": 1.5, "p99": 61.0}, "extra_attempts_per_answer": 0.1234,
    "cost_usd": 12.345, "cost_partial": False, "wasted_usd": 1.5,
    "members": [
        {
            "name": "first", "attempts": 90, "answers": 80, "failures": {"connect": 4, "reset": 6},
            "input_tokens": 1, "output_tokens": 2, "cost_usd": None, "first_content_s": NEVER,
        }
    ],
    "outages": [
        {
            "backend": "first", "phase": "outage", "times": 3, "detected": 2, "to_detect_s": 1.5,
            "recovered": 3, "to_recover_s": 7200.0,
        }
    ],
}  # fmt: skip


def printed(*runs: tuple[str, dict[str, Any]]) -> str:
    stream = io.StringIO()
    print_report(runs, stream, plain=True)
    return stream.getvalue()


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.mark.parametrize(
    "line",
    [
        "Scenario: s, 90.0 s, seed 1",
        "Answered 98.765 %",
        "Whole answers 97.000 %",
        "First content p50 600 ms",
        "First content p99 61.0 s",
        "Extra attempts per answer 0.123",
        "Cost $12.35",
        "Wasted $1.50",
        "first 90 80 10 — — 2 —",
        "outage first 3 after 1500 ms (2 of 3) after 2.0 h",
    ],
)
def test_a_run_is_told_in_lines(line: str) -> None:
    assert line in lines(printed(("pair", FOUND)))


def test_two_runs_stand_side_by_side() -> None:
    text = printed(("one", FOUND), ("two", {**FOUND, "whole": None, "extra_attempts_per_answer": None}))
    assert "Whole answers 97.000 % —" in lines(text)
    assert "Extra attempts per answer 0.123 —" in lines(text)
    assert [line for line in lines(text) if line.endswith(":")] == ["one:", "two:"]


def test_a_bill_that_is_not_all_says_so() -> None:
    assert "Cost $12.35 and what has no price" in lines(printed(("one", {**FOUND, "cost_partial": True})))
    unknown = {**FOUND, "cost_usd": None, "wasted_usd": None}
    assert {"Cost —", "Wasted —"} <= set(lines(printed(("one", unknown))))


def test_what_never_happened_is_said() -> None:
    row = {**FOUND["outages"][0], "detected": 0, "to_detect_s": None}
    assert "outage first 3 never after 2.0 h" in lines(printed(("one", {**FOUND, "outages": [row]})))


def test_without_outages_there_is_no_table_of_them() -> None:
    assert "Outage" not in printed(("one", {**FOUND, "outages": []}))
