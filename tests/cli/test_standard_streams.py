"""stdin, stdout and stderr, whatever they are connected to."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from understudy.cli import standard_streams


def text_stream(encoding: str, *, terminal: bool = False) -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    if terminal:
        stream.isatty = lambda: True  # type: ignore[method-assign]
    return stream


def written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(stream.encoding)


@pytest.fixture
def pipe() -> Iterator[tuple[int, io.TextIOWrapper]]:
    """A pipe's reading end, and a text stream on its writing end."""
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w", encoding="utf-8")
    yield reader, stream
    stream.close()


def test_a_character_that_stdout_cannot_show_becomes_a_question_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stdout = text_stream("latin-1")
    monkeypatch.setattr(sys, "stdout", stdout)
    standard_streams.prepare()
    standard_streams.write("café — 再演")
    assert written(stdout) == "café ? ??"


def test_a_closed_stdout_is_a_pipe_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    standard_streams.prepare()
    with sys.stdin, sys.stderr:
        assert sys.stdin.read() == ""
        assert sys.stderr.write("gone")
        with pytest.raises(BrokenPipeError):
            standard_streams.write("x")
        standard_streams.abandon_stdout()
        sys.stdout.close()


def test_open_streams_are_left_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = {name: text_stream("utf-8") for name in ("stdin", "stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    standard_streams.prepare()
    assert {name: getattr(sys, name) for name in streams} == streams


def test_a_stdout_that_takes_no_configuration_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    standard_streams.prepare()
    standard_streams.write("x")
    assert stdout.getvalue() == "x"


def test_what_is_written_arrives_at_once(
    pipe: tuple[int, io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, stdout = pipe
    monkeypatch.setattr(sys, "stdout", stdout)
    standard_streams.write("now")
    assert os.read(reader, 10) == b"now"
    os.close(reader)


def test_after_a_broken_pipe_what_was_held_back_makes_no_noise(
    pipe: tuple[int, io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, stdout = pipe
    monkeypatch.setattr(sys, "stdout", stdout)
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        standard_streams.write("x")
    standard_streams.abandon_stdout()
    stdout.flush()


@pytest.mark.parametrize(
    ("encoding", "terminal", "expected"),
    [
        ("utf-8", False, '{"answer": "再演", "n": 1}\n'),
        ("latin-1", False, '{"answer": "\\u518d\\u6f14", "n": 1}\n'),
        ("utf-8", True, '{\n  "answer": "再演",\n  "n": 1\n}\n'),
    ],
)
def test_json_is_one_line_for_programs_and_whole_in_every_encoding(
    encoding: str, terminal: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdout = text_stream(encoding, terminal=terminal)
    monkeypatch.setattr(sys, "stdout", stdout)
    standard_streams.write_json({"answer": "再演", "n": 1})
    assert written(stdout) == expected
    assert json.loads(written(stdout)) == {"answer": "再演", "n": 1}


def test_stdout_and_stderr_share_a_line_only_in_the_same_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        (tmp_path / "one").open("w", encoding="utf-8") as one,
        (tmp_path / "one").open("a", encoding="utf-8") as again,
        (tmp_path / "two").open("w", encoding="utf-8") as two,
    ):
        monkeypatch.setattr(sys, "stdout", one)
        monkeypatch.setattr(sys, "stderr", again)
        assert standard_streams.share_a_line()
        monkeypatch.setattr(sys, "stderr", two)
        assert not standard_streams.share_a_line()
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        assert not standard_streams.share_a_line()
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        assert not standard_streams.share_a_line()


def test_a_pipe_is_hung_up_once_its_reader_has_gone(pipe: tuple[int, io.TextIOWrapper]) -> None:
    reader, stream = pipe
    assert not standard_streams.is_hung_up(stream.fileno())
    os.close(reader)
    assert standard_streams.is_hung_up(stream.fileno())


def test_a_socket_is_hung_up_once_its_other_end_is_closed() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.send(b"data is no end")
        assert not standard_streams.is_hung_up(ours.fileno())
        theirs.close()
        assert standard_streams.is_hung_up(ours.fileno())
