"""What a fleet of replicas asks of one Redis, and how soon all know what one knows.

1. Replicas are the product's own balancers with its own sharing, in virtual time: `replicas` tells the story
   they play. The store is the product's own in memory, behind a modelled wire and a server that does one
   thing at a time: `store`. Nothing but the clock, the wire, the store's line and the backends is modelled.
2. What an operation costs the server is measured with ``--server``, with a real one on this machine, by its
   own counters: `server`. The model goes by the figures of `store.PRICES`.
3. Same seed, same figures, on any machine.

What it does not say: what a network costs that is slower than the modelled one, and what a thousand replicas
do to a Redis that others use, too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from benches.fleet import replicas, server
from benches.fleet.replicas import BACK, DOWN, HEALED, OVER, Figures, play


def told(made: Figures) -> Iterator[tuple[str, str]]:
    """A line of the table each."""
    for name, span in (("idle", made.idle), ("busy", made.busy)):
        yield f"{name}: operations/s", f"{span.per_second():.0f}"
        yield f"{name}: operations/s each", f"{span.per_second() / made.replicas:.2f}"
        yield (
            f"{name}: kB/s to and from the store",
            f"{span.sent / span.seconds / 1000:.1f}" + (f" + {span.answered / span.seconds / 1000:.1f}"),
        )
        yield f"{name}: of the server's core", f"{100 * span.busy / span.seconds:.2f} %"
        yield f"{name}: most in 10 ms", f"{span.peak}"
    for name, instants in (("open", made.opened), ("closed", made.closed)):
        shares = (made.since_the_first(instants, share) for share in (0.5, 0.99, 1.0))
        yield f"{name}: 50 %, 99 %, all of them after, s", ", ".join(f"{each:.2f}" for each in shares)
        yield f"{name}: replicas", f"{len(instants)}"
    yield "probes, store there, of two due", f"{made.probes_in(DOWN, replicas.AWAY)}"
    yield "probes, store away, of two due", f"{made.probes_in(replicas.AWAY, BACK)}"
    yield "probes, store back, backend still down", f"{made.probes_in(BACK + 1, HEALED)}"
    yield "probes, backend well again", f"{made.probes_in(HEALED, OVER)}"
    yield "store away: operations/s tried each", f"{made.away.per_second() / made.replicas:.2f}"
    yield "store back: most in 10 ms", f"{made.back.peak}"
    yield "store back: longest wait in its line, s", f"{made.longest_wait:.3f}"
    yield "requests, failed", f"{made.requests()}, {made.failed()}"


def table(runs: list[Figures]) -> Iterator[str]:
    yield f"| | {' | '.join(f'{run.replicas} replicas' for run in runs)} |"
    yield "|---" * (len(runs) + 1) + "|"
    for cells in zip(*(told(run) for run in runs), strict=True):
        yield f"| {cells[0][0]} | {' | '.join(value for _, value in cells)} |"


def prices(processes: list[int]) -> Iterator[str]:
    yield "| operation | replicas | script, µs | in all, µs | bytes sent | bytes answered |"
    yield "|---" * 6 + "|"
    for number in processes:
        for name, price in server.prices(number).items():
            seconds = f"{price.seconds_each * 1e6:.0f} | {price.seconds_in_all * 1e6:.0f}"
            yield f"| {name} | {number} | {seconds} | {price.sent:.0f} | {price.answered:.0f} |"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("replicas", nargs="*", type=int, default=[1, 10, 100, 1000])
    parser.add_argument("--rate", type=float, default=0.2, help="requests a second that each is asked")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--away", choices=("frozen", "refused", "there"), default="frozen")
    parser.add_argument("--server", action="store_true", help="what an operation costs a real server instead")
    return parser.parse_args()


def main() -> None:
    given: Any = options()
    if given.server:
        lines = prices(given.replicas)
    else:
        runs = [play(number, rate=given.rate, seed=given.seed, away=given.away) for number in given.replicas]
        lines = table(runs)
    for line in lines:
        print(line)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
