"""What the figures were taken on, and how much of it somebody else took meanwhile.

A virtual machine's host may give its processor to others; Linux counts that as *steal*. Above a few
per cent the figures of that run are not worth quoting.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

_STEAL = 7  # its column in the "cpu" line of /proc/stat, counted from the first figure


def ticks() -> list[int]:
    """The machine's time so far, by what it was used for; empty where nobody counts it."""
    try:
        first = Path("/proc/stat").read_text().partition("\n")[0]
    except OSError:
        return []
    return [int(figure) for figure in first.split()[1:]]


class Steal:
    """Per cent of the machine's time stolen since this was made; None where nobody counts it."""

    def __init__(self) -> None:
        self._before = ticks()

    def percent(self) -> float | None:
        passed = [after - before for before, after in zip(self._before, ticks(), strict=True)]
        return 100 * passed[_STEAL] / max(1, sum(passed[:8])) if passed else None

    def __str__(self) -> str:
        percent = self.percent()
        return "not counted here" if percent is None else f"{percent:.1f} %"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def facts() -> str:
    """One line: interpreter, system, processor."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, {platform.system()} {platform.machine()}, {os.cpu_count()} × {_processor()}"
