"""One thing measured of many proxies, round by round, and its table."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from benches.environments import NotInstallable
from benches.gateway.columns import Column, Medians
from benches.gateway.failed import Failed
from benches.gateway.figures import NOISY, spread
from benches.gateway.plan import Plan
from benches.gateway.roster import EVERYBODY
from benches.gateway.stage import Running, Stage

Figures = dict[str, float]

_BEGAN = time.monotonic()


class Measurement(NamedTuple):
    """`take` is one round of one proxy, which is awake."""

    name: str
    title: str
    note: str
    proxies: Sequence[str]
    columns: Sequence[Column]
    take: Callable[[Running, Plan], Figures]
    fresh: bool = False  # each round in a new process
    rounds: Callable[[Plan], int] = lambda plan: plan.rounds


class Taken:
    """What a measurement has brought: per proxy and figure, one value a round; or a reason."""

    def __init__(self, measurement: Measurement) -> None:
        self.measurement = measurement
        self.rounds: dict[str, dict[str, list[float]]] = {}
        self.reasons: dict[str, str] = {}

    def add(self, proxy: str, figures: Figures) -> None:
        for name, value in figures.items():
            self.rounds.setdefault(proxy, {}).setdefault(name, []).append(value)

    def fail(self, proxy: str, reason: str) -> None:
        self.reasons[proxy] = reason
        self.rounds.pop(proxy, None)

    def medians(self) -> Medians:
        return {
            proxy: {name: median(values) for name, values in figures.items()}
            for proxy, figures in self.rounds.items()
        }

    def noisy(self) -> list[str]:
        """Whose rounds were far apart, in which figures, and how far."""
        far: dict[str, list[str]] = {}
        for proxy, figures in self.rounds.items():
            for name, values in figures.items():
                if (share := spread(values)) > NOISY:
                    far.setdefault(proxy, []).append(f"{name} {share:.0%}")
        return [f"{proxy} ({', '.join(names)})" for proxy, names in far.items()]

    def table(self) -> str:
        columns, medians = self.measurement.columns, self.medians()
        lines = [
            f"| | {' | '.join(column.heading for column in columns)} |",
            "|---" * (len(columns) + 1) + "|",
        ]
        for proxy in self.rounds:
            cells = [column.cell(medians, proxy) for column in columns]
            lines.append(f"| {EVERYBODY[proxy].title} | {' | '.join(cells)} |")
        for proxy, reason in self.reasons.items():
            blank = " |" * (len(columns) - 1)
            lines.append(f"| {EVERYBODY[proxy].title} | not measured: {reason.replace('|', '¦')} |{blank}")
        return "\n".join(lines)


def progress(what: str) -> None:
    """What begins now, and how long all has taken so far."""
    print(f"{time.monotonic() - _BEGAN:4.0f} s  {what}", file=sys.stderr)


def run(stage: Stage, measurement: Measurement, proxies: Sequence[str], plan: Plan) -> Taken:
    """Interleaved: everybody's first round, everybody's second …"""
    taken = Taken(measurement)
    rounds = measurement.rounds(plan)
    for number in range(rounds):
        for proxy in proxies:
            if proxy in measurement.proxies and proxy not in taken.reasons:
                progress(f"{measurement.name}: round {number + 1} of {rounds}: {proxy}")
                _round(stage, taken, proxy, plan)
    return taken


def _round(stage: Stage, taken: Taken, proxy: str, plan: Plan) -> None:
    take = taken.measurement.take
    try:
        if taken.measurement.fresh:
            stage.quiet.wait()
            with stage.fresh(proxy) as running:
                taken.add(proxy, take(running, plan))
        else:
            running = stage.running(proxy)
            stage.quiet.wait()
            with running.awake():
                taken.add(proxy, take(running, plan))
    except (Failed, NotInstallable, OSError, TimeoutError) as failed:
        taken.fail(proxy, str(failed) or type(failed).__name__)
