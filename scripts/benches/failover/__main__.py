"""What callers get from a pool with faults: this library and gateway beside others, in one run.

How it is measured:

1. Three backends are fault providers (`docs/faults.md`) in a process of their own: real sockets, OpenAI's
   chat format, streams. Everybody has them in the same order: first the one that fails, then the slow one,
   then the one that is fine. They always give the same sixty tokens, against which every answer is held.
2. Everybody waits as long for the first content (`--timeout-ms`), or for what it has nearest to that, and
   is set up for failover as its documentation has it: see `roster.py`, `peers/` and `gateways/`. Where a
   peer has several ways, it has several rows.
3. A client is a process of its own, fresh for each scenario; gateways are asked by one and the same HTTP
   client. It answers healthy backends first, wholly, or is left out with the reason.
4. The backends fail by seeded lots (`--seed`): the same fates in the same order for everybody. Which
   attempt meets which fate depends on timing, so runs are alike, not equal.
5. Answered is what ended without an error; whole is what equals the canonical text, too. Times to first
   content are of the calls that got any. Attempts are counted by the backends.
6. It refuses to start when its port is taken, and ends every process it started.

What it does not say: anything about real networks, other faults, longer outages, or models that word an
answer differently when they are asked twice.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

from benches.failover.report import Results, as_json, row, tables
from benches.failover.roster import ROSTER, versions
from benches.failover.scenarios import SCENARIOS
from benches.failover.stage import Stage
from benches.machine import Steal, facts


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench failover",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--requests", type=int, default=300, help="of each client in each scenario")
    parser.add_argument("--only", action="append", choices=list(ROSTER), help="may be given several times")
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="may be repeated")
    parser.add_argument("--seed", type=int, default=1, help="of the backends' failures")
    parser.add_argument("--timeout-ms", type=int, default=1000, help="everybody's, for the first content")
    parser.add_argument("--port", type=int, default=18200, help="the gateways'")
    parser.add_argument("--json", type=Path, metavar="FILE", help="figures, attempts and errors")
    return parser.parse_args()


def measure(stage: Stage, names: list[str], scenarios: list[str]) -> Results:
    results: dict[str, dict[str, Any]] = {}
    for scenario in scenarios:
        for name in names:
            made = stage.run(ROSTER[name], SCENARIOS[scenario])
            results.setdefault(scenario, {})[name] = made
            print(f"{scenario}: {row(name, made)}", file=sys.stderr)  # for whoever can't wait
    return results


def main() -> None:
    given: Any = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of everybody's end
    steal = Steal()
    with Stage(
        requests=given.requests, seed=given.seed, timeout=given.timeout_ms / 1000, port=given.port
    ) as stage:
        results = measure(stage, given.only or list(ROSTER), given.scenario or list(SCENARIOS))
    run = {"requests": given.requests, "seed": given.seed, "timeout_ms": given.timeout_ms}
    machine = f"{facts()}; stolen meanwhile: {steal}; peers: {', '.join(versions())}"
    print(f"{machine}\n{', '.join(f'{name} {value}' for name, value in run.items())}")
    print("\n".join(tables(results)))
    if given.json:
        given.json.write_text(as_json(results, {"machine": machine, **run}))
    sys.exit(any(isinstance(run, str) for runs in results.values() for run in runs.values()))


if __name__ == "__main__":
    main()
