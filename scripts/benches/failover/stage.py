"""One run after another: everybody in turn, each in a process of its own that has seen no fault before.

1. Before each run the client must answer `REHEARSAL` calls wholly, from healthy backends. Who doesn't is left
   out of the scenario, with the reason. What it learned from that it may use.
2. Then the backends play their scripts, from the beginning and with the same lots for everybody.
3. Whatever happens, every process is ended.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benches.environments import NotInstallable
from benches.failover.calls import Call
from benches.failover.figures import Run, kind
from benches.failover.pool import Pool
from benches.failover.roster import CALLER, Entry, Gateway, Library
from benches.failover.scenarios import Scenario
from benches.gateway.failed import Failed
from benches.gateway.processes import Tree
from benches.gateway.proxies.base import Command
from benches.library import Failed as Ended
from benches.library import Process, check_port

REHEARSAL = 24
START_PATIENCE = 120.0  # seconds
DIRECT = {"NO_PROXY": "127.0.0.1"}


class Client:
    """The process of a peer, or of the caller of a gateway."""

    def __init__(self, peer: Library, pool: Pool) -> None:
        self.process = Process(peer.interpreter(), f"benches.failover.peers.{peer.module}", pool.to_json())

    def make(self, count: int, concurrency: int, every: float = 0) -> tuple[list[Call], float]:
        answer = json.loads(self.process.tell(f"{count} {concurrency} {every}"))
        return [Call(*call) for call in answer["calls"]], answer["wall"]


def wait_for(tree: Tree, port: int) -> None:
    """Until somebody answers there, whatever it may be. Raises `Failed`."""
    began, opener = time.monotonic(), urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() - began < START_PATIENCE:
        try:
            opener.open(f"http://127.0.0.1:{port}/", timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if tree.ended():
                raise Failed(f"did not start: {tree.last_words()}") from None
            time.sleep(0.1)
    raise Failed(f"did not answer within {START_PATIENCE:g} s")


def _started(command: Command, port: int, folder: Path, stack: ExitStack) -> None:
    check_port(port)
    environment = {**DIRECT, **command.environment}
    wait_for(stack.enter_context(Tree(command.arguments, None, environment, folder)), port)


@contextmanager
def client(entry: Entry, pool: Pool, port: int) -> Iterator[Client]:
    """Ready to make calls. Raises `Failed`, `Ended` and `NotInstallable`."""
    with ExitStack() as stack:
        library, told = entry.peer, pool
        if isinstance(library, Gateway):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            command = library.prepare(pool, port, folder)
            _started(command, port, folder, stack)
            library, told = CALLER, Pool([f"http://127.0.0.1:{port}/v1"], 0, pool.seed, command.headers)
        opened = Client(library, told)
        stack.callback(opened.process.close)
        opened.process.answer()
        yield opened


def rehearse(opened: Client, concurrency: int) -> None:
    """Raises `Failed` unless every answer is whole."""
    opened.make(1, 1)  # the first call of a process may be slow, and is nobody's fault
    made, _ = opened.make(REHEARSAL, concurrency)
    for call in made:
        if kind(call) != "whole":
            raise Failed(f"{kind(call)} with healthy backends: {call.error or repr(call.text[:60])}")


class Stage:
    """Use it as a context."""

    def __init__(self, *, requests: int, seed: int, timeout: float, port: int) -> None:
        self.requests, self.seed, self.timeout, self.port = requests, seed, timeout, port

    def __enter__(self) -> Stage:
        check_port(self.port)
        self._backends = Process(sys.executable, "benches.failover.backends")
        return self

    def __exit__(self, *_: object) -> None:
        self._backends.close()

    def run(self, entry: Entry, scenario: Scenario) -> Run | str:
        """A run, or the reason why there is none."""
        try:
            return self._run(entry, scenario)
        except (Failed, Ended, NotInstallable) as failed:
            return str(failed)

    def _run(self, entry: Entry, scenario: Scenario) -> Run:
        urls = self._tell(open=len(scenario.scripts), pace=scenario.pace)
        pool = Pool(urls, self.timeout, self.seed, entry.settings)
        with client(entry, pool, self.port) as opened:
            rehearse(opened, scenario.concurrency)
            self._tell(play=scenario.scripts, seed=self.seed)
            made, wall = opened.make(self.requests, scenario.concurrency, scenario.every)
            return Run(made, self._tell(log=True), wall)

    def _tell(self, **command: object) -> list[Any]:
        answer: list[Any] = json.loads(self._backends.tell(json.dumps(command)))
        return answer
