"""The gateway beside its peers: what a request, a stream and an event cost, and how late they come.

How it is measured:

1. The proxy under test has a core for itself; mock provider and generator share another. All others are
   stopped meanwhile. CPU is that of the proxy's whole process tree, from the kernel.
2. Everybody stands before the same mock, gets the same request (1.9 KB, with a client key) and is
   measured in turns: everybody's first round, everybody's second. The median round counts.
3. Understudy runs as a user starts it: keys, breakers, metrics and trail on, three backends.
4. Peers are installed into ``.bench``, in the versions of ``versions.toml``, and set up as their makers
   would like: see ``proxies/``. One that can't be had is listed with the reason.
5. An answer that is missing, late by 10 s, not 200, or out of order fails its figure, never only lowers it.
6. A round waits while others use the machine (`--patience`). Where rounds lie far apart, the table says so.
7. It refuses to start when a port is taken, and kills every process it started with all its children.

What it does not say: anything about real networks, several cores, or what happens when a backend fails.
Figures of one request are of a saturated core unless they say otherwise: at low load the same work
costs more CPU.
"""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benches.gateway import measurement, versions
from benches.gateway.measurement import Taken
from benches.gateway.measurements import ALL
from benches.gateway.plan import FULL, QUICK
from benches.gateway.roster import EVERYBODY
from benches.gateway.stage import Stage
from benches.machine import Steal, facts


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench gateway",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=list(ALL), help="measure this; may be repeated")
    parser.add_argument("--proxy", action="append", choices=list(EVERYBODY), help="of this; may be repeated")
    parser.add_argument("--quick", action="store_true", help="does it work? one short round of everything")
    parser.add_argument("--rounds", type=int, help="three by default, the least for a figure worth quoting")
    parser.add_argument("--port", type=int, default=18100, help="the first of the ports that are used")
    parser.add_argument(
        "--patience", type=float, default=60, help="seconds to wait, in all, for a machine that others use"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every round's figures")
    return parser.parse_args()


def allow_many_sockets() -> None:
    """A thousand streams are two thousand sockets in a proxy, and a thousand here and in the mock."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def print_report(taken: Iterable[Taken]) -> None:
    for each in taken:
        print(f"\n### {each.measurement.title}: `{each.measurement.name}`\n")
        print(f"{each.measurement.note}\n")
        print(each.table())
        if noisy := each.noisy():
            print(f"\nRounds far apart: {', '.join(noisy)}.")


def as_json(taken: Iterable[Taken], head: str) -> str:
    results = {each.measurement.name: {"rounds": each.rounds, "reasons": each.reasons} for each in taken}
    return json.dumps({"machine": head, "results": results}, indent=1)


def main() -> None:
    given: Any = options()
    plan = QUICK if given.quick else FULL
    plan = plan._replace(rounds=given.rounds or plan.rounds)
    allow_many_sockets()
    steal, proxies = Steal(), given.proxy or list(EVERYBODY)
    with Stage(given.port, given.patience) as stage:
        taken = [measurement.run(stage, ALL[name], proxies, plan) for name in given.only or ALL]
    noise = f"stolen meanwhile: {steal}; {stage.quiet}"
    head = f"{facts()}; {noise}; medians of {plan.rounds} rounds; {versions.said()}"
    print(head)
    print_report(taken)
    if given.json:
        given.json.write_text(as_json(taken, head))


if __name__ == "__main__":
    main()
