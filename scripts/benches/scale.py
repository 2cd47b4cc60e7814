"""What a request costs in the library, with one worker, with four, and with the state shared through Redis.

How it is measured:

1. The same mock provider stands behind all (`benches.gateway.mock`); three backends, no hard ceilings, unary
   requests as fast as they go: wrk with 32 connections before a gateway, 32 calls at a time in the library.
2. CPU is user plus system time of the whole process tree, parent and workers, divided by requests. Nothing is
   pinned: four workers, the mock and the generator share what cores there are, so rates say little here.
3. Rounds are interleaved, each after a warm-up, and the median round counts. Next to a figure with Redis
   stands how many times it is that of the same without.
4. Redis is a real one on a socket of its own. Its operations are the scripts that it ran (INFO commandstats),
   by the second, and divided by requests. By the second they hardly depend on the load: the last column tells
   from which rate on there is at most one operation for ten requests.

What it does not say: what Redis itself takes, anything about networks, or what happens when it fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple, Protocol

from benches.environments import NotInstallable
from benches.gateway import requests, wrk
from benches.gateway.processes import Tree
from benches.gateway.proxies.base import Place, Proxy
from benches.gateway.proxies.understudy import gateway
from benches.gateway.stage import Running
from benches.gateway.tools import tool
from benches.library import Process, check_port
from benches.machine import Steal, facts
from benches.worker import CONCURRENCY

CONNECTIONS = 32
ENOUGH = 0.1  # operations a request


class Round(NamedTuple):
    """What one round has brought."""

    cpu: float  # microseconds a request
    rate: float  # requests a second
    operations: float  # of Redis a second
    share: float  # of Redis a request


class Subject(Protocol):
    """Something that answers requests. `play` makes them for so many seconds."""

    def play(self, seconds: float) -> tuple[int, float, float]:
        """How many there were, the CPU seconds that they took, and how long it was."""
        ...


class Redis:
    """A server on a unix socket, which keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "redis"
        self._client = tool("redis-cli")
        command = [tool("redis-server"), "--port", "0", "--unixsocket", str(self.path), "--save", ""]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder)
        while not self.path.exists():
            time.sleep(0.01)

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def operations(self) -> int:
        told = subprocess.run(
            [self._client, "-s", str(self.path), "info", "commandstats"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        lines = (line for line in told.splitlines() if line.startswith("cmdstat_eval"))
        return sum(int(line.partition("calls=")[2].partition(",")[0]) for line in lines)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Library:
    """Calls from one process, without a gateway."""

    def __init__(self, stack: ExitStack, upstream: str, state: str | None) -> None:
        with _environment(state):
            self._process = Process(sys.executable, "benches.peers.understudy_balancer", f"{upstream}/v1")
        stack.callback(self._process.close)
        self._process.answer()
        self._a_second = self._measure(4 * CONCURRENCY)[0]

    def play(self, seconds: float) -> tuple[int, float, float]:
        count, cpu, wall = self._measure(max(CONCURRENCY, round(seconds * self._a_second)))
        self._a_second = round(count / wall)
        return count, cpu, wall

    def _measure(self, count: int) -> tuple[int, float, float]:
        told = json.loads(self._process.tell(f"complete {count}"))
        return told["calls"], told["cpu"], told["wall"]


class Gateway:
    """Requests over HTTP to one or several workers."""

    def __init__(self, stack: ExitStack, upstream: str, state: str | None, workers: int, port: int) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        options = ["--workers", str(workers), *(["--state", state] if state else [])]
        place = Place(port, upstream, folder / "none", folder)
        command = gateway("aiohttp", *options)(place)
        tree = stack.enter_context(Tree(command.arguments, None, command.environment, folder))
        self._running = Running(Proxy("gateway", None), tree, requests.Target(port, command.headers), folder)
        self._running.wait_for_an_answer()

    def play(self, seconds: float) -> tuple[int, float, float]:
        running, before = self._running, self._running.cpu()
        load = wrk.run(running.folder, running.target, [requests.body()], CONNECTIONS, seconds)
        return load.requests, running.cpu() - before, load.requests / load.per_second


class Row(NamedTuple):
    """One line of the table; `workers` 0 is the library."""

    workers: int
    is_shared: bool

    @property
    def title(self) -> str:
        what = {0: "library", 1: "1 worker"}.get(self.workers, f"{self.workers} workers")
        return f"{what}, Redis" if self.is_shared else what


ROWS = [Row(workers, is_shared) for workers in (0, 1, 4) for is_shared in (False, True)]


@contextmanager
def _environment(state: str | None) -> Iterator[None]:
    """What is started in here shares its state there."""
    if state is not None:
        os.environ["UNDERSTUDY_STATE"] = state
    try:
        yield
    finally:
        os.environ.pop("UNDERSTUDY_STATE", None)


def start(stack: ExitStack, row: Row, port: int, redis: Redis) -> Subject:
    """The mock listens on `port`, gateways on the ports behind it."""
    upstream, state = f"http://127.0.0.1:{port}", redis.url if row.is_shared else None
    if not row.workers:
        return Library(stack, upstream, state)
    return Gateway(stack, upstream, state, row.workers, port + 1 + ROWS.index(row))


def play(subject: Subject, redis: Redis, seconds: float) -> Round:
    before = redis.operations()
    count, cpu, wall = subject.play(seconds)
    operations = redis.operations() - before
    return Round(cpu / count * 1e6, count / wall, operations / wall, operations / count)


def measure(port: int, rounds: int, seconds: float) -> dict[Row, list[Round]]:
    for taken in range(port, port + 1 + len(ROWS)):
        check_port(taken)
    found: dict[Row, list[Round]] = {row: [] for row in ROWS}
    with ExitStack() as stack:
        redis = Redis(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(redis.close)
        mock = Process(sys.executable, "benches.gateway.mock", str(port))
        stack.callback(mock.close)
        mock.answer()
        for number in range(rounds):
            for row in ROWS:
                print(f"round {number + 1} of {rounds}: {row.title}", file=sys.stderr)
                # One at a time, so that nobody's beats are counted as another's.
                with ExitStack() as one:
                    subject = start(one, row, port, redis)
                    subject.play(min(1.0, seconds))
                    found[row].append(play(subject, redis, seconds))
    return found


def table(found: dict[Row, list[Round]]) -> str:
    middle = {row: Round(*map(median, zip(*rounds, strict=True))) for row, rounds in found.items()}
    lines = [
        "| | CPU µs a request | × without Redis | requests/s | Redis operations/s | a request "
        "| 0.1 a request from |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, figures in middle.items():
        cells = [f"{figures.cpu:.0f}", "", f"{figures.rate:.0f}", "", "", ""]
        if row.is_shared:
            alone = middle[row._replace(is_shared=False)]
            cells[1] = f"{figures.cpu / alone.cpu:.2f}"
            cells[3:] = [
                f"{figures.operations:.1f}",
                f"{figures.share:.4f}",
                f"{figures.operations / ENOUGH:.0f} requests/s",
            ]
        lines.append(f"| {row.title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3, help="at least three for a figure worth quoting")
    parser.add_argument("--seconds", type=float, default=5, help="of each round")
    parser.add_argument("--port", type=int, default=18200, help="the first of the ports that are used")
    return parser.parse_args()


def main() -> None:
    given = options()
    steal = Steal()
    try:
        found = measure(given.port, given.rounds, given.seconds)
    except NotInstallable as missing:
        sys.exit(f"error: {missing}")
    print(f"{facts()}; stolen meanwhile: {steal}; medians of {given.rounds} rounds\n")
    print(table(found))


if __name__ == "__main__":
    main()
