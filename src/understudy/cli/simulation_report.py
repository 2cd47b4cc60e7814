"""A simulation's report: one run or two side by side, as a table that fits into 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table

Figures = Mapping[str, Any]
Titled = Sequence[tuple[str, Figures]]

_NOTHING = "—"


def print_report(runs: Titled, stream: TextIO, *, plain: bool) -> None:
    console = Console(
        file=stream, highlight=False, markup=False, emoji=False, no_color=plain or None, width=_width(stream)
    )
    first = runs[0][1]
    console.print(f"Scenario: {first['scenario']}, {_time(first['duration_s'])}, seed {first['seed']}")
    console.print(_summary(runs))
    for title, found in runs:
        if len(runs) > 1:
            console.print(f"{title}:")
        console.print(_members(found))
        if found["outages"]:
            console.print(_outages(found))


def _width(stream: TextIO) -> int | None:
    """What is piped somewhere has no width of its own."""
    return None if stream.isatty() else 100


def _summary(runs: Titled) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for title, _ in runs:
        table.add_column(title, justify="right", overflow="fold")
    for label, told in _ROWS:
        table.add_row(label, *(told(found) for _, found in runs))
    return table


def _first(name: str) -> Callable[[Figures], str]:
    return lambda found: _time(found["first_content_s"][name])


_ROWS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("Policy", lambda found: str(found["policy"])),
    ("Requests", lambda found: f"{found['requests']}"),
    ("Callers who left", lambda found: f"{found['left']}"),
    ("Answered", lambda found: _percent(found["answered"])),
    ("Whole answers", lambda found: _percent(found["whole"])),
    ("Interrupted", lambda found: f"{found['interrupted']}"),
    ("Failed", lambda found: f"{found['failed']}"),
    ("Wrong", lambda found: f"{found['wrong']}"),
    ("First content p50", _first("p50")),
    ("First content p95", _first("p95")),
    ("First content p99", _first("p99")),
    ("Extra attempts per answer", lambda found: _number(found["extra_attempts_per_answer"])),
    ("Cost", lambda found: _cost(found)),
    ("Wasted", lambda found: _dollars(found["wasted_usd"])),
)


def _members(found: Figures) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Backend", overflow="fold")
    for label in ("Attempts", "Answers", "Failures", "First p50", "First p99", "Tokens out", "Cost"):
        table.add_column(label, justify="right", overflow="fold")
    for member in found["members"]:
        first = member["first_content_s"]
        table.add_row(
            member["name"],
            str(member["attempts"]),
            str(member["answers"]),
            str(sum(member["failures"].values())),
            _time(first["p50"]),
            _time(first["p99"]),
            str(member["output_tokens"]),
            _dollars(member["cost_usd"]),
        )
    return table


def _outages(found: Figures) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Outage", overflow="fold")
    table.add_column("Backend", overflow="fold")
    for label in ("Times", "Detected", "Recovered"):
        table.add_column(label, justify="right", overflow="fold")
    for row in found["outages"]:
        table.add_row(
            row["phase"],
            row["backend"],
            str(row["times"]),
            _after(row["detected"], row["times"], row["to_detect_s"]),
            _after(row["recovered"], row["times"], row["to_recover_s"]),
        )
    return table


def _after(count: int, times: int, median: float | None) -> str:
    if median is None:
        return "never"
    often = "" if count == times else f" ({count} of {times})"
    return f"after {_time(median)}{often}"


def _percent(share: float | None) -> str:
    return _NOTHING if share is None else f"{share * 100:.3f} %"


def _number(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.3f}"


def _cost(found: Figures) -> str:
    return _dollars(found["cost_usd"]) + (" and what has no price" if found["cost_partial"] else "")


def _dollars(value: float | None) -> str:
    return _NOTHING if value is None else f"${value:.2f}"


def _time(seconds: float | None) -> str:
    """There are four cases: unknown, below ten seconds, below an hour, and longer."""
    if seconds is None:
        return _NOTHING
    if seconds < 10:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 3600 else f"{seconds / 3600:.1f} h"
