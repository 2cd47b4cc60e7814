"""What a session prints, and where."""

from __future__ import annotations

import sys

import pytest

from tests.cli.builders import backend_stats, stats_of
from understudy.cli.screen import Screen
from understudy.errors import ConfigurationError


def watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """stdout and stderr are a terminal from now on."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_stdout_gets_what_was_asked_for_and_stderr_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(terminal=False, plain=False)
    stats = stats_of(backend_stats("synthetic"))
    screen.say("shown")
    screen.warn("odd")
    screen.error(ConfigurationError("wrong", hint="so"))
    screen.stats(stats)

    out, err = capsys.readouterr()
    assert out == f"shown\n{stats}\n"
    assert err == "warning: odd\nerror: wrong\nhint: so\n"


class TestAnswer:
    @pytest.mark.parametrize(
        ("pieces", "shown"), [(["a", "", "b"], "ab\n"), (["a\n"], "a\n"), ([], ""), ([""], "")]
    )
    def test_it_ends_its_line_once(
        self, pieces: list[str], shown: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        screen = Screen(terminal=False, plain=False)
        for piece in pieces:
            screen.piece(piece)
        screen.end_answer()
        screen.end_answer()

        assert capsys.readouterr() == (shown, "")

    def test_a_pipe_gets_it_as_it_came(self, capsys: pytest.CaptureFixture[str]) -> None:
        Screen(terminal=False, plain=False).piece("\x1b[2J")

        assert capsys.readouterr().out == "\x1b[2J"

    def test_a_terminal_gets_no_control_characters(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        watch(monkeypatch)
        Screen(terminal=True, plain=True).piece("\x1b[2J")

        assert capsys.readouterr().out == "\ufffd[2J"


class TestNote:
    def test_there_is_none_where_nobody_watches(self, capsys: pytest.CaptureFixture[str]) -> None:
        Screen(terminal=False, plain=False).note("psst")

        assert capsys.readouterr() == ("", "")

    def test_it_is_a_dim_line_on_stderr(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        watch(monkeypatch)
        Screen(terminal=True, plain=False).note("one\ntwo")

        assert capsys.readouterr() == ("", "\x1b[2mone two\x1b[0m\n")

    def test_it_is_a_plain_line_for_who_wants_no_colour(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        watch(monkeypatch)
        Screen(terminal=True, plain=True).note("plain")
        monkeypatch.setenv("NO_COLOR", "1")
        Screen(terminal=True, plain=False).note("no colour")
        monkeypatch.delenv("NO_COLOR")
        monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
        Screen(terminal=True, plain=False).note("elsewhere")

        assert capsys.readouterr().err == "plain\nno colour\nelsewhere\n"
