"""The session as real processes: on a terminal, and fed through pipes."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pexpect
import pytest

from tests.cli.local_provider import Home, provider
from understudy.faults import TEXT, FaultProvider

COMMAND = [sys.executable, "-m", "understudy"]
KEY = "sk-live-0123456789abcdef"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "home").mkdir()
    return Home(tmp_path / "home")


def environment(home: Home, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "UNDERSTUDY_DEBUG")}
    return kept | {"UNDERSTUDY_HOME": str(home.path)} | more


def prepare(home: Home, first: FaultProvider, second: FaultProvider) -> None:
    home.backend("first", first.base_url, "model-1")
    home.backend("second", second.base_url, "model-2")
    home.pool("pair", "first", "second")


def wait_closed(faults: FaultProvider, number: int = -1) -> None:
    """The client has left this request within a second; the provider runs in a thread of its own."""
    patience = time.monotonic() + 1
    while faults.requests[number].client_closed is None:
        assert time.monotonic() < patience, "the upstream connection is still open"
        time.sleep(0.01)


def wait_for_requests(faults: FaultProvider, count: int) -> None:
    patience = time.monotonic() + 10
    while len(faults.requests) < count:
        assert time.monotonic() < patience, "the request has not arrived"
        time.sleep(0.01)


class Watched:
    """A session on a terminal that answers, as real ones do, where its cursor is."""

    def __init__(self, home: Home, command: list[str]) -> None:
        self._child = pexpect.spawn(
            command[0],
            command[1:],
            env=environment(home, TERM="xterm", COLUMNS="80", LINES="30"),
            encoding="utf-8",
            dimensions=(30, 80),
            timeout=10,
        )
        self.seen = ""

    def see(self, text: str) -> None:
        """Wait until the text is shown."""
        while self._child.expect_exact([text, "\x1b[6n"]):
            self.seen += self._child.before or ""
            self._child.send("\x1b[5;1R")
        self.seen += f"{self._child.before}{text}"

    def type(self, keys: str) -> None:
        self._child.send(keys)

    def end(self) -> int | None:
        """Wait for its end; the exit status."""
        self._child.expect_exact(pexpect.EOF)
        self.seen += self._child.before or ""
        self._child.close()
        status: int | None = self._child.exitstatus
        return status


class TestTerminal:
    def test_a_conversation_on_a_terminal(self, home: Home) -> None:
        with provider("401; fine; stall after=3; fine") as first, provider() as second:
            prepare(home, first, second)
            session = Watched(home, [*COMMAND, "--profile-load", "pair"])

            # Below the line stands who answers; an answer by another backend is noted.
            session.see("lb:pair:first:model-1")
            session.type("hello\r")
            session.see("the stage manager smiles.")
            session.see("\x1b[2manswered by second (model-2) after first failed: auth\x1b[0m")
            session.see("lb:pair:second:model-2")

            # The words that may stand there are shown, and Tab takes them.
            session.type("/set circuit_breaker_en")
            session.see("circuit_breaker_enabled")
            session.type("\t f")
            session.see("false")
            session.type("\t\r")
            session.see("circuit_breaker_enabled = false (/set)")
            session.type("again\r")
            session.see("the stage manager smiles.")
            session.see("lb:pair:first:model-1")

            # Ctrl-C cancels the answer, not the session.
            session.type("on and on\r")
            session.see("The show goes")
            session.type("\x03")
            session.see("cancelled")
            wait_closed(first)
            session.type("/why\r")
            session.see("1. first, attempt 1: cancelled after ")

            # The table is coloured here.
            session.type("/stats lb\r")
            session.see("Total Requests: 3 (2 answered, 1 cancelled, 1 failed over)")
            session.see("\x1b[32mclosed")

            # A key is typed unseen.
            session.type("/key\r")
            session.see("Key:")
            session.type(f"{KEY}\r")
            session.see("auth-key ********")

            session.type("\x04")
            assert session.end() == 0

        assert KEY not in session.seen
        history = home.path / "history"
        assert stat.S_IMODE(history.stat().st_mode) == 0o600
        lines = [line[1:] for line in history.read_text().splitlines() if line.startswith("+")]
        assert lines == [
            "hello",
            "/set circuit_breaker_enabled false",
            "again",
            "on and on",
            "/why",
            "/stats lb",
        ]

    def test_with_stdout_in_a_file_the_answer_alone_goes_there(self, home: Home, tmp_path: Path) -> None:
        with provider() as first, provider() as second:
            prepare(home, first, second)
            written = tmp_path / "answer"
            command = " ".join([*COMMAND, "--profile-load", "pair"])
            session = Watched(home, ["/bin/sh", "-c", f"{command} > '{written}'"])
            session.see("lb:pair:first:model-1")
            session.type("hello\r")
            wait_for_requests(first, 1)
            session.see("lb:pair:first:model-1")
            session.type("\x04")

            assert session.end() == 0
        assert written.read_text() == f"{TEXT}\n"


class Piped:
    """A session fed through pipes."""

    def __init__(self, home: Home, *options: str, **more: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(home, **more),
        )

    def write(self, line: str | bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write((line if isinstance(line, bytes) else line.encode()) + b"\n")
        self.process.stdin.flush()

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode()

    def end(self) -> tuple[int, str, str]:
        """Close stdin and wait; the exit status, what was not read of stdout, and stderr."""
        out, err = self.process.communicate(timeout=10)
        return self.process.returncode, out.decode(), err.decode()


class TestPipes:
    def test_another_program_can_hold_a_conversation(self, home: Home) -> None:
        """Each line is answered before the next is there, and nothing but answers is on stdout."""
        with provider("401; fine") as first, provider() as second:
            prepare(home, first, second)
            session = Piped(home, "--profile-load", "pair", PYTHONIOENCODING="ascii")
            session.write("hello")
            assert session.read() == TEXT.encode("ascii", "replace").decode() + "\n"
            session.write("/stats lb")
            assert session.read() == "Load Balancer Statistics\n"
            while session.read() != "  second: closed\n":
                pass
            session.write(b"caf\xe9")
            session.write("again")
            assert session.read().startswith("The show goes on")

            status, out, err = session.end()
        assert (status, out) == (1, "")
        assert "error: line 3 of stdin is not UTF-8 (byte 3)\nhint: " in err
        assert not re.search(r"Traceback|\x1b|answered by", err)

    def test_a_session_that_cant_begin_has_status_2_and_one_without_faults_0(self, home: Home) -> None:
        with ThreadPoolExecutor() as pool:
            wrong = pool.submit(Piped(home, "--profile-load", "absent").end)
            right = pool.submit(Piped(home).end)

        assert wrong.result()[:2] == (2, "")
        assert wrong.result()[2].startswith('error: no profile named "absent"')
        assert right.result() == (0, "", "")

    @pytest.mark.parametrize(
        ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["interrupted", "terminated"]
    )
    def test_a_signal_closes_the_backends_connection_and_ends_it(
        self, number: signal.Signals, status: int, home: Home
    ) -> None:
        with provider("stall after=3") as first, provider() as second:
            prepare(home, first, second)
            session = Piped(home, "--profile-load", "pair")
            session.write("hello")
            wait_for_requests(first, 1)
            session.process.send_signal(number)
            ended = session.end()
            wait_closed(first)

        assert ended[0] == status
        assert ended[2] == ""

    def test_it_ends_in_silence_when_nobody_reads_it_any_more(self, home: Home) -> None:
        with provider("silence") as first, provider() as second:
            prepare(home, first, second)
            session = Piped(home, "--profile-load", "pair")
            session.write("hello")
            wait_for_requests(first, 1)
            assert session.process.stdout is not None
            session.process.stdout.close()
            assert session.process.wait(timeout=10) == 141
            wait_closed(first)
            assert session.process.stdin is not None
            assert session.process.stderr is not None
            session.process.stdin.close()
            with session.process.stderr as stderr:
                assert stderr.read() == b""

    def test_an_interrupt_between_lines_ends_it_too(self, home: Home) -> None:
        session = Piped(home)
        session.write("/help why")
        assert session.read().startswith("/why")
        session.process.send_signal(signal.SIGINT)

        assert session.process.wait(timeout=10) == 130
        assert session.end() == (130, "", "")
