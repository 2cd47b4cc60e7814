"""The runs as a table for each scenario, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping

from benches.failover.figures import Run
from benches.failover.roster import ROSTER
from benches.failover.scenarios import SCENARIOS

HEAD = (
    "client",
    "answered",
    "whole",
    "short, unsaid",
    "garbled",
    "first content p50, ms",
    "p95",
    "p99",
    "attempts per answer",
    "wall, s",
)
Results = Mapping[str, Mapping[str, Run | str]]
"""By scenario and entry: a run, or the reason why there is none."""


def _percent(share: float) -> str:
    """Never 100 for a little less."""
    return f"{math.floor(share * 10) / 10:g} %"


def _milliseconds(seconds: float) -> str:
    return "–" if math.isnan(seconds) else f"{seconds * 1000:.0f}"


def cells(run: Run) -> list[str]:
    count, attempts = run.kinds(), run.attempts_per_answer()
    return [
        _percent(run.share(run.answered())),
        _percent(run.share(count["whole"])),
        str(count["short"]),
        str(count["garbled"]),
        *(_milliseconds(run.first(percent)) for percent in (50, 95, 99)),
        "–" if math.isnan(attempts) else f"{attempts:.2f}",
        f"{run.wall:.1f}",
    ]


def row(title: str, run: Run | str) -> str:
    """A run, or the reason why there is none."""
    told = [f"left out: {run}"] + [""] * (len(HEAD) - 2) if isinstance(run, str) else cells(run)
    return f"| {' | '.join([title, *told])} |"


def table(runs: Mapping[str, Run | str]) -> str:
    head = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    return "\n".join([*head, *(row(ROSTER[name].title, run) for name, run in runs.items())])


def tables(results: Results) -> Iterator[str]:
    for name, runs in results.items():
        scenario = SCENARIOS[name]
        yield f"\n### {scenario.title}: `{name}`\n\n{scenario.said}\n\n{table(runs)}"


def as_json(results: Results, facts: Mapping[str, object]) -> str:
    told = {
        scenario: {
            name: {"left_out": run} if isinstance(run, str) else run.to_dict() for name, run in runs.items()
        }
        for scenario, runs in results.items()
    }
    return json.dumps({**facts, "scenarios": told}, indent=1)
