"""The statistics as a table on a terminal.

1. Every number of the plain table is here, under the same label: five are columns, the rest are lines
   of details. The circuit's state has a column, and what is known of it stands in the details.
2. It fits into 80 columns, long names folded, and says everything in words: colour repeats, it adds
   nothing. `NO_COLOR` and dumb terminals are obeyed.
"""

from __future__ import annotations

from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from understudy.core.stats import BackendStats, Stats, backend_lines, cost_words, extra_results

_COLUMNS = 5
_STATES = {"closed": "green", "half-open": "yellow", "open": "red"}


def print_table(stats: Stats, stream: TextIO) -> None:
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    console.print(Text("Load Balancer Statistics", style="bold"))
    console.print(f"Profile: {stats.profile} ({stats.policy})")
    console.print(f"Total Requests: {stats.total_requests}{_results(stats)}")
    if spent := cost_words(stats.bill):
        console.print(f"Cost: {spent}")
    console.print(_figures(stats))
    console.print(_details(stats))


def _results(stats: Stats) -> str:
    results = {
        "answered": stats.answered,
        "failed": stats.failed,
        "cancelled": stats.cancelled,
        "in flight": stats.in_flight,
        "failed over": stats.failed_over,
        **{label.lower(): count for label, count in extra_results(stats)},
    }
    told = ", ".join(f"{count} {word}" for word, count in results.items() if count)
    return f" ({told})" if told else ""


def _figures(stats: Stats) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Backend", overflow="fold", style="bold")
    table.add_column("Circuit", no_wrap=True)
    for label, _ in backend_lines(stats.backends[0])[:_COLUMNS]:
        table.add_column(label, justify="right", overflow="fold")
    for backend in stats.backends:
        values = (Text(value, style=_style(label, backend)) for label, value in _columns(backend))
        table.add_row(backend.name, _state(backend), *values)
    return table


def _columns(backend: BackendStats) -> list[tuple[str, str]]:
    return backend_lines(backend)[:_COLUMNS]


def _state(backend: BackendStats) -> Text:
    state = backend.circuit_breaker.state
    return Text(state, style=_STATES[state])


def _style(label: str, backend: BackendStats) -> str:
    rate = backend.success_rate
    if label != "Success Rate" or rate is None:
        return ""
    if rate < 0.5:
        return "red"
    return "green" if rate >= 0.95 else "yellow"


def _details(stats: Stats) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(overflow="fold", style="bold", max_width=24)
    table.add_column(overflow="fold")
    for backend in stats.backends:
        table.add_row(backend.name, _told(backend))
    return table


def _told(backend: BackendStats) -> str:
    lines = [f"{label}: {value}" for label, value in backend_lines(backend)[_COLUMNS:]]
    return " · ".join(lines + _circuit(backend))


def _circuit(backend: BackendStats) -> list[str]:
    circuit = backend.circuit_breaker
    lines = [f"Failures In Window: {circuit.failures}"] if circuit.failures else []
    if circuit.next_probe_in_ms is not None:
        lines.append(f"Next Probe In: {circuit.next_probe_in_ms:.0f}ms")
    return lines
