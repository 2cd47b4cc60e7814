"""Real processes, real sockets, a few calls: nobody is left running, nothing is unsaid."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benches.environments import ROOT, NotInstallable
from benches.failover import stage as staging
from benches.failover.figures import Run
from benches.failover.roster import ROSTER, Entry, Gateway, Library, _here
from benches.failover.scenarios import Scenario
from benches.failover.stage import Stage, wait_for
from benches.gateway.failed import Failed
from benches.gateway.processes import Tree
from benches.library import Process
from understudy.faults import TEXT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
FAILS = Scenario("", ("500", "fine", "fine"), 1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage(requests=4, seed=1, timeout=5, port=free_port()) as opened:
        yield opened


def run(stage: Stage, entry: Entry, scenario: Scenario) -> Run:
    made = stage.run(entry, scenario)
    assert isinstance(made, Run), made
    return made


@pytest.mark.parametrize("name", ["understudy-failover-once", "understudy-gateway-failover-once"])
def test_a_backend_that_fails_costs_an_attempt_and_no_answer(stage: Stage, name: str) -> None:
    made = run(stage, ROSTER[name], FAILS)
    assert [call.text for call in made.calls] == [TEXT] * 4
    assert made.attempts == [4, 4, 0]
    assert made.wall > 0


def test_a_seed_is_the_same_fates_in_the_same_order(stage: Stage) -> None:
    stage.requests = 40
    scenario = Scenario("", ("50% 500", "50% 500", "fine"), 1)
    first, again = (run(stage, ROSTER["understudy-failover-once"], scenario) for _ in range(2))
    stage.seed = 2
    other = run(stage, ROSTER["understudy-failover-once"], scenario)
    assert first.attempts == again.attempts != other.attempts


def test_who_is_not_whole_with_healthy_backends_is_left_out(stage: Stage) -> None:
    entry = Entry("", Library("understudy_balancer", _here), {"policy": "failover", "rpm_limit": 1})
    told = stage.run(entry, FAILS)
    assert isinstance(told, str)
    assert told.startswith("failed with healthy backends: NoBackendAvailable")


def test_who_cannot_be_installed_is_left_out_with_the_reason(stage: Stage) -> None:
    def nowhere() -> Path:
        raise NotInstallable("no wheel for this platform")

    assert (
        stage.run(Entry("", Library("langchain_fallbacks", nowhere)), FAILS) == "no wheel for this platform"
    )


def test_who_does_not_start_is_left_out_with_its_last_words(stage: Stage) -> None:
    broken = Entry("", Library("understudy_balancer", _here), {"policy": "no such policy"})
    assert "no such policy" in str(stage.run(broken, FAILS))
    gateway = ROSTER["understudy-gateway-failover"].peer
    assert isinstance(gateway, Gateway)
    told = str(stage.run(Entry("", gateway, {"policy": "no such policy"}), FAILS))
    assert told.startswith("did not start: ")


def test_nothing_is_left_running(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []

    class Noted(Tree):
        def kill(self) -> None:
            pids.append(self.pid)
            super().kill()

    class NotedProcess(Process):
        def close(self) -> None:
            pids.append(self.pid)
            super().close()

    monkeypatch.setattr(staging, "Tree", Noted)
    monkeypatch.setattr(staging, "Process", NotedProcess)
    run(stage, ROSTER["understudy-gateway-failover"], FAILS)
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_who_ends_the_bench_ends_everybody() -> None:
    port = free_port()
    told = ["--only", "understudy-gateway-failover", "--scenario", "brownout", "--port", str(port)]
    bench = subprocess.Popen([sys.executable, "-m", "benches.failover", *told], env=ENVIRONMENT)
    until = time.monotonic() + 30
    while not is_taken(port):
        assert time.monotonic() < until
        time.sleep(0.05)
    bench.terminate()
    assert bench.wait(10) == 143
    assert not is_taken(port)


def test_it_refuses_a_taken_port() -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        with pytest.raises(SystemExit, match=f"error: port {port} is taken"):
            Stage(requests=1, seed=1, timeout=1, port=port).__enter__()


def test_a_gateway_that_never_answers_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "START_PATIENCE", 0.3)
    tree = Tree(["/bin/sleep", "60"], None, {}, tmp_path)
    with tree, pytest.raises(Failed, match=r"did not answer within 0\.3 s"):
        wait_for(tree, free_port())
