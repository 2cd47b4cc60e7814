"""A soak: mixed traffic through a running gateway, and in the end all is as it was.

One answer in five of the members' is a fault, one client in ten leaves, profiles are loaded anew meanwhile.
``UNDERSTUDY_SOAK=30m`` plays thirty minutes' worth of it: `RATE` requests for each second, as fast as they
go. Without it a fraction is played, which takes seconds. ``--capture=no`` shows the figures.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

from tests.cli.local_provider import Home
from tests.e2e.leak_program import SCRIPT
from tests.e2e.soak_traffic import KEY

RATE = 12  # requests a second, as of a small company that has its agents work
DEFAULT = "5m"
PHASES = 10
CONCURRENT = 40  # of sixty visitors, so that the queue is in use

# A forgotten request holds some forty objects and three kilobytes. Resident memory moves by a few MB by
# itself; living objects do not, but for the buckets of windows and percentiles.
GROWTH = 6 * 1024 * 1024
OBJECTS = 5_000

SETTINGS = {
    "timeout_ms": 200,
    "unary_timeout_ms": 200,
    "stall_timeout_ms": 50,
    "failover_retry_delay_ms": 1,
    "circuit_breaker_recovery_timeout_ms": 20,
    "wait_for_capacity_ms": 5000,
}


def requests_of(duration: str) -> int:
    """``30m`` as requests."""
    found = re.fullmatch(r"(\d+)([smh])", duration)
    assert found, f"UNDERSTUDY_SOAK={duration} is no duration such as 30m"
    seconds = int(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]
    return seconds * RATE


def environment() -> dict[str, str]:
    """Without coverage: what is measured here is memory."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


@contextmanager
def provider() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """It speaks both formats, in a process of its own."""
    command = [sys.executable, "-m", "understudy", "faults", "serve", "--script", SCRIPT]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


class Soaked:
    """The gateway's process, and what it told of itself."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.outcomes: Counter[str] = Counter()

    def ask(self, path: str) -> Any:
        request = urllib.request.Request(self.url + path, headers={"x-api-key": KEY})
        with urllib.request.urlopen(request, timeout=10) as answer:
            data = answer.read()
        return json.loads(data) if data.startswith(b"{") else data.decode()

    def holdings(self) -> dict[str, int]:
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGUSR1)
        assert select.select([self.process.stdout], [], [], 30)[0], "the gateway says nothing"
        line = self.process.stdout.readline()
        assert line, "the gateway has ended"
        told: dict[str, int] = json.loads(line)
        return told

    def holds(self, wanted: dict[str, int]) -> dict[str, int]:
        """What it holds, once that is what is wanted; or after ten seconds."""
        deadline = time.monotonic() + 10
        while True:
            told = self.holdings()
            if wanted.items() <= told.items() or time.monotonic() > deadline:
                return told
            time.sleep(0.05)

    def visit(self, count: int, seed: int, meanwhile: Callable[[], None]) -> None:
        """So many requests, from a process of their own, and `meanwhile` in the middle of them."""
        program = Path(__file__).with_name("soak_traffic.py")
        traffic = subprocess.Popen(
            [sys.executable, "-W", "error", str(program), str(self.port), str(count), str(seed)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        try:
            while traffic.poll() is None and not self.ask("/stats/evening")["in_flight"]:
                time.sleep(0.005)
            meanwhile()
        finally:
            out, err = traffic.communicate()
        assert err == ""
        self.outcomes += Counter(json.loads(out))


@contextmanager
def gateway(home: Path, log: IO[str]) -> Iterator[Soaked]:
    program = Path(__file__).with_name("soak_gateway.py")
    arguments = ("--port", "0", "--max-concurrent", str(CONCURRENT), "--drain-delay", "0")
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(program), *arguments],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**environment(), "UNDERSTUDY_HOME": str(home), "UNDERSTUDY_KEYS": f"soak={KEY}"},
    )
    try:
        assert process.stdout is not None
        yield Soaked(process, process.stdout.readline().strip())
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def save(home: Home, base_url: str, **settings: Any) -> None:
    for format_ in ("openai", "anthropic"):
        for number in (1, 2):
            home.save(
                f"{format_}{number}",
                {
                    "provider": format_,
                    "model": f"{format_}{number}",
                    "ephemeralSettings": {"base-url": base_url, "auth-key": "sk-of-the-member-0123"},
                },
            )
    members = ("openai1", "anthropic1", "openai2", "anthropic2")
    home.pool("evening", *members, policy="roundrobin", **{**SETTINGS, **settings})


@pytest.fixture
def log(tmp_path: Path) -> Iterator[IO[str]]:
    with (tmp_path / "log").open("w+") as file:
        yield file


def test_after_hours_of_traffic_all_is_as_it_was(tmp_path: Path, log: IO[str]) -> None:
    total = requests_of(os.environ.get("UNDERSTUDY_SOAK", DEFAULT))
    home = Home(tmp_path)
    with provider() as (upstream, base_url):
        save(home, base_url)
        with gateway(tmp_path, log) as soaked:
            before = soaked.holds({})
            told = _traffic(soaked, home, base_url, total)
            upstream.kill()  # and with it the connections that are kept alive
            idle = {name: before[name] for name in ("tasks", "sockets", "running", "inside", "waiting")}
            after = soaked.holds(idle)
            assert {name: after[name] for name in idle} == idle
            assert (after["journal"], after["leaving"], after["engines"]) == (1000, 0, 1)
            _check_memory(told)
            _check_counts(soaked, total)
            soaked.process.send_signal(signal.SIGTERM)
            assert soaked.process.wait(15) == 0
    log.seek(0)
    lines = log.read()
    assert lines.count("profiles loaded anew") >= PHASES
    assert "Traceback" not in lines
    assert " ERROR " not in lines


def _traffic(soaked: Soaked, home: Home, base_url: str, total: int) -> list[dict[str, int]]:
    """What the gateway held after each phase."""
    told = []
    for phase in range(PHASES):
        began = time.monotonic()
        soaked.visit(total // PHASES, phase, partial(_load_anew, soaked, home, base_url, phase))
        told.append(soaked.holds({"running": 0}))
        rate = total / PHASES / (time.monotonic() - began)
        print(f"phase {phase}: {rate:.0f} requests/s, {told[-1]}, {dict(soaked.outcomes)}")
        assert "understudy_requests_total" in soaked.ask("/metrics")
    return told


def _load_anew(soaked: Soaked, home: Home, base_url: str, phase: int) -> None:
    """Once as the same, once with another value of a setting."""
    save(home, base_url, retry_after_max_ms=2000 + phase // 2)
    soaked.process.send_signal(signal.SIGHUP)


def _check_memory(told: list[dict[str, int]]) -> None:
    half, end = told[PHASES // 2 - 1], told[-1]
    grown, more = end["resident"] - half["resident"], end["objects"] - half["objects"]
    assert grown < GROWTH, f"resident memory grew by {grown} bytes in the last half: {told}"
    assert more < OBJECTS, f"{more} more objects are alive after the last half: {told}"


def _check_counts(soaked: Soaked, total: int) -> None:
    """Those who left may have been answered, or not have been heard."""
    seen, stats = soaked.outcomes, soaked.ask("/stats/evening")
    assert seen.total() == total
    assert seen["cut"] == 0
    assert seen["left"] > total / 20
    assert seen["whole"] > total / 2
    assert stats["total_requests"] == stats["answered"] + stats["failed"] + stats["cancelled"]
    assert total - seen["left"] <= stats["total_requests"] <= total
    assert seen["whole"] <= stats["answered"] <= seen["whole"] + seen["left"]
    refused = seen["failed"] + seen["broken"]
    assert refused <= stats["failed"] <= refused + seen["left"]
    assert 0 < stats["cancelled"] <= seen["left"]
    kinds: set[str] = set()
    for backend in stats["backends"].values():
        ended = ("successes", "failures", "refused", "cancelled")
        assert backend["in_flight"] == 0
        assert backend["requests"] == sum(backend[name] for name in ended) > 0
        kinds |= backend["by_kind"].keys()
    assert {"server_error", "reset", "stall", "truncated", "timeout", "empty", "rate_limited"} <= kinds
