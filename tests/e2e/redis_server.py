"""A real Redis or Valkey, started by tests: on a socket of its own, killed, frozen and started again.

    with RedisServer() as server:
        RedisStore(server.url)

Where neither is installed, `needs_redis` skips a test with the reason; with ``CI=true`` it fails.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import pytest

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
STARTS_WITHIN = 10.0

needs_redis = pytest.mark.skipif(
    PROGRAM is None and os.environ.get("CI") != "true",
    reason="neither redis-server nor valkey-server is installed (Debian: apt install redis-server)",
)


class RedisServer:
    """One server. `options` are lines of its configuration: ``("maxmemory 2mb", "requirepass secret")``.

    `port`: listen on this one of 127.0.0.1, 0 takes a free one; None listens on a unix socket alone. It keeps
    nothing on disk, so that a restart forgets everything.
    """

    def __init__(
        self, options: Sequence[str] = (), *, port: int | None = None, password: str | None = None
    ) -> None:
        assert PROGRAM is not None, "redis-server is not installed; .ci/run installs it"
        self._folder = Path(tempfile.mkdtemp(prefix="us-redis-", dir="/tmp"))
        self.path = self._folder / "s"
        self.port = _free_port() if port == 0 else port
        self.password = password
        self._options = (*options, *((f"requirepass {password}",) if password else ()))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        secret = f":{self.password}@" if self.password else ""
        return (
            f"unix://{secret}{self.path}" if self.port is None else f"redis://{secret}127.0.0.1:{self.port}"
        )

    def start(self) -> None:
        """Start, and wait until it answers."""
        assert self._process is None, "it runs already"
        assert PROGRAM is not None
        configuration = self._folder / "conf"
        configuration.write_text(
            "\n".join(
                (
                    f"port {self.port or 0}",
                    "bind 127.0.0.1",
                    f"unixsocket {self.path}",
                    f"dir {self._folder}",
                    'save ""',
                    "appendonly no",
                    f"logfile {self._folder / 'log'}",
                    *self._options,
                )
            )
        )
        self._process = subprocess.Popen([PROGRAM, str(configuration)], stdout=subprocess.DEVNULL)
        until = time.monotonic() + STARTS_WITHIN
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(0.01)

    def kill(self) -> None:
        """At once, as a machine that loses its power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.path.unlink(missing_ok=True)

    def restart(self) -> None:
        self.kill()
        self.start()

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def command(self, *words: str) -> bytes:
        """What it answers, as it comes over the wire."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.path))
            if self.password:
                connection.sendall(_encoded("AUTH", self.password))
                connection.recv(100)
            connection.sendall(_encoded(*words))
            return connection.recv(1 << 20)

    def operations(self) -> int:
        """How many scripts it has run for others."""
        lines = self.command("INFO", "commandstats").decode().splitlines()
        counts = [line.partition("calls=")[2].partition(",")[0] for line in lines if "cmdstat_eval" in line]
        return sum(map(int, counts))

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        with suppress(OSError):
            return self.command("PING").startswith(b"+PONG")
        return False


def _encoded(*words: str) -> bytes:
    parts = [f"*{len(words)}\r\n".encode()]
    parts += [f"${len(word.encode())}\r\n{word}\r\n".encode() for word in words]
    return b"".join(parts)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
