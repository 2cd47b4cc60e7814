"""Where the bench plays: the mock and the generator on one core, the proxy under test alone on another.

1. Every port is looked at before anything starts: one that is taken ends the run.
2. A proxy that can't be installed, doesn't start or fails is left out, with its reason; never fatal.
3. Those that take part in rounds stay up, stopped while another is measured; figures of a process's youth
   come from a fresh one.
4. Whatever happens, everything that was started is killed, with whatever it started in turn.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trustme

from benches.environments import NotInstallable
from benches.gateway import callers, requests
from benches.gateway.failed import Failed
from benches.gateway.processes import Tree
from benches.gateway.proxies import floor
from benches.gateway.proxies.base import Place, Proxy
from benches.gateway.quiet import Quiet
from benches.gateway.requests import Target
from benches.gateway.roster import EVERYBODY
from benches.library import Process, check_port

START_PATIENCE = 60.0  # seconds
_FRESH = 2 + len(EVERYBODY)  # its place among the ports
PORTS = _FRESH + 1


class Running:
    """A proxy that has answered."""

    def __init__(self, proxy: Proxy, tree: Tree | None, target: Target, folder: Path) -> None:
        self.proxy, self.tree, self.target, self.folder = proxy, tree, target, folder
        self.started_in = math.nan  # seconds

    def cpu(self) -> float:
        """Seconds so far; not a number where there is no proxy."""
        return self.tree.cpu() if self.tree else math.nan

    def resident(self) -> float:
        return self.tree.resident() if self.tree else math.nan

    @contextmanager
    def awake(self) -> Iterator[None]:
        if self.tree:
            self.tree.go_on()
        try:
            yield
        finally:
            if self.tree:
                self.tree.stop()

    def wait_for_an_answer(self) -> None:
        """Raises `Failed` when it ends instead, or takes too long."""
        began = time.monotonic()
        request = requests.request(self.target, requests.body())
        while True:
            reason = self._try(request)
            if reason is None:
                self.started_in = time.monotonic() - began
                return
            if self.tree and self.tree.ended():
                raise Failed(f"did not start: {self.tree.last_words()}")
            if time.monotonic() - began > START_PATIENCE:
                raise Failed(f"did not answer: {reason}")
            time.sleep(0.002)

    def _try(self, request: bytes) -> str | None:
        """The reason why there was no answer."""
        try:
            with callers.connection(self.target) as opened:
                callers.call(opened, request)
        except (OSError, Failed) as failed:
            return str(failed)
        return None


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for the mock, and whom to trust for it."""
    authority = trustme.CA()
    own, trusted = folder / "mock.pem", folder / "ca.pem"
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(own))
    authority.cert_pem.write_to_path(str(trusted))
    return own, trusted


def mock_interpreter() -> str | Path:
    """The floor's, which has uvloop; if there is none, ours will do."""
    try:
        return floor.interpreter()
    except NotInstallable:
        return sys.executable


def cores(allowed: Collection[int]) -> tuple[int, int]:
    """One for the proxy, one for mock and generator."""
    if len(allowed) < 2:
        sys.exit("error: one core is not enough to measure a proxy beside its load\nhint: allow two: taskset")
    first, second, *_ = sorted(allowed)
    return first, second


class Stage:
    """Use it as a context."""

    def __init__(self, port: int, patience: float = 0.0) -> None:
        self.port = port
        self.quiet = Quiet(patience)
        self._reasons: dict[str, str] = {}
        self._running: dict[str, Running] = {}
        self._everything = ExitStack()

    def __enter__(self) -> Stage:
        if not sys.platform.startswith("linux"):
            sys.exit("error: this bench pins and counts processes as only Linux can")
        for port in range(self.port, self.port + PORTS):
            check_port(port)
        self.core, spare = cores(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {spare})  # this process is the generator, and starts the mock
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            own, self.ca_file = certificate(self.folder)
            mock = Process(mock_interpreter(), "benches.gateway.mock", str(self.port), str(own))
            stack.callback(mock.close)
            mock.answer()
            self._everything = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._everything.close()

    def running(self, name: str) -> Running:
        """It, stopped. Raises `Failed` where it can't be had, and doesn't try again."""
        if name in self._reasons:
            raise Failed(self._reasons[name])
        if name not in self._running:
            try:
                port = self.port + 2 + list(EVERYBODY).index(name)
                self._running[name] = self._start(name, port, self._everything)
            except (Failed, NotInstallable) as failed:
                self._reasons[name] = str(failed)
                raise Failed(str(failed)) from failed
        return self._running[name]

    @contextmanager
    def fresh(self, name: str) -> Iterator[Running]:
        """A process of its own, awake. Raises `Failed` and `NotInstallable`."""
        with ExitStack() as stack:
            running = self._start(name, self.port + _FRESH, stack)
            with running.awake():
                yield running

    def _start(self, name: str, port: int, stack: ExitStack) -> Running:
        proxy = EVERYBODY[name]
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        if proxy.prepare is None:
            return Running(proxy, None, Target(self.port), folder)
        upstream = f"https://127.0.0.1:{self.port + 1}" if proxy.tls else f"http://127.0.0.1:{self.port}"
        command = proxy.prepare(Place(port, upstream, self.ca_file, folder))
        tree = stack.enter_context(Tree(command.arguments, self.core, command.environment, folder))
        running = Running(proxy, tree, Target(port, command.headers), folder)
        running.wait_for_an_answer()
        tree.stop()
        return running
