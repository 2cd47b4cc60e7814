"""What becomes of a gateway when its surroundings fail: files, descriptors, clocks, Redis. Real processes.

docs/running.md tells what is shown here and elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from tests.cli.local_provider import Home, provider
from tests.e2e.gateway_theatre import visit
from tests.e2e.redis_server import RedisServer, needs_redis
from tests.e2e.workforce import Workforce, get, workforce
from understudy import Balancer, LoadBalancerProfile, StandardProfile
from understudy.faults import TEXT, FaultProvider
from understudy.runtime.clock import SystemClock

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of another process")


# File descriptors


@LINUX
async def test_out_of_descriptors_it_answers_whom_it_has_and_is_well_again_when_some_are_free(
    tmp_path: Path,
) -> None:
    async with workforce(tmp_path) as force, force.visit(1) as known:
        await get(known, "/health/liveness")
        for pid in force.workers().values():
            open_files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files + 4, 4096))
        async with AsyncExitStack() as crowd:
            for _ in range(40):
                await crowd.enter_async_context(visit(force.port))
            await asyncio.sleep(0.3)
            assert (await get(known, "/health/liveness")).status == 200, "who is in is answered"
        assert await comes_back(force) < 10
        force.process.send_signal(signal.SIGINT)
        await force.check_left()


async def comes_back(force: Workforce) -> float:
    """How long it takes until a new client's request is answered again."""
    began = time.monotonic()
    while time.monotonic() - began < 15:
        with suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(2):
                if (await force.ask(1)).status == 200:
                    break
        await asyncio.sleep(0.05)
    return time.monotonic() - began


# Disks


@LINUX
def test_a_log_that_cannot_be_written_keeps_nobody_from_being_answered(tmp_path: Path) -> None:
    """As on a full disk: every line of the log fails."""
    home = Home(tmp_path)
    with provider("status 500; fine") as made, open("/dev/full", "w") as full:
        home.backend("a", made.base_url)
        home.pool("evening", "a", "a", circuit_breaker_failure_threshold=1)
        process = subprocess.Popen(
            [sys.executable, "-m", "understudy", "--debug", "serve", "--port", "0", "--workers", "2"],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            env={**os.environ, "UNDERSTUDY_HOME": str(tmp_path)},
        )
        assert process.stdout is not None
        port = int(process.stdout.readline().strip().rpartition(":")[2])
        for _ in range(3):
            assert TEXT in chat(port)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=15)
        assert process.returncode == 0


def chat(port: int) -> str:
    body = json.dumps({"model": "evening", "messages": [{"role": "user", "content": "Hi"}]})
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"{head}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def test_without_a_folder_to_meet_in_several_workers_do_not_start_and_say_why(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.backend("a", "http://127.0.0.1:9/v1")
    (tmp_path / "readonly").mkdir()
    program = """
        import sys, tempfile

        def nowhere(*_, **__):
            raise FileNotFoundError(2, "No usable temporary directory found")

        tempfile.mkdtemp = nowhere
        from understudy.cli.process import run

        raise SystemExit(run(sys.argv[1:]))
    """
    command = [sys.executable, "-c", "\n".join(line[8:] for line in program.splitlines())]
    run = subprocess.run(
        [*command, "serve", "--port", "0", "--profile-load", "a", "--workers", "2"],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "UNDERSTUDY_HOME": str(tmp_path)},
        check=False,
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.lower().startswith("error: no usable temporary directory found")


# Clocks


class Jumping(SystemClock):
    """The system's, of which somebody sets the calendar."""

    offset = 0.0

    def wall(self) -> float:
        return super().wall() + self.offset


@pytest.mark.parametrize("jump", [86400.0, -86400.0])
async def test_a_calendar_that_jumps_moves_no_circuit_and_no_deadline(jump: float) -> None:
    clock = Jumping()
    async with FaultProvider("status 500; fine") as lead, FaultProvider("fine") as second:
        members = [
            StandardProfile(name, "openai", "m", settings={"base-url": each.base_url})
            for name, each in (("lead", lead), ("second", second))
        ]
        settings = {
            "circuit_breaker_failure_threshold": 1,
            "circuit_breaker_recovery_timeout_ms": 700,
            "failover_retry_count": 1,
        }
        profile = LoadBalancerProfile("evening", "failover", ("lead", "second"), settings=settings)
        async with Balancer(profile, members, clock=clock) as lb:
            assert (await lb.complete("Hi")).backend == "second"
            clock.offset = jump
            assert (await lb.complete("Hi")).backend == "second", "the circuit is as open as before"
            await asyncio.sleep(0.8)
            assert (await lb.complete("Hi")).backend == "lead", "and no longer"


# Redis


@needs_redis
async def test_requests_are_answered_while_redis_is_killed_frozen_and_back(tmp_path: Path) -> None:
    with RedisServer() as redis:
        async with workforce(tmp_path, "fine", "--state", redis.url) as force:

            async def all_answer() -> None:
                began = time.monotonic()
                for worker in (1, 2) * 5:
                    assert (await force.ask(worker)).status == 200
                assert time.monotonic() - began < 10

            await all_answer()
            redis.pause()
            await all_answer()
            redis.resume()
            redis.kill()
            await all_answer()
            redis.start()
            await all_answer()
            force.process.send_signal(signal.SIGINT)
            await force.check_left()
