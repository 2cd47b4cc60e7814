"""Ways to stop a command: each cancels the work, which may tidy up, and says how it was."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from understudy.cli import stopping


class Work:
    """Runs `happening`, then waits to be stopped, and notes that it could tidy up."""

    def __init__(self, happening: object = None) -> None:
        self.happening = happening
        self.tidied = False

    async def run(self) -> None:
        try:
            if callable(self.happening):
                self.happening()
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0)
            self.tidied = True


@contextmanager
def stdout_into_a_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """stdout is a pipe; its reading end, which somebody else closes."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        yield reader


def test_work_that_is_left_alone_returns_its_value() -> None:
    async def work() -> int:
        return 7

    assert stopping.run(work()) == 7


def test_sigterm_cancels_and_is_told_as_such() -> None:
    work = Work(lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(stopping.Terminated):
        stopping.run(work.run())
    assert work.tidied


def test_sigint_cancels_and_is_told_as_an_interrupt() -> None:
    work = Work(lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        stopping.run(work.run())
    assert work.tidied


def test_a_reader_that_leaves_is_noticed_while_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with stdout_into_a_pipe(monkeypatch) as reader:
        work = Work(lambda: os.close(reader))
        with pytest.raises(BrokenPipeError):
            stopping.run(work.run())
    assert work.tidied


def test_the_first_reason_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(reader: int) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            os.close(reader)
            await asyncio.sleep(10)

    with stdout_into_a_pipe(monkeypatch) as reader, pytest.raises(stopping.Terminated):
        stopping.run(work(reader))


def test_data_that_comes_in_through_stdout_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket may be stdout, and whoever is at its other end may talk."""
    ours, theirs = socket.socketpair()

    async def work() -> str:
        theirs.send(b"hello")
        for _ in range(100):  # turns of the loop, at each of which the data is there to be seen
            await asyncio.sleep(0)
        return "undisturbed"

    with theirs, ours, os.fdopen(os.dup(ours.fileno()), "w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert stopping.run(work()) == "undisturbed"


def test_a_socket_as_stdout_is_watched_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    work = Work(theirs.close)
    with ours, os.fdopen(os.dup(ours.fileno()), "w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(BrokenPipeError):
            stopping.run(work.run())
    assert work.tidied


def test_a_file_as_stdout_needs_no_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> str:
        return "written"

    with open(os.devnull, "w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert stopping.run(work()) == "written"


def test_work_that_cancels_itself_is_not_taken_for_a_stop() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        stopping.run(work())
