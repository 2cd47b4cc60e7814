"""The demo on paper: whole answers, log lines between them, 78 columns, colour only on a terminal."""

from __future__ import annotations

import io
import logging

import pytest
from rich.cells import cell_len

from understudy.cli.playbill import Playbill


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("understudy.lb", logging.INFO, "", 0, text, None, None)


def test_log_lines_are_indented_and_headings_stand_apart() -> None:
    stream = io.StringIO()
    bill = Playbill(stream, plain=False)
    bill.heading("1. Act")
    bill.handle(record("Trying backend: a"))
    assert stream.getvalue() == "\n1. Act\n    Trying backend: a\n"


def test_an_answer_is_wrapped_with_its_speaker_before_every_line() -> None:
    stream = io.StringIO()
    bill = Playbill(stream, plain=False)
    for word in ("word", *[" 再演"] * 30, " end", "."):
        bill.say("groqgpt", word)
    bill.end_answer()
    lines = stream.getvalue().splitlines()
    assert len(lines) > 1
    assert all(line.startswith("      groqgpt | ") for line in lines)
    assert all(len(line) > len("      groqgpt | ") and not line.endswith("|  ") for line in lines)
    assert max(map(cell_len, lines)) <= 78
    assert "".join(line.removeprefix("      groqgpt | ") for line in lines).replace(" ", "") == (
        "word" + "再演" * 30 + "end."
    )
    assert lines[1].removeprefix("      groqgpt | ")[0] == "再"


def test_a_log_line_waits_for_the_end_of_an_answer() -> None:
    stream = io.StringIO()
    bill = Playbill(stream, plain=False)
    bill.say("a", "one")
    bill.handle(record("Success"))
    bill.say("a", " two")
    bill.end_answer()
    bill.end_answer()
    assert stream.getvalue() == "            a | one two\n    Success\n"


def test_a_long_log_line_is_folded() -> None:
    stream = io.StringIO()
    Playbill(stream, plain=False).handle(record("word " * 30))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 78
    assert lines[1].startswith("      word")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[circuit-breaker] a: Marked unhealthy (3 failures in window)", "31"),
        ("[circuit-breaker] a: State = open", "31"),
        ("[circuit-breaker] a: Testing recovery (half-open)", "36"),
        ("[circuit-breaker] a: Recovered (state = closed)", "32"),
        ("[LB:failover] Success on backend: a", "32"),
        ("[LB:failover] a failed: 500", "33"),
        ("[LB:failover] a: Backend timeout (601ms > 600ms), failing over", "33"),
    ],
)
def test_on_a_terminal_what_happened_has_a_colour(
    text: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    Playbill(stream, plain=False).handle(record(text))
    assert stream.getvalue() == f"\x1b[{code}m    {text}\x1b[0m\n"


def test_what_is_ordinary_has_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    bill = Playbill(stream, plain=False)
    bill.handle(record("Trying backend: a"))
    bill.line("text")
    assert stream.getvalue() == "    Trying backend: a\ntext\n"


@pytest.mark.parametrize("wish", ["--plain", "NO_COLOR"])
def test_who_wants_no_colour_gets_none(wish: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1" if wish == "NO_COLOR" else "")
    stream = Terminal()
    bill = Playbill(stream, plain=wish == "--plain")
    bill.heading("1. Act")
    bill.handle(record("a failed"))
    bill.say("a", "x")
    bill.end_answer()
    assert "\x1b" not in stream.getvalue()
