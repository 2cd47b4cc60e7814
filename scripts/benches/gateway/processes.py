"""A process tree of ours, alone on one core: what it took, what it holds, and its end.

1. The tree is every process of its session, so nothing that a proxy starts is forgotten, neither when
   its CPU is counted nor when it is killed.
2. CPU is user plus system time from ``/proc``, with what children took that have already ended. The
   kernel counts in hundredths of a second.
3. While others are measured the tree is stopped (SIGSTOP): a proxy's housekeeping isn't in their figures.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Stat(NamedTuple):
    """What ``/proc/PID/stat`` says of one process."""

    session: int
    cpu: float  # seconds, with those of its ended children
    resident: int  # bytes


def parse_stat(line: str) -> Stat:
    """The name, in brackets, may hold anything, brackets too."""
    fields = line.rpartition(")")[2].split()
    return Stat(int(fields[3]), sum(map(int, fields[11:15])) / _TICK, int(fields[21]) * _PAGE)


def _of_session(session: int) -> Iterator[tuple[int, Stat]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                stat = parse_stat(Path(entry.path, "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue
            if stat.session == session:
                yield int(entry.name), stat


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """What is started in here stays on that core; None: it may run anywhere."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Tree:
    """A process and what it started. Use it as a context, or `kill` it."""

    def __init__(
        self, command: Sequence[str], core: int | None, environment: Mapping[str, str], folder: Path
    ) -> None:
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 — `kill` closes it
        with pinned(core):
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=self._said,
                stderr=self._said,
                cwd=folder,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu(self) -> float:
        return sum(stat.cpu for _, stat in _of_session(self.pid))

    def resident(self) -> int:
        return sum(stat.resident for _, stat in _of_session(self.pid))

    def ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._process.communicate()
        self._said.close()

    def last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().strip().splitlines()
        return lines[-1].strip() if lines else "it said nothing"

    def _signal(self, number: signal.Signals) -> None:
        for pid, _ in list(_of_session(self.pid)):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
