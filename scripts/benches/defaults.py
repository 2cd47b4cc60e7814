"""How answers fare around the defaults: one setting at a time, in the simulator.

1. Each row of `SWEEPS` is a setting, or a constant of the core, with candidates around its default; all else
   is as shipped, but for what the row says it needs (``hedge_budget_percent`` needs hedging).
2. A candidate is played in the row's scenarios, those that could speak for or against it, by three backends
   of one model. Same seeds, same callers, same misfortunes; what differs is the candidate.
3. Scenarios are those that ship, at their own rates, but a tenth as long with phases a tenth as long; phases
   that return keep their length and period, and their begin if it is within the first period. So rates,
   budgets and windows are as in the field, while an outage lasts minutes. What no scenario has that ships, is
   made of one (`CHANGES`).
4. Columns: callers who heard a beginning, and a whole answer, per cent; p50 and p99 of the first content;
   attempts beyond the first per hundred whole answers; the median time to detect an outage and to be back
   after it; each over all seeds together, times the mean of the seeds'.

The same seeds print the same figures, on every machine. docs/design/defaults.md says what follows from them.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import ceil, isnan
from multiprocessing import Pool
from statistics import mean
from typing import Any

from understudy.config.profile import LoadBalancerProfile, StandardProfile
from understudy.core.settings import REGISTRY
from understudy.simulate.cast import Cast, make_cast
from understudy.simulate.distribution import Draw, measured
from understudy.simulate.figures import figures
from understudy.simulate.run import Run, simulate
from understudy.simulate.scenario import Effects, Model, Phase, Scenario
from understudy.simulate.scenario_file import load_scenario
from understudy.simulate.tally import End

SHORTER = 10


@dataclass(frozen=True, slots=True)
class Sweep:
    """`key` is a setting or, with a colon, a module of the core and its constant; it may need others."""

    key: str
    candidates: tuple[Any, ...]
    scenarios: tuple[str, ...]
    policy: str = "failover"
    needs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_constant(self) -> bool:
        return ":" in self.key

    @property
    def default(self) -> Any:
        if self.is_constant:
            return _constant(self.key)
        (setting,) = (setting for setting in REGISTRY if setting.key == self.key)
        return setting.default if setting.default is not None else "off"


OUTAGE = ("primary-down", "flapping", "slow-recovery")
WEAK = ("brown-out", "quiet-day")
BREAKS = ("mid-stream",)
FLAPS = ("flapping", "quiet-day")
SLOW = ("slow-down", "black-hole")
THINKING = ("thinking", "all-thinking")
PANIC = ("all-brown", "all-browner", "all-down", "correlated", "all-limited", "all-weak", "all-cold")
BACK = ("cold-start", "weak-start", "cold-spread", "weak-spread", "tight-spread", "primary-down")
BROKEN = ("all-break", "all-break-more", "all-cut")
ADAPTIVE = {"timeout_mode": "adaptive"}
HEDGED = {"hedge": "p95"}

SWEEPS: tuple[Sweep, ...] = (
    Sweep("circuit_breaker_failure_threshold", (1, 2, 3, 5, 10), (*OUTAGE, *WEAK)),
    Sweep("circuit_breaker_failure_window_ms", (15_000, 30_000, 60_000, 180_000), (*OUTAGE, *WEAK)),
    Sweep("circuit_breaker_failure_rate", (0, 25, 50, 75), (*OUTAGE, *WEAK)),
    Sweep("circuit_breaker_recovery_timeout_ms", (5_000, 15_000, 30_000, 60_000, 120_000), OUTAGE),
    Sweep("circuit_breaker_half_open_max", (1, 2, 5), OUTAGE),
    Sweep("panic_mode", (True, False), (*PANIC, *BROKEN)),
    Sweep("core.breaker:FAILED_IN_A_ROW", (5, 10, 20), (*PANIC[:3], *BROKEN)),
    Sweep("failover_retry_count", (1, 2, 3, 4), (*WEAK, "correlated", "mid-stream")),
    Sweep("failover_retry_delay_ms", (0, 250, 500, 1_000, 2_000), (*WEAK, "correlated")),
    Sweep("retry_after_max_ms", (0, 1_000, 2_000, 5_000, 20_000), ("rate-limited",)),
    Sweep("wait_for_capacity_ms", (0, 5_000, 20_000, 60_000), ("correlated", "rate-limited")),
    Sweep("timeout_ms", (5_000, 15_000, 30_000, 60_000, 120_000), (*SLOW, "primary-down")),
    Sweep("stall_timeout_ms", (5_000, 15_000, 30_000, 60_000), ("mid-stream", "slow-down")),
    Sweep("connect_timeout_ms", (1_000, 2_000, 5_000, 10_000), ("unreachable",)),
    Sweep("stream_recovery", ("off", "same_model", "any"), ("mid-stream", "primary-down")),
    Sweep("recovery_timeout_ms", (2_000, 5_000, 15_000, 30_000, 60_000), ("mid-stream", "correlated")),
    Sweep("stream_hold_ms", (0, 500, 2_000), BREAKS),
    Sweep("retry_budget_percent", (0, 20, 200), ("correlated", "all-brown")),
    Sweep("max_attempts", (2, 3, "off"), ("correlated", "brown-out")),
    Sweep("failover_in_rpm", (30, 120, "off"), ("primary-down", "correlated")),
    Sweep("hedge", ("off", "p90", "p95", "p99", 2_000), (*SLOW, "quiet-day")),
    Sweep("hedge_budget_percent", (0, 5, 10, 30), (*SLOW, "quiet-day"), needs=HEDGED),
    Sweep("slow_start_ms", (0, 10_000, 30_000, 60_000, 120_000), BACK),
    Sweep(
        "failback_after_ms", (10_000, 60_000, 300_000, 900_000), ("flapping", "quiet-day"), "failover_sticky"
    ),
    Sweep("queue_limit", (100, 1_000, 10_000), ("all-limited",)),
    Sweep(
        "timeout_mode",
        ("fixed", "adaptive"),
        (*SLOW, "all-slow", *THINKING, "quiet-day", "primary-down", "brown-out", "correlated"),
    ),
    Sweep("core.patience:MARGIN", (1.5, 2.0, 3.0, 5.0), SLOW, needs=ADAPTIVE),
    Sweep("core.patience:SHARE", (0.9, 0.95, 0.99), SLOW, needs=ADAPTIVE),
    Sweep("core.patience:ENOUGH", (5, 20, 50), SLOW, needs=ADAPTIVE),
    Sweep("core.patience:LEAST", (0.5, 1.0, 4.0), SLOW, needs=ADAPTIVE),
    Sweep("core.load:DECAY", (10.0, 30.0, 60.0, 120.0), ("slow-down", "brown-out"), "fastest"),
    Sweep("core.load:LEAST", (0.25, 1.0, 4.0), ("slow-down", "brown-out"), "fastest"),
    Sweep(
        "core.policies.fastest:NEAR",
        (1.0, 1.5, 2.0, 4.0, 1000.0),
        ("slow-down", "brown-out", "black-hole", "thinking"),
        "fastest",
    ),
    Sweep("core.silence:RACES", (1, 3, 10), (*SLOW, "quiet-day"), needs=HEDGED),
    Sweep("core.silence:FAR", (2.0, 4.0, 8.0), (*SLOW, "quiet-day"), needs=HEDGED),
    Sweep("core.hedging:ENOUGH_TO_BE_LATE", (5, 20, 100), SLOW, needs=HEDGED),
)


@dataclass(frozen=True, slots=True)
class Change:
    """What befalls the backends of a scenario instead, in each phase or always, and how busy it is.

    `first_content` is how long the backends at `backends` take for it, or all. `phases` come instead of the
    scenario's, `always` is what holds of all backends besides, and `policy` goes before the sweep's.
    """

    base: str
    effects: Effects | None = None
    backends: tuple[int, ...] | None = None
    busier: float = 1.0
    first_content: Draw | None = None
    phases: tuple[Phase, ...] | None = None
    always: Effects = field(default_factory=Effects)
    policy: str | None = None


def _restarts(cold: Effects | None, backends: tuple[int, ...] | None = (1,)) -> tuple[Phase, ...]:
    """As in `cold-start`; what they are like once they are back, for eight minutes."""
    down = Effects(failures=(("connect", 1.0),))
    restart = Phase("restart", down, 60.0, 120.0, every=720.0, backends=backends, cuts=True)
    if cold is None:
        return (restart,)
    return restart, Phase("cold", cold, 480.0, 180.0, every=720.0, backends=backends)


COLD = Effects(topples=(4.0, 60.0), latency=(2.0, 1.0))
WEAK_AT_FIRST = Effects(concurrent=(4.0, 60.0), latency=(2.0, 1.0))
FULL = Effects(concurrent=(45.0, 45.0))


def _thinking() -> Draw:
    """One question in ten makes it think in silence for longer than others take, one in fifty for long."""
    return measured(((0, 0.3), (50, 0.6), (90, 1.8), (95, 5.0), (98, 15.0), (100, 50.0)))


CHANGES = {
    "unreachable": Change("black-hole", Effects(failures=(("unreachable", 1.0),)), (1,)),
    "all-brown": Change("brown-out", Effects(failures=(("500", 0.5),)), busier=5.0),
    "all-browner": Change("brown-out", Effects(failures=(("500", 0.8),)), busier=5.0),
    "all-down": Change("brown-out", Effects(failures=(("500", 1.0),)), busier=5.0),
    "all-break": Change("brown-out", Effects(failures=(("cut", 0.5),)), busier=5.0),
    "all-break-more": Change("brown-out", Effects(failures=(("cut", 0.8),)), busier=5.0),
    "all-cut": Change("brown-out", Effects(failures=(("cut", 1.0),)), busier=5.0),
    "all-limited": Change("rate-limited", Effects(rpm=600.0), busier=10.0),
    "weak-start": Change("cold-start", phases=_restarts(WEAK_AT_FIRST)),
    "cold-spread": Change("cold-start", phases=_restarts(COLD), busier=3.0, policy="least_busy"),
    "weak-spread": Change("cold-start", phases=_restarts(WEAK_AT_FIRST), busier=3.0, policy="least_busy"),
    "tight-spread": Change(
        "cold-start", phases=_restarts(None), always=FULL, busier=3.0, policy="least_busy"
    ),
    "all-weak": Change("cold-start", phases=_restarts(WEAK_AT_FIRST, None), busier=3.0),
    "all-cold": Change("cold-start", phases=_restarts(COLD, None), busier=3.0),
    "quiet-day": Change("noisy-day", busier=0.25),
    "all-slow": Change("slow-down", Effects(latency=(20.0, 20.0), speed=(0.15, 0.15))),
    "thinking": Change("slow-down", Effects(), (1,), first_content=_thinking()),
    "all-thinking": Change("slow-down", Effects(), first_content=_thinking()),
}


def scenario(name: str, shorter: float = SHORTER) -> Scenario:
    """One that ships, or a change of one, in a part of its time."""
    change = CHANGES.get(name)
    made = load_scenario(name) if change is None else _changed(name, change)
    phases = tuple(_sooner(phase, shorter) for phase in made.phases)
    return replace(made, phases=phases, duration=made.duration / shorter)


def _changed(name: str, change: Change) -> Scenario:
    made = load_scenario(change.base)
    traffic = replace(made.traffic, rate=made.traffic.rate * change.busier)
    if change.phases is not None:
        default = replace(made.default, effects=change.always)
        return replace(made, name=name, traffic=traffic, phases=change.phases, default=default)
    if change.first_content is not None:
        model = replace(made.default, first_content=change.first_content)
        concerned: dict[str | int, Model] = dict.fromkeys(change.backends or (), model)
        default = made.default if concerned else model
        return replace(made, name=name, traffic=traffic, phases=(), default=default, models=concerned)
    if change.effects is None:
        return replace(made, name=name, traffic=traffic)
    phases = tuple(replace(phase, effects=change.effects, backends=change.backends) for phase in made.phases)
    if phases:
        return replace(made, name=name, traffic=traffic, phases=phases)
    default = replace(made.default, effects=change.effects)
    return replace(made, name=name, traffic=traffic, default=default, models={})


def _sooner(phase: Phase, shorter: float) -> Phase:
    length = phase.length if phase.every else phase.length / shorter
    returns_at_once = phase.every is not None and phase.begin < phase.every
    return replace(phase, begin=phase.begin if returns_at_once else phase.begin / shorter, length=length)


def cast(policy: str) -> Cast:
    """Three backends of one model."""
    names = ("first", "second", "third")
    members = [
        StandardProfile(name, "openai", "m", settings={"base-url": "http://anywhere/v1"}) for name in names
    ]
    return make_cast(LoadBalancerProfile("trio", policy, names), members)


def _constant(key: str) -> Any:
    module, name = key.split(":")
    return getattr(importlib.import_module(f"understudy.{module}"), name)


@contextmanager
def with_constant(key: str, value: Any) -> Iterator[None]:
    module, name = key.split(":")
    place, before = importlib.import_module(f"understudy.{module}"), _constant(key)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


def played(sweep: Sweep, candidate: Any, named: str, seed: int, shorter: float) -> Run:
    change = CHANGES.get(named)
    policy = sweep.policy if change is None or change.policy is None else change.policy
    if sweep.is_constant:
        with with_constant(sweep.key, candidate):
            return simulate(cast(policy), scenario(named, shorter), seed=seed, settings=sweep.needs)
    settings = dict(sweep.needs)
    if candidate != sweep.default:
        settings[sweep.key] = candidate
    return simulate(cast(policy), scenario(named, shorter), seed=seed, settings=settings)


def row(runs: Sequence[Run]) -> tuple[str, ...]:
    """The figures of one candidate in one scenario, over all seeds."""
    told = [figures(run) for run in runs]
    ends = [end for run in runs for end in run.tally.ends if end != End.LEFT]
    firsts = sorted(first for run in runs for first in run.tally.first if not isnan(first))
    requests, whole = sum(len(run.tally) for run in runs), ends.count(End.WHOLE)
    extra = sum(run.attempts for run in runs) - requests
    outages = [outage for each in told for outage in each["outages"]]
    return (
        f"{100 * (1 - ends.count(End.FAILED) / len(ends)):.2f}",
        f"{100 * whole / len(ends):.2f}",
        _at(firsts, 50),
        _at(firsts, 99),
        f"{100 * extra / max(1, whole):.1f}",
        _mean(outage["to_detect_s"] for outage in outages),
        _mean(outage["to_recover_s"] for outage in outages),
    )


def _at(ordered: Sequence[float], percent: int) -> str:
    return f"{ordered[ceil(len(ordered) * percent / 100) - 1]:.1f}" if ordered else "–"


def _mean(seconds: Iterable[float | None]) -> str:
    known = [each for each in seconds if each is not None]
    return f"{mean(known):.0f}" if known else "–"


def _cell(job: tuple[int, Any, str, int, float]) -> tuple[str, ...]:
    number, candidate, named, seeds, shorter = job
    return row([played(SWEEPS[number], candidate, named, seed, shorter) for seed in range(seeds)])


HEAD = (
    "answered %",
    "whole %",
    "p50, s",
    "p99, s",
    "extra per 100",
    "detected, s",
    "back, s",
)


def lines(keys: Sequence[str], seeds: int, shorter: float, processes: int) -> Iterator[str]:
    """The tables of these sweeps, or all."""
    chosen = [number for number, sweep in enumerate(SWEEPS) if not keys or sweep.key in keys]
    jobs = [
        (number, candidate, named, seeds, shorter)
        for number in chosen
        for named in SWEEPS[number].scenarios
        for candidate in SWEEPS[number].candidates
    ]
    with Pool(processes) as pool:
        told = zip(jobs, pool.imap(_cell, jobs), strict=True)
        for number, of_sweep in groupby(told, lambda each: each[0][0]):
            yield from ("", f"### {SWEEPS[number].key}", "", *_header(SWEEPS[number]))
            for named, rows in groupby(of_sweep, lambda each: each[0][2]):
                yield from _of_scenario(SWEEPS[number], named, [(job[1], cells) for job, cells in rows])


def _of_scenario(sweep: Sweep, named: str, rows: list[tuple[Any, tuple[str, ...]]]) -> Iterator[str]:
    """One line where no candidate makes a difference."""
    if len({cells for _, cells in rows}) == 1:
        rows = [("all", rows[0][1])]
    for candidate, cells in rows:
        mark = "**" if candidate == sweep.default else ""
        yield f"| {named} | {mark}{candidate}{mark} | {' | '.join(cells)} |"


def _header(sweep: Sweep) -> tuple[str, str]:
    return f"| scenario | {sweep.key} | {' | '.join(HEAD)} |", "|---" * (2 + len(HEAD)) + "|"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench defaults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "keys", nargs="*", help="settings or constants to sweep; all of them if none is named"
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--shorter", type=float, default=SHORTER, help="how much shorter")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    unknown = set(given.keys) - {sweep.key for sweep in SWEEPS}
    if unknown:
        parser.error(f"not swept: {', '.join(sorted(unknown))}")
    for line in lines(given.keys, given.seeds, given.shorter, given.processes):
        print(line)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
