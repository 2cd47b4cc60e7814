"""A run's chart, or two runs' beside each other: whole answers, first content, and who answered, over time.

The only file that imports matplotlib (extra `simulate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# The same drawing has the same bytes: ids from this instead of chance, and no date.
_SALT = "understudy"
_HOUR = 3600.0


def draw(runs: Sequence[tuple[str, Mapping[str, Any]]], path: Path) -> None:
    """Write the chart of titled figures; the suffix (``.svg``, ``.png``) decides the kind of file."""
    with mpl.rc_context({"svg.hashsalt": _SALT, "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(6.5 * len(runs), 7.5), layout="constrained")
        axes = figure.subplots(3, len(runs), squeeze=False, sharex=True, sharey="row")
        for column, (title, found) in enumerate(runs):
            axes[0][column].set_title(title)
            _whole(axes[0][column], found)
            _first_content(axes[1][column], found)
            _answers(axes[2][column], found)
        is_svg = path.suffix == ".svg"
        figure.savefig(path, metadata={"Date": None} if is_svg else None, dpi=150)


def _hours(found: Mapping[str, Any]) -> list[float]:
    return [entry["at_s"] / _HOUR for entry in found["timeline"]]


def _whole(axes: Any, found: Mapping[str, Any]) -> None:
    shares = [_or_gap(entry["whole"], 100) for entry in found["timeline"]]
    axes.plot(_hours(found), shares, color="tab:green")
    axes.set_ylabel("whole answers, %")
    axes.set_ylim(-3, 103)
    axes.grid(alpha=0.3)


def _first_content(axes: Any, found: Mapping[str, Any]) -> None:
    for name, colour in (("p50", "tab:blue"), ("p95", "tab:orange"), ("p99", "tab:red")):
        values = [_or_gap(entry["first_content_s"][name]) for entry in found["timeline"]]
        axes.plot(_hours(found), values, color=colour, label=name)
    axes.set_ylabel("first content, s")
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right")


def _answers(axes: Any, found: Mapping[str, Any]) -> None:
    names = [member["name"] for member in found["members"]]
    layers = [[entry["answers"][name] for entry in found["timeline"]] for name in names]
    axes.stackplot(_hours(found), layers, labels=names)
    axes.set_ylabel("answers by")
    axes.set_xlabel("hours")
    axes.legend(loc="upper right")


def _or_gap(value: float | None, factor: float = 1.0) -> float:
    return float("nan") if value is None else value * factor
