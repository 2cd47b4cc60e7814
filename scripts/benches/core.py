"""Microseconds for one whole decision of the engine: no sockets, no event loop.

How it is measured:

1. One decision is what one request costs in `understudy.core`: rank, eligibility, permit, attempt, first
   content, tokens, success, breaker, window, metrics, and the facts for observers.
2. Simulated time moves 10 ms a decision, so that the five-minute windows roll as they do in service.
3. Columns: policies with everybody well; a stream instead of a unary call, whose clock is adaptive; the same
   with every ceiling, and hedges at the 95th percentile; and the worst case, where everybody but the last is
   benched, so each of the others is looked at and its skip recorded.
4. The floor is what nobody can avoid: a loop over plain slotted objects that picks the least busy
   eligible one and updates a dozen counters. It ranks nothing, remembers no window and tells nobody.
5. LiteLLM's column is its Router's selection alone, without the outcome, if ``scripts/bench library`` has
   made its environment.
6. CPU time of this process, the median of the repeats; the collector is left on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable
from statistics import median

from benches.environments import HOME, ROOT
from benches.machine import Steal, facts
from understudy.core.attempt import Attempt
from understudy.core.dispatch import Dispatch
from understudy.core.member import Member
from understudy.core.outcome import Success, Tokens
from understudy.core.policies import BY_NAME
from understudy.core.pool import Pool
from understudy.core.settings import Ceilings, HedgeSettings, MemberSettings, PoolSettings

SIZES = (3, 10, 100, 1000)
TICK = 0.01
TOKENS = Tokens(450, 180, False, 180)
SUCCESS = Success()
PLAIN = MemberSettings()

Decide = Callable[[float], None]


LIMITED = MemberSettings(
    ceilings=Ceilings(tokens=10**12, requests=10**12, concurrency=10**6, takeovers=10**6), adaptive=True
)
UNHEDGED = PoolSettings()
HEDGED = PoolSettings(hedge=HedgeSettings(percentile=95))


def make_pool(
    policy: str, size: int, settings: MemberSettings = PLAIN, of_pool: PoolSettings = UNHEDGED
) -> Pool:
    members = [Member(f"member{index}", index, settings) for index in range(size)]
    return Pool("bench", BY_NAME[policy](), members, of_pool)


def decision(pool: Pool, *, stream: bool = False) -> Decide:
    def decide(now: float) -> None:
        dispatch = Dispatch(pool, now, float, stream=stream)
        attempt = dispatch.next_step(now)
        assert isinstance(attempt, Attempt)
        dispatch.hedge_at(attempt, now)
        dispatch.commit(attempt, now + 0.2)
        dispatch.settle(attempt, SUCCESS, now + 1.5, TOKENS)
        dispatch.answered(now + 1.5)
        dispatch.take_events()
        dispatch.leave(now + 1.5)

    return decide


def last_one_left(pool: Pool) -> Decide:
    for member in pool.members[:-1]:
        member.benched_until = float("inf")
    return decision(pool)


class FloorMember:
    __slots__ = ("first", "flight", "open_until", "requests", "successes", "tokens", "total")

    def __init__(self) -> None:
        self.open_until = self.first = self.total = 0.0
        self.flight = self.requests = self.successes = self.tokens = 0


def floor(size: int) -> Decide:
    members = [FloorMember() for _ in range(size)]

    def decide(now: float) -> None:
        chosen, least = members[0], 1 << 30
        for member in members:
            if member.open_until <= now and member.flight < least:
                chosen, least = member, member.flight
        chosen.flight += 1
        chosen.requests += 1
        chosen.first += 0.2
        chosen.total += 1.5
        chosen.tokens += 630
        chosen.successes += 1
        chosen.flight -= 1

    return decide


ENGINES: dict[str, Callable[[int], Decide]] = {
    "floor": floor,
    "failover": lambda size: decision(make_pool("failover", size)),
    "failover, stream": lambda size: decision(make_pool("failover", size), stream=True),
    "round robin": lambda size: decision(make_pool("roundrobin", size)),
    "weighted": lambda size: decision(make_pool("weighted", size)),
    "least busy": lambda size: decision(make_pool("least_busy", size)),
    "fastest": lambda size: decision(make_pool("fastest", size)),
    "sticky": lambda size: decision(make_pool("sticky", size)),
    "ceilings, hedges": lambda size: decision(make_pool("failover", size, LIMITED, HEDGED), stream=True),
    "last one left": lambda size: last_one_left(make_pool("failover", size)),
}


def microseconds(decide: Decide, count: int, repeats: int) -> float:
    now, figures = 1000.0, []
    for _ in range(repeats + 1):
        before = time.process_time()
        for _ in range(count):
            now += TICK
            decide(now)
        figures.append((time.process_time() - before) / count * 1e6)
    return median(figures[1:])  # the first one warms up


def litellm_selection() -> dict[int, float]:
    """By size; empty where LiteLLM's environment has not been made."""
    interpreter = HOME / "litellm_router" / "bin" / "python"
    if not interpreter.exists():
        return {}
    done = subprocess.run(
        [str(interpreter), "-m", "benches.peers.litellm_selection", *map(str, SIZES)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        check=True,
    )
    return {int(size): float(figure) for size, figure in json.loads(done.stdout.splitlines()[-1]).items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench core", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000, help="decisions per repeat at three backends")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    steal = Steal()
    selection = litellm_selection()
    columns = [*ENGINES, *(["LiteLLM selection alone"] if selection else [])]
    rows = []
    for size in SIZES:
        count = max(200, given.count * 3 // size)
        cells = [microseconds(make(size), count, given.repeats) for make in ENGINES.values()]
        cells += [selection[size]] if selection else []
        rows.append(f"| {size} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")
    print(f"{facts()}; stolen meanwhile: {steal}; medians of {given.repeats} repeats; µs per decision\n")
    print(f"| backends | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
