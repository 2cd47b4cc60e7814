"""The harness: who is measured is who is named, and nothing is left running or unsaid."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from benches import library
from benches.environments import requirements
from benches.worker import _measure


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_every_client_has_a_module_and_every_peer_its_versions() -> None:
    for name in library.CLIENTS:
        assert (Path(library.__file__).parent / "peers" / f"{name}.py").exists()
    assert set(library.CLIENTS) == {library.OURS, *requirements()}
    for packages in requirements().values():
        assert all("==" in package for package in packages)


async def test_a_worker_takes_no_wrong_answer() -> None:
    async def call() -> str:
        return "something else"

    with pytest.raises(AssertionError, match="a wrong answer: 'something else'"):
        await _measure(call, "the answer", 3)


async def test_a_worker_makes_exactly_the_calls_asked_for() -> None:
    calls = []

    async def call() -> str:
        calls.append(1)
        return "the answer"

    figures = await _measure(call, "the answer", 50)
    assert len(calls) == figures["calls"] == 50


def test_it_refuses_a_taken_port() -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        with pytest.raises(SystemExit, match=f"error: port {port} is taken .*\nhint: choose one: --port"):
            library.measure([], port, 1)


def test_a_real_round_of_the_floor_and_ours() -> None:
    """Real processes, real sockets, a few calls."""
    port = free_port()
    upstream = library.Process(sys.executable, "benches.upstream", str(port))
    assert upstream.answer() == upstream.tell("0") == "ready\n"
    base_url = f"http://127.0.0.1:{port}/v1"
    clients = []
    try:
        for name in (library.FLOOR, library.OURS):
            process = library.Process(sys.executable, f"benches.peers.{name}", base_url)
            process.answer()
            clients.append(library.Client(name, process, {"complete": 4, "stream": 2}, {}))
        for client in clients:
            for workload in ("complete", "stream"):
                client.round(workload)
                assert client.cost(workload) > 0
    finally:
        for process in (upstream, *(client.process for client in clients)):
            process.close()
    for process in (upstream, *(client.process for client in clients)):
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)


def test_a_process_that_ends_early_says_why(tmp_path: Path) -> None:
    process = library.Process(sys.executable, "benches.upstream", "no port")
    with pytest.raises(library.Failed, match="ValueError: invalid literal for int"):
        process.answer()
    process.close()


def test_who_cannot_be_measured_is_listed_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    process = library.Process(sys.executable, "benches.upstream", "no port")
    rounds = {workload: [0.002, 0.001, 0.004] for workload in library.SCALES}
    doubled = {workload: [2 * figure for figure in figures] for workload, figures in rounds.items()}
    clients = [
        library.Client(library.FLOOR, process, {}, rounds),
        library.Client(library.OURS, process, {}, doubled),
    ]
    library.print_table(clients, {"tensorzero_embedded": "no wheel for this platform"})
    process.close()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| bare_aiohttp | 2.00 ms (1.0 ×) | 10 µs (1.0 ×) | 10 µs (1.0 ×) |"
    assert lines[3] == "| understudy_balancer | 4.00 ms (2.0 ×) | 20 µs (2.0 ×) | 20 µs (2.0 ×) |"
    assert lines[4] == "| tensorzero_embedded | not measured: no wheel for this platform | | |"
