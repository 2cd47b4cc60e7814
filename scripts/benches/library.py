"""The CPU that a call, and a chunk of a stream, takes in the library and in its peers.

How it is measured:

1. Every client is a process of its own, in an environment of its own, and calls one and the same
   mock provider (`benches.upstream`) over loopback, 32 calls at a time; 1.8 KB in, 1.2 KB or 200 events out.
2. A figure is user plus system time of the client's whole process, divided by calls or chunks;
   a chunk's share includes its part of opening the stream. Waiting costs nothing here, so these
   figures say how many calls a core can carry, not how fast one answer comes.
3. Three workloads: unary calls and streams as fast as the client goes (saturated: a slow client finds
   several events in one read), and streams of 50 events a second each, which arrive one by one.
4. Rounds are interleaved (A B C … A B C …), each after a warm-up, and the median round counts.
5. All balancing clients have three backends, and nobody retries. The bare client and the SDK have one, and
   do neither balancing nor failover: they are the floor and the ground, not rivals.
6. A peer that can't be installed or fails is listed with the reason.
7. It refuses to start when its port is taken, and ends every process it started.

What it does not say: anything about TLS, real networks, other machines, or failures.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benches.environments import ROOT, NotInstallable, environment, requirements
from benches.machine import Steal, facts
from benches.upstream import CHUNKS
from benches.worker import CONCURRENCY

OURS = "understudy_balancer"
FLOOR = "bare_aiohttp"
CLIENTS = [FLOOR, OURS, *(name for name in requirements() if name != FLOOR)]
SCALES = {"complete": 1.0, "stream": CHUNKS, "paced": CHUNKS}
PACE = 20  # milliseconds between the events of a paced stream
ROUND_SECONDS = 1.5


class Failed(Exception):
    """A client's process ended early; the message is the last thing it said."""


class Process:
    """A process of ours: a line in, a line out. Closing it ends whatever it started, too."""

    def __init__(self, interpreter: str | Path, *arguments: str) -> None:
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 — `close` closes it
        self._process = subprocess.Popen(
            [str(interpreter), "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "scripts"), "NO_PROXY": "127.0.0.1"},
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, line: str) -> str:
        assert self._process.stdin
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says why
        return self.answer()

    def answer(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise Failed(self._last_words())
        return line

    def close(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        self._complaints.close()

    def _last_words(self) -> str:
        status = self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().strip().splitlines()
        return lines[-1] if lines else f"ended with {status}"


class Client(NamedTuple):
    """One client under measurement, and its rounds: seconds of CPU per call, by workload."""

    name: str
    process: Process
    counts: dict[str, int]
    rounds: dict[str, list[float]]

    def measure(self, workload: str, count: int) -> dict[str, float]:
        kind = "complete" if workload == "complete" else "stream"
        answer: dict[str, float] = json.loads(self.process.tell(f"{kind} {count}"))
        return answer

    def warm_up(self, workload: str) -> None:
        """Also finds how many calls make a round: multiples of the concurrency, some seconds long."""
        if workload == "paced":
            self.counts[workload] = CONCURRENCY
            return
        self.measure(workload, 2 * CONCURRENCY)
        wall = self.measure(workload, CONCURRENCY)["wall"]
        self.counts[workload] = CONCURRENCY * max(2, round(ROUND_SECONDS / wall))

    def round(self, workload: str) -> None:
        figures = self.measure(workload, self.counts[workload])
        self.rounds.setdefault(workload, []).append(figures["cpu"] / figures["calls"])

    def cost(self, workload: str) -> float:
        """Median CPU microseconds of a call or a chunk."""
        return median(self.rounds[workload]) * 1e6 / SCALES[workload]


def start(name: str, base_url: str) -> Client:
    interpreter = sys.executable if name == OURS else environment(name)
    process = Process(interpreter, f"benches.peers.{name}", base_url)
    try:
        process.answer()
    except Failed:
        process.close()
        raise
    return Client(name, process, {}, {})


def check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            sys.exit(f"error: port {port} is taken ({error.strerror})\nhint: choose one: --port")


class Bench:
    """All clients, round by round; one that fails leaves, with its reason kept."""

    def __init__(self, upstream: Process, reasons: dict[str, str]) -> None:
        self.upstream = upstream
        self.reasons = reasons
        self.clients: list[Client] = []

    def run(self, workload: str, rounds: int) -> None:
        self.upstream.tell(str(PACE if workload == "paced" else 0))
        self._each(Client.warm_up, workload)
        for number in range(rounds):
            print(f"{workload}: round {number + 1} of {rounds}", file=sys.stderr)
            self._each(Client.round, workload)

    def _each(self, step: Callable[[Client, str], None], workload: str) -> None:
        for client in list(self.clients):
            try:
                step(client, workload)
            except Failed as failed:
                self.reasons[client.name] = str(failed)
                self.clients.remove(client)


def measure(names: Iterable[str], port: int, rounds: int) -> tuple[list[Client], dict[str, str]]:
    check_port(port)
    with ExitStack() as stack:
        upstream = Process(sys.executable, "benches.upstream", str(port))
        stack.callback(upstream.close)
        upstream.answer()
        bench = Bench(upstream, {})
        for name in names:
            try:
                bench.clients.append(start(name, f"http://127.0.0.1:{port}/v1"))
                stack.callback(bench.clients[-1].process.close)
            except (Failed, NotInstallable) as failed:
                bench.reasons[name] = str(failed)
        for workload in SCALES:
            bench.run(workload, rounds)
        return bench.clients, bench.reasons


def _cells(client: Client, floor: Client | None) -> Iterable[str]:
    for workload in SCALES:
        cost = client.cost(workload)
        figure = f"{cost / 1000:.2f} ms" if workload == "complete" else f"{cost:.0f} µs"
        yield f"{figure} ({cost / floor.cost(workload):.1f} ×)" if floor else figure


def print_table(clients: list[Client], reasons: dict[str, str]) -> None:
    floor = next((client for client in clients if client.name == FLOOR), None)
    print("| client | CPU per unary call | per chunk, saturated | per chunk, 50 events/s a stream |")
    print("|---|---|---|---|")
    for client in clients:
        print(f"| {client.name} | {' | '.join(_cells(client, floor))} |")
    for name, reason in reasons.items():
        print(f"| {name} | not measured: {reason} | | |")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench library",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3, help="at least three for a figure worth quoting")
    parser.add_argument("--port", type=int, default=18080, help="the mock provider's")
    parser.add_argument("--only", action="append", choices=CLIENTS, help="may be given several times")
    return parser.parse_args()


def main() -> None:
    given: Any = options()
    steal = Steal()
    clients, reasons = measure(given.only or CLIENTS, given.port, given.rounds)
    print(f"{facts()}; stolen meanwhile: {steal}; medians of {given.rounds} rounds\n")
    print_table(clients, reasons)
    sys.exit(bool(reasons))


if __name__ == "__main__":
    main()
