"""One run of the program: every end has its status and its words."""

from __future__ import annotations

import os
import sys

import click
import pytest

import understudy
from tests.cli.command_line import Run, failing
from tests.cli.local_provider import Home
from understudy.__main__ import main
from understudy.cli import one_shot, process, stopping
from understudy.errors import ConfigurationError, RequestError


def test_the_version_is_printed_on_stdout(run: Run) -> None:
    assert run("--version") == (0, f"understudy {understudy.__version__}\n", "")
    assert run("-V")[0] == 0


@pytest.mark.parametrize(
    ("error", "status", "err"),
    [
        (ConfigurationError("wrong", hint="mend it"), 2, "error: wrong\nhint: mend it\n"),
        (RequestError("no answer"), 1, "error: no answer\nhint: --debug shows every step\n"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
        (stopping.Terminated(), 143, ""),
        (OSError(28, "No space left on device"), 1, "error: no space left on device\n"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_every_end_has_its_status_and_its_words(
    error: BaseException, status: int, err: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_shot, "answer", failing(error))
    monkeypatch.setattr("understudy.cli.standard_streams.abandon_stdout", lambda: None)
    assert run("--prompt", "x") == (status, "", err)


def test_what_was_not_flushed_is_found_to_have_no_reader_before_the_interpreter_ends(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()

    def answer(question: one_shot.Question) -> int:
        os.close(reader)
        print("held back")
        return 0

    monkeypatch.setattr(one_shot, "answer", answer)
    with os.fdopen(writer, "w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert process.run(["--prompt", "x"]) == 141
        stdout.flush()
    assert capsys.readouterr().err == ""


def test_the_process_exits_with_the_status(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["understudy", "--prompt", " "])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2


def test_an_interrupt_while_loading_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "run", failing(KeyboardInterrupt()))
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 130
